#!/usr/bin/env bash
# No warning of the compiler or of clippy, in any target, with every feature.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
cargo clippy --locked --workspace --all-targets --all-features -- --deny warnings
