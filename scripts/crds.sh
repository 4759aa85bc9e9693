#!/usr/bin/env bash
# Writes crds/ from the Rust types. A golden test compares the committed files with the types.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"
cd "$ROOT"
use_pinned_toolchain
cargo run --locked --quiet --package bailiwick-cli --bin bailiwick -- crds --output crds
