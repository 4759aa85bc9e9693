#!/usr/bin/env bash
# Writes crds/ from the Rust types, by the golden test that compares them: `bailiwick crds` prints the same.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"
cd "$ROOT"
use_pinned_toolchain
BAILIWICK_UPDATE_GOLDEN=1 cargo test --locked --quiet --package bailiwick-api --test crds
say "crds/:"
ls crds
