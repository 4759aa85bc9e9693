#!/usr/bin/env bash
# The end-to-end tests on a cluster of two nodes, which is built and started where there is none: tests/e2e/run.sh.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
[[ $(uname -s) == Linux ]] || skip_stage "the local cluster needs Linux; BAILIWICK_TEST_KUBECONFIG names another one"
[[ $(id -u) == 0 || -n ${BAILIWICK_TEST_KUBECONFIG:-} ]] || have kind || skip_stage "the local cluster needs root; install kind, or name a cluster by BAILIWICK_TEST_KUBECONFIG"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
logged "$log" bash tests/e2e/run.sh || code=$?
# Two runs of nextest, a summary line each.
sed 's/\x1b\[[0-9;]*m//g' "$log" | awk '
  /^ *Summary \[/ {
    n = split($0, word, /[ ,:]+/)
    for (i = 2; i <= n; i++) {
      if (word[i] == "passed") passed += word[i - 1]
      if (word[i] == "failed" || (word[i] == "exec" && word[i + 1] == "failed")) failed += word[i - 1]
      if (word[i] == "timed" && word[i + 1] == "out") failed += word[i - 1]
    }
  }
  END { print passed + 0, failed + 0, 0 }' >"$STAGE_COUNTS"
exit "$code"
