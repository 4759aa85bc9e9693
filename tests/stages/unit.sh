#!/usr/bin/env bash
# Unit, property, vector and in-process tests, the golden custom resource definitions among them.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
# The operator as it is in a cluster, and so its tests; the stage `alone` checks the one without.
features=(--features bailiwick-operator/cluster)
# Tests that start our binaries find them built. Together with the tests, so that both are one build: the tests' own dependencies ask
# for features that would otherwise have everything built twice.
say "building the binaries and the tests"
cargo build --locked --quiet --workspace "${features[@]}" --bins --tests
if have cargo-nextest; then
  logged "$log" cargo nextest run --locked --workspace "${features[@]}" --exclude bailiwick-e2e || code=$?
  nextest_counts "$log" >"$STAGE_COUNTS"
else
  logged "$log" cargo test --locked --workspace "${features[@]}" --exclude bailiwick-e2e --no-fail-fast --lib --bins --tests || code=$?
  cargo_test_counts "$log" >"$STAGE_COUNTS"
  note "by cargo test, with no time limit a test: cargo-nextest is missing"
fi
exit "$code"
