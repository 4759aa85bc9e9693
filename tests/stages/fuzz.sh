#!/usr/bin/env bash
# Every fuzz target for FUZZ_SECONDS (default 30), from the committed seeds and what earlier runs found.
#
# libFuzzer is driven directly: its instrumentation is a compiler pass that the pinned compiler has, so neither nightly nor another tool
# is needed. There is no address sanitizer, for there is no unsafe code of ours for it to watch; `cargo +nightly fuzz run` adds one.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"

seconds=${FUZZ_SECONDS:-30}
[[ $(uname -s) == Linux ]] || skip_stage "the fuzz targets are built for Linux only"
have c++ || skip_stage "a C++ compiler is missing: make deps"

host=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
folder=$(keyed_target fuzz fuzz/Cargo.lock fuzz/Cargo.toml "$flags")
claim_target fuzz "$folder"
corpus=$(cache_root)/corpus

say "building the fuzz targets"
# `--target`: the flags reach our code and its crates, not build scripts and macros.
CARGO_TARGET_DIR=$folder RUSTFLAGS=$flags \
  cargo build --locked --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" --bins

# Runs one target; writes one line, and on a finding the end of its log and the input that caused it.
run_target() {
  local target=$1 log artifacts code=0
  log=$(mktemp)
  artifacts=$ROOT/fuzz/artifacts/$target
  mkdir -p "$corpus/$target" "$artifacts"
  local seeds=()
  if [[ -d fuzz/seeds/$target ]]; then seeds=("fuzz/seeds/$target"); fi
  "$folder/$host/release/$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -verbosity=1 -artifact_prefix="$artifacts/" "$corpus/$target" "${seeds[@]+"${seeds[@]}"}" >"$log" 2>&1 || code=$?
  if ((code == 0)) && ! grep -q 'INFO: Loaded [0-9]* modules' "$log"; then
    say "$target: the binary is not instrumented"
    code=1
  fi
  if ((code == 0)); then
    say "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, no finding"
  else
    say "$target: FAILED; the input is in ${artifacts#"$ROOT/"}, run it with that file as the only argument"
    tail -n 40 "$log"
  fi
  rm -f "$log"
  return "$code"
}

# Two at a time on two cores: the bound is on each target's own time.
passed=0 failed=0 targets=()
for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
width=$(nproc 2>/dev/null || echo 1)
for ((first = 0; first < ${#targets[@]}; first += width)); do
  running=()
  for target in "${targets[@]:first:width}"; do
    run_target "$target" &
    running+=($!)
  done
  for process in "${running[@]}"; do
    if wait "$process"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  done
done
say "$passed $failed 0" >"$STAGE_COUNTS"
((failed == 0))
