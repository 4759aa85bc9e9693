# shellcheck shell=bash
# What the scripts share: the root, the toolchain, the cache. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The cache outlives a clone: it lies outside it, and everything in it can be deleted at any time.
cache_root() { printf '%s' "${BAILIWICK_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or BAILIWICK_CACHE}/.cache}/bailiwick}"; }

# Sixteen hexadecimal digits of standard input.
digest() {
  if have sha256sum; then sha256sum; else shasum -a 256; fi | cut -c1-16
}

# `rust-toolchain.toml` pins the compiler. Where rustup has no toolchain of that name and cannot fetch it, an installed one of
# the very same version does as well.
use_pinned_toolchain() {
  local wanted candidate
  have cargo || fail "cargo is missing: install rustup (https://rustup.rs), then run this again"
  (cd "$ROOT" && cargo --version >/dev/null 2>&1) && return
  wanted=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
  have rustup || fail "this cargo does not serve Rust $wanted, which rust-toolchain.toml pins, and there is no rustup"
  if (cd "$ROOT" && rustup toolchain install "$wanted" --profile minimal -c clippy -c rustfmt >/dev/null 2>&1); then return; fi
  while read -r candidate _; do
    if [[ $(rustc "+$candidate" --version 2>/dev/null) == "rustc $wanted "* ]]; then
      export RUSTUP_TOOLCHAIN=$candidate
      return
    fi
  done < <(rustup toolchain list)
  fail "Rust $wanted, which rust-toolchain.toml pins, is neither installed nor to be fetched: rustup toolchain install $wanted"
}

# The folder of one kind of build in the cache, by everything that makes two builds differ: compiler, locked versions,
# profiles, flags. $1: kind, $2: lock file, $3: manifest, $4: flags.
keyed_target() {
  local key
  key=$({ rustc -vV; cat "$2"; sed -n '/^\[profile/,$p' "$3"; printf '%s' "$4${RUSTFLAGS:-}"; } | digest)
  printf '%s/%s-%s' "$(cache_root)" "$1" "$key"
}

# Makes a cached folder the newest of its kind, deletes all of the kind but the newest two, and forgets our own crates' builds of
# another clone: cargo tells by modification times alone whether they are fresh, and those say nothing across clones.
# $1: kind, $2: folder.
claim_target() {
  local kind=$1 folder=$2 old clone
  mkdir -p "$folder"
  touch "$folder"
  # The names are ours: no white space, no line breaks.
  # shellcheck disable=SC2012
  ls -dt "$(cache_root)/$kind"-* 2>/dev/null | tail -n +3 | while read -r old; do
    if have flock && [[ -e $old/.lock ]] && ! flock --nonblock "$old/.lock" true; then continue; fi
    rm -rf "$old"
  done
  clone="$ROOT $(ls -di "$ROOT")"
  if [[ $(cat "$folder/.clone" 2>/dev/null || true) != "$clone" ]]; then
    find "$folder" -type d -path '*/.fingerprint/bailiwick-*' -prune -exec rm -rf {} +
    printf '%s' "$clone" >"$folder/.clone"
  fi
}
