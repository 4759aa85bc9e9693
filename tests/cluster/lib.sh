# shellcheck shell=bash
# What the files of the test cluster share: where things lie, names and addresses, waiting. Sourced.

CLUSTER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$CLUSTER/../../scripts/lib.sh"

# One cluster a machine, whichever clone started it: so for root the folder's name depends on nothing but the machine.
default_state() {
  if [[ $(id -u) == 0 ]]; then
    say /run/bailiwick-cluster
  else
    say "${XDG_RUNTIME_DIR:-/tmp/$(id -un)}/bailiwick-cluster"
  fi
}

STATE=${BAILIWICK_CLUSTER_STATE:-$(default_state)}
LOGS=$STATE/logs
export KUBECONFIG=$STATE/kubeconfig

# Runs a command until it succeeds. $1: seconds, $2: what is waited for, the rest: the command.
wait_for() {
  local seconds=$1 what=$2 until output
  shift 2
  until=$((SECONDS + seconds))
  while ! output=$("$@" 2>&1); do
    if ((SECONDS >= until)); then
      tail -n 20 <<<"$output" >&2
      fail "waited $seconds s in vain for $what; logs: $LOGS"
    fi
    sleep 0.2
  done
}

# Seconds since $1, a value of `now`, with one decimal.
now() { date +%s%N; }
since() {
  local tenths=$((($(now) - $1) / 100000000))
  say "$((tenths / 10)).$((tenths % 10))"
}

# The environment that tests and people use the cluster with. $1: provider, $2: node names, the rest: more `NAME=value`.
write_env() {
  local provider=$1 nodes=$2 pair
  shift 2
  {
    say "# How to use the test cluster: source this file."
    for pair in "KUBECONFIG=$KUBECONFIG" "BAILIWICK_CLUSTER_PROVIDER=$provider" "BAILIWICK_CLUSTER_STATE=$STATE" \
      "BAILIWICK_CLUSTER_NODES=$nodes" "$@"; do
      printf 'export %s=%q\n' "${pair%%=*}" "${pair#*=}"
    done
    # The reader's PATH, not ours.
    # shellcheck disable=SC2016
    printf 'export PATH=%q:"$PATH"\n' "$STATE/bin"
  } >"$STATE/env"
}

# Puts programs of the cache on the PATH of the env file.
link_programs() {
  local name
  mkdir -p "$STATE/bin"
  for name in "$@"; do ln -sfn "$(program_path "$name")" "$STATE/bin/$name"; done
  PATH=$STATE/bin:$PATH
}
