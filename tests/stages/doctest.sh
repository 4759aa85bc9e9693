#!/usr/bin/env bash
# The examples in the documentation comments.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
cargo test --locked --quiet --workspace --doc --no-fail-fast >"$log" 2>&1 || code=$?
if ((code != 0)); then cat "$log"; fi
cargo_test_counts "$log" >"$STAGE_COUNTS"
exit "$code"
