#!/usr/bin/env bash
# Runs every stage of the tests in order and closes with the counts. Each stage is one file, tests/stages/NAME.sh.
#
#   tests/run.sh [--only NAME[,NAME…]] [--skip NAME[,NAME…]] [--list]
#
# CI=true makes a skip a failure. BAILIWICK_CACHE names the folder of tools and builds that outlive a clone
# (default: ~/.cache/bailiwick).
#
# A stage says how it went by its exit code: 0 passed, 77 skipped (the reason in the file $STAGE_NOTE), anything else failed. One that
# runs tests writes `passed failed skipped` into $STAGE_COUNTS; any other counts as one.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$ROOT"

stages=(deps fmt clippy deny walls alone unit doctest doc fuzz chart images e2e)

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# Is $2 one of the comma-separated names in $1?
listed() { [[ ",$1," == *",$2,"* ]]; }

check_names() {
  local name names
  IFS=, read -ra names <<<"$1"
  for name in "${names[@]+"${names[@]}"}"; do
    [[ -z $name || " ${stages[*]} " == *" $name "* ]] || fail "no stage is called \`$name\`; there are: ${stages[*]}"
  done
}

only='' skip=''
parse_arguments() {
  while (($#)); do
    case $1 in
      --only) only=${2:?--only needs names}; shift 2 ;;
      --skip) skip=${2:?--skip needs names}; shift 2 ;;
      --list) printf '%s\n' "${stages[@]}"; exit 0 ;;
      -h | --help) usage; exit 0 ;;
      *) fail "unknown argument \`$1\`; see tests/run.sh --help" ;;
    esac
  done
  check_names "$only,$skip"
}

parse_arguments "$@"
use_pinned_toolchain
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
if [[ ${CI:-} == true ]]; then export CARGO_INCREMENTAL=0; fi
# The images of a release take twice the time to build: BAILIWICK_IMAGE_PROFILE=release tests those.
export BAILIWICK_IMAGE_PROFILE=${BAILIWICK_IMAGE_PROFILE:-image-test}

tools="$(cache_root)/tools-$(rustc -vV | digest)"
export BAILIWICK_TOOLS=$tools PATH="$tools/bin:$PATH"
CARGO_TARGET_DIR=$(keyed_target target Cargo.lock Cargo.toml stages)
export CARGO_TARGET_DIR
mkdir -p "$CARGO_TARGET_DIR"

# One run at a time in one cached target folder: a second clone's would put its binaries where the first one's tests start theirs.
# `--close`: what a test leaves running must not hold the lock.
if [[ -z ${BAILIWICK_LOCKED:-} ]] && have flock; then
  flock --nonblock "$CARGO_TARGET_DIR/.lock" true || say "waiting for another run of the tests to end"
  BAILIWICK_LOCKED=1 exec flock --close "$CARGO_TARGET_DIR/.lock" bash "$ROOT/tests/run.sh" "$@"
fi
claim_target target "$CARGO_TARGET_DIR"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0 summary=()

# Adds a stage's counts to the totals and its line to the table. $1: name, $2: exit code, $3: seconds.
record() {
  local name=$1 code=$2 seconds=$3 word counts=() note=''
  read -ra counts <"$STAGE_COUNTS" || true
  if ((${#counts[@]} != 3)); then counts=($((code == 0)) $((code != 0 && code != 77)) $((code == 77))); fi
  # A stage that failed has at least one failure, whatever it counted.
  if ((code != 0 && code != 77 && counts[1] == 0)); then counts[1]=1; fi
  passed=$((passed + counts[0])) failed=$((failed + counts[1])) skipped=$((skipped + counts[2]))
  case $code in
    0) word=passed ;;
    77) word=skipped ;;
    *) word=FAILED ;;
  esac
  if [[ -s $STAGE_NOTE ]]; then note="  $(head -n 1 "$STAGE_NOTE")"; fi
  summary+=("$(printf '%-8s %-8s %5d s %6d %6d %7d%s' "$name" "$word" "$seconds" "${counts[@]}" "$note")")
  say "-- $name: $word, $seconds s$note"
}

run_stage() {
  local name=$1 began=$SECONDS code=0
  export STAGE_COUNTS="$scratch/$name.counts" STAGE_NOTE="$scratch/$name.note"
  : >"$STAGE_COUNTS"
  : >"$STAGE_NOTE"
  say "-- $name"
  bash "tests/stages/$name.sh" </dev/null || code=$?
  record "$name" "$code" $((SECONDS - began))
}

for stage in "${stages[@]}"; do
  if [[ -n $only ]] && ! listed "$only" "$stage"; then continue; fi
  if listed "$skip" "$stage"; then continue; fi
  run_stage "$stage"
done

say ''
printf '%-8s %-8s %7s %6s %6s %7s\n' stage result time passed failed skipped
printf '%s\n' "${summary[@]+"${summary[@]}"}"
printf 'total %d s\n\n' "$SECONDS"
code=0
if ((failed > 0)); then code=1; fi
if ((skipped > 0)) && [[ ${CI:-} == true ]]; then
  say "CI=true: a skip is a failure"
  code=1
fi
# The very last line, in a form that machines read.
say "$passed passed, $failed failed, $skipped skipped"
exit "$code"
