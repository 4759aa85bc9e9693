# shellcheck shell=bash
# What the stages share. Sourced, never run. tests/run.sh sets the variables; a stage run by hand gets defaults.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$ROOT" || exit
STAGE_COUNTS=${STAGE_COUNTS:-/dev/null}
STAGE_NOTE=${STAGE_NOTE:-/dev/null}

# Ends the stage as skipped. $1: why.
skip_stage() {
  say "skipped: $1"
  say "$1" >"$STAGE_NOTE"
  exit 77
}

# A word for the summary's last column.
note() { say "$1" >"$STAGE_NOTE"; }

# Runs a command, showing its output and keeping it in the file $1.
logged() {
  local log=$1
  shift
  "$@" 2>&1 | tee "$log"
}

# `passed failed skipped` of a log of `cargo test`: the sum of its `test result:` lines.
cargo_test_counts() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /^test result: / {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) passed += $(i - 1)
        if ($i ~ /^failed/) failed += $(i - 1)
        if ($i ~ /^ignored/) skipped += $(i - 1)
      }
    }
    END { print passed + 0, failed + 0, skipped + 0 }'
}

# The same of a log of nextest: its last `Summary` line. A test that timed out or could not be started has failed.
nextest_counts() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /^ *Summary \[/ { line = $0 }
    END {
      n = split(line, word, /[ ,:]+/)
      for (i = 2; i <= n; i++) {
        if (word[i] == "passed") passed = word[i - 1]
        if (word[i] == "failed" || (word[i] == "exec" && word[i + 1] == "failed")) failed += word[i - 1]
        if (word[i] == "timed" && word[i + 1] == "out") failed += word[i - 1]
        if (word[i] == "skipped") skipped = word[i - 1]
      }
      print passed + 0, failed + 0, skipped + 0
    }'
}
