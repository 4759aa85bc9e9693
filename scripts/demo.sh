#!/usr/bin/env bash
# Builds what the demonstration needs, with one progress line, then becomes `bailiwick demo`. Arguments go to the demo.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"
cd "$ROOT"
use_pinned_toolchain

packages=(--package bailiwick-cli --package bailiwick-operator --package bailiwick-sidecar --package bailiwick-demo)
# The clone's own target folder, as with a plain `cargo build`: what a reader expects, and warm the second time.
target=${CARGO_TARGET_DIR:-$ROOT/target}

# How many packages the build has in all, or 0 where that cannot be told.
count_packages() {
  { cargo tree --locked "${packages[@]}" --edges normal,build --prefix none 2>/dev/null || true; } \
    | sed 's/ (\*)$//; s/ (proc-macro)//' | sort -u | grep -c . || true
}

tell() {
  if [[ -t 2 ]]; then printf '\r\033[K%s' "$1" >&2; else printf '%s\n' "$1" >&2; fi
}

# Reads the build's messages; keeps one line on a terminal, else writes one every ten seconds. $1: packages in all.
show_progress() {
  local total=$1 built=0 seen='|' line='' told=0 status id
  while true; do
    status=0
    IFS= read -r -t 1 line || status=$?
    if ((status > 0 && status <= 128)); then break; fi
    if ((status == 0)) && [[ $line == '{"reason":"compiler-artifact"'* && $line =~ \"package_id\":\"([^\"]+)\" ]]; then
      id=${BASH_REMATCH[1]}
      if [[ $seen != *"|$id|"* ]]; then
        seen+="$id|"
        built=$((built + 1))
      fi
    fi
    ((total >= built)) || total=$built
    if [[ -t 2 ]] || ((SECONDS - told >= 10)); then
      told=$SECONDS
      tell "building: $built of $total crates, $SECONDS s"
    fi
  done
}

SECONDS=0
tell "building (the first time takes minutes)"
if cargo build --locked --quiet "${packages[@]}" --bins --message-format json-render-diagnostics \
  | show_progress "$(count_packages)"; then
  tell "built in $SECONDS s"
  if [[ -t 2 ]]; then printf '\n' >&2; fi
else
  if [[ -t 2 ]]; then printf '\n' >&2; fi
  fail "the build failed; what the compiler said stands above"
fi
exec "$target/debug/bailiwick" demo "$@"
