#!/usr/bin/env bash
# Every file is as rustfmt leaves it.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
cargo fmt --all --check
if [[ -f fuzz/Cargo.toml ]]; then cargo fmt --manifest-path fuzz/Cargo.toml --check; fi
