#!/usr/bin/env bash
# The cluster that the end-to-end tests run on, and people try things on. Nothing that uses it knows which of three it is:
# the one that BAILIWICK_TEST_KUBECONFIG names; a kind cluster, where there are `kind` and a container engine; else the local one.
#
#   cluster.sh up                 start it if it does not run, and wait until it is ready
#   cluster.sh down               end it and remove all of it
#   cluster.sh deps               install what Debian has of what it needs
#   cluster.sh build              only build the programs and images that it needs
#   cluster.sh status             what runs
#   cluster.sh env                a shell file that sets KUBECONFIG, PATH and what tests need to know
#   cluster.sh shell [-c COMMAND] a shell with that environment
#   cluster.sh load FILE…         load OCI archives into every node
#   cluster.sh tools              build the image of the tests' tools, load it into every node
#   cluster.sh node-exec NODE COMMAND…   run a command in a node's network
#   cluster.sh ctr NODE ARGUMENT…        the container runtime's client on a node
#   cluster.sh check              is it a real one? the things that our tests lean on, one by one
#   cluster.sh fault NAME [NODE]  apiserver-stop, apiserver-start, kubelet-stop, kubelet-start, kubelet-restart, containerd-restart
#   cluster.sh logs               where the logs lie
#
# BAILIWICK_CLUSTER_STATE names the folder that holds all that a running cluster is; BAILIWICK_CLUSTER chooses a provider (given,
# kind, local); BAILIWICK_CACHE the folder of what was built.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/cluster/build.sh
source "$CLUSTER/build.sh"
# shellcheck source=tests/cluster/images.sh
source "$CLUSTER/images.sh"
# shellcheck source=tests/cluster/tools.sh
source "$CLUSTER/tools.sh"

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

choose_provider() {
  if [[ -n ${BAILIWICK_CLUSTER:-} ]]; then
    say "$BAILIWICK_CLUSTER"
  elif [[ -n ${BAILIWICK_TEST_KUBECONFIG:-} ]]; then
    say given
  elif have kind && kind_engine >/dev/null; then
    say kind
  else
    say local
  fi
}

# A container engine that answers.
kind_engine() {
  local engine
  for engine in docker podman nerdctl; do
    if have "$engine" && "$engine" info >/dev/null 2>&1; then
      say "$engine"
      return
    fi
  done
  return 1
}

# All that makes a running cluster one that this clone would start the same way.
cluster_key() {
  local group
  {
    say "$provider ${BAILIWICK_TEST_KUBECONFIG:-}"
    for group in $("${provider}_groups"); do group_folder "${group%%:*}"; done
    find "$CLUSTER/$provider.sh" "$CLUSTER/config" "$CLUSTER/images" "$CLUSTER/local" -type f -print0 | sort -z | xargs -0 cat
  } | digest
}

# One start or end at a time on this machine, whichever clone wants it.
lock() {
  mkdir -p "$(dirname "$STATE")"
  exec 9>"$STATE.lock"
  flock --nonblock 9 || say "waiting for another start or end of the cluster"
  flock 9
}

up() {
  local key began
  read -ra groups < <("${provider}_groups")
  "${provider}_needs"
  build "${groups[@]}"
  lock
  key=$(cluster_key)
  if [[ $(cat "$STATE/key" 2>/dev/null) == "$key" ]] && "${provider}_healthy"; then
    say "the cluster is running: $STATE/env"
    return
  fi
  began=$(now)
  "${provider}_down"
  mkdir -p "$STATE" "$LOGS"
  "${provider}_up"
  say "$key" >"$STATE/key"
  say "the cluster ($provider) is ready after $(since "$began") s: $STATE/env"
}

build() {
  build_locked "$@"
  if [[ " $* " == *" coredns "* ]]; then build_base_images; fi
}

tools_load() {
  local archive
  archive=$(tools)
  if [[ $(cat "$STATE/tools" 2>/dev/null) == "$archive" ]]; then return; fi
  "${provider}_load" "$archive"
  say "$archive" >"$STATE/tools"
}

# Ends the script unless a cluster was started.
must_run() { [[ -e $STATE/env ]] || fail "no cluster is running: make cluster-up"; }

shell() {
  must_run
  # shellcheck source=/dev/null
  source "$STATE/env"
  if (($#)); then exec bash "$@"; fi
  say "kubectl and helm talk to the test cluster; leave this shell by exit"
  exec bash -i
}

main() {
  local verb=${1:-help} groups
  if (($#)); then shift; fi
  provider=$(choose_provider)
  case $provider in given | kind | local) ;; *) fail "BAILIWICK_CLUSTER is \`$provider\`; it can be given, kind or local" ;; esac
  # shellcheck source=/dev/null
  source "$CLUSTER/$provider.sh"
  case $verb in
    up) up ;;
    down) lock && "${provider}_down" && say "the cluster is gone" ;;
    build)
      read -ra groups < <("${provider}_groups")
      "${provider}_needs"
      build "${groups[@]}"
      ;;
    deps) "${provider}_needs" ;;
    status) must_run && "${provider}_status" ;;
    env) must_run && cat "$STATE/env" ;;
    shell) shell "$@" ;;
    load) must_run && "${provider}_load" "$@" ;;
    tools) must_run && tools_load ;;
    node-exec) must_run && "${provider}_node_exec" "$@" ;;
    ctr) must_run && "${provider}_ctr" "$@" ;;
    fault) must_run && "${provider}_fault" "$@" ;;
    logs) must_run && say "$LOGS" ;;
    check) must_run && exec bash "$CLUSTER/check.sh" ;;
    help | -h | --help) usage ;;
    *) fail "unknown verb \`$verb\`; see cluster.sh --help" ;;
  esac
}

main "$@"
