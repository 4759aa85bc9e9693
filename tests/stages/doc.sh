#!/usr/bin/env bash
# The documentation builds without a warning.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
RUSTDOCFLAGS="--deny warnings" cargo doc --locked --quiet --no-deps --workspace
