#!/usr/bin/env bash
# Measures, and writes the tables of docs/performance.md and docs/adr/0007-runtime-per-cpu.md.
#
#   benches/run.sh [--quick] [--print] [--only NAME[,NAME…]]
#
#   --quick   shorter runs, for a first look: prints, and never writes
#   --print   prints instead of writing
#   --only    some of: decision, compile, sidecar (which includes the runtime's shapes)
#
# Envoy is fetched by hash into BAILIWICK_CACHE (default: ~/.cache/bailiwick); BAILIWICK_ENVOY names a binary to use in its place.
# Under 15 minutes with the build, under 3 with --quick after a build. Nothing else should run meanwhile.
set -euo pipefail
# shellcheck source=benches/lib.sh
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

all=decision,compile,sidecar
only=$all write=true repetitions=3 seconds=3
while (($#)); do
  case $1 in
    --quick) write=false seconds=1; shift ;;
    --print) write=false; shift ;;
    --only) only=${2:?--only needs names}; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown argument \`$1\`; see benches/run.sh --help" ;;
  esac
done
IFS=, read -ra names <<<"$only"
for name in "${names[@]}"; do
  [[ ",$all," == *",$name,"* ]] || fail "there is no bench \`$name\`; there are: $all"
done
wanted() { [[ ",$only," == *",$1,"* ]]; }

[[ $(uname -s) == Linux ]] || fail "CPU time and memory are read from /proc, which only Linux has"
use_pinned_toolchain
target=${CARGO_TARGET_DIR:-$ROOT/target}
tables=$(mktemp -d)
trap 'rm -rf "$tables"' EXIT

# Everything is built before anything is measured.
build() {
  if wanted sidecar; then
    cargo build --locked --release --bins --package bailiwick-operator --package bailiwick-sidecar \
      --package bailiwick-demo --package bailiwick-bench
  fi
  if wanted decision; then cargo bench --locked --package bailiwick-policy --bench decision --no-run; fi
  if wanted compile; then cargo bench --locked --package bailiwick-compile --bench compile --no-run; fi
}

# Lines that are neither a table nor empty become a list.
measure_decision() {
  cargo bench --quiet --locked --package bailiwick-policy --bench decision | sed 's/^[^|]/- &/' >"$tables/decision.md"
}

measure_compile() {
  {
    say '```text'
    cargo bench --quiet --locked --package bailiwick-compile --bench compile
    say '```'
  } >"$tables/compile.md"
}

measure_sidecar() {
  local arguments=(--binaries "$target/release" --output "$tables" --repetitions "$repetitions" --seconds "$seconds")
  if [[ -n $envoy ]]; then arguments+=(--envoy "$envoy"); fi
  # What it writes while it runs goes with our own scratch folder, however it ends.
  TMPDIR=$tables "$target/release/bailiwick-bench" sidecar "${arguments[@]}"
}

publish() {
  local table name
  if [[ $write != true ]]; then
    for table in "$tables"/*.md; do
      printf '\n== %s\n\n' "$(basename "$table" .md)"
      cat "$table"
    done
    return
  fi
  for table in "$tables"/*.md; do
    name=$(basename "$table" .md)
    # The tables of one run stand with the machine and the commit of that run.
    { cat "$tables/machine"; say ''; cat "$table"; } >"$tables/section"
    replace_section docs/performance.md "$name" "$tables/section"
    if [[ $name == runtime ]]; then replace_section docs/adr/0007-runtime-per-cpu.md runtime "$tables/section"; fi
  done
  say "written: docs/performance.md, docs/adr/0007-runtime-per-cpu.md"
}

SECONDS=0
envoy=''
if wanted sidecar; then envoy=$(find_envoy); fi
say "-- building (the first time takes minutes)"
build
say "-- built in $SECONDS s"
warn_if_busy
describe_machine >"$tables/machine"
for name in decision compile sidecar; do
  wanted "$name" || continue
  began=$SECONDS
  say "-- $name"
  "measure_$name"
  say "-- $name: $((SECONDS - began)) s"
done
publish
say "total $SECONDS s"
