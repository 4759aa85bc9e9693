# shellcheck shell=bash
# The provider for a machine without a container engine, as continuous integration's is: the released Kubernetes programs, built from
# their Go modules, with a network, mount and process namespace for each node.
#
#   this machine ── bridge bailiwick0 ─┬─ veth ─ namespace bailiwick-1: etcd, API server, controllers, scheduler, kubelet, …
#                                      └─ veth ─ namespace bailiwick-2: containerd, kubelet, kube-proxy, pods
#
# Each node is a process namespace of its own with a process 1 that we start: when that ends, the kernel ends everything on the node,
# pods too, and with the mount namespace goes all that was mounted. Sourced.

# Much of this is read by the parts and by `filled` alone.
# shellcheck disable=SC2034
{
  NODES=(bailiwick-1 bailiwick-2)
  BRIDGE=bailiwick0
  DATA=/var/lib/bailiwick-cluster
  CERTS=$STATE/certs
  NODE_PREFIX_4=172.30.99 NODE_PREFIX_6=fd00:30:99:
  POD_RANGE_4=10.244.0.0/16 POD_RANGE_6=fd00:10:244::/56
  SERVICE_RANGE_4=10.96.0.0/16 SERVICE_RANGE_6=fd00:10:96::/112
  DNS_ADDRESS=10.96.0.10
  API_ADDRESS=$NODE_PREFIX_4.11
  API_PORT=6443
}

for part in network certificates node control_plane clean; do
  # shellcheck source=/dev/null
  source "$CLUSTER/local/$part.sh"
done

# The number at the end of a node's name, and what follows from it.
node_number() { say "${1##*-}"; }
node_address_4() { say "$NODE_PREFIX_4.1$(node_number "$1")"; }
node_address_6() { say "$NODE_PREFIX_6:1$(node_number "$1")"; }
pod_range_4() { say "10.244.$(node_number "$1").0/24"; }
pod_range_6() { say "fd00:10:244:$(node_number "$1")::/64"; }

local_groups() { say kubernetes containerd coredns helm; }

# What Debian has and the machine may lack: command and package.
local_packages() {
  local command package wanted=()
  while read -r command package; do
    if ! have "$command" && [[ ! -x $command ]]; then wanted+=("$package"); fi
  done <"$CLUSTER/config/packages.txt"
  if ((${#wanted[@]} == 0)); then return; fi
  have apt-get || fail "missing: ${wanted[*]} (Debian's names); install them and run this again"
  say "installing ${wanted[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}

local_needs() {
  [[ $(uname -s) == Linux ]] || fail "no kind with a container engine, and the local cluster needs Linux: set BAILIWICK_TEST_KUBECONFIG"
  [[ $(id -u) == 0 ]] || fail "the local cluster needs root; or start a container engine and install kind, or set BAILIWICK_TEST_KUBECONFIG"
  local_packages
}

# A manifest with the variables of this file filled in.
filled() {
  local text name
  text=$(<"$1")
  for name in DNS_ADDRESS POD_RANGE_4 POD_RANGE_6 STATE CERTS NODE PODS_4 PODS_6 API_ADDRESS API_PORT; do
    text=${text//"{{$name}}"/${!name-}}
  done
  say "$text"
}

local_up() {
  local node loading
  mkdir -p "$STATE" "$LOGS" "$DATA"
  link_programs kubectl helm ctr
  remember_sysctls
  network_up
  make_certificates
  for node in "${NODES[@]}"; do node_begin "$node"; done
  etcd_start
  for node in "${NODES[@]}"; do containerd_start "$node"; done
  api_server_start
  load_everywhere "$(image_folder)"/{pause,coredns}.tar &
  loading=$!
  wait_for 60 "the API server" kubectl get --raw /readyz
  controllers_start
  for node in "${NODES[@]}"; do node_register "$node"; done
  filled "$CLUSTER/config/coredns.yaml" | kubectl apply -f - >/dev/null
  wait "$loading" || fail "the images could not be loaded; logs: $LOGS"
  for node in "${NODES[@]}"; do kubelet_start "$node"; done
  for node in "${NODES[@]}"; do proxy_start "$node"; done
  local_wait
  write_env local "${NODES[*]}" "BAILIWICK_CLUSTER_NAMESPACES=${NODES[*]}" "BAILIWICK_CLUSTER_AUDIT_LOG=$LOGS/audit.log"
}

local_wait() {
  kubectl wait --for=condition=Ready --timeout=90s node "${NODES[@]}" >/dev/null ||
    fail "the nodes do not become ready; logs: $LOGS"
  kubectl --namespace kube-system rollout status --timeout=90s deployment/coredns >/dev/null ||
    fail "CoreDNS does not become ready; logs: $LOGS"
  wait_for 30 "the default service account" kubectl get serviceaccount default
}

# Is everything that `up` started still there?
local_healthy() {
  local node name
  for node in "${NODES[@]}"; do
    [[ -n $(node_init "$node") ]] || return 1
    for name in $(components_of "$node"); do component_running "$node" "$name" || return 1; done
  done
  kubectl get --raw /readyz >/dev/null 2>&1
}

local_down() { clean_up; }

# Loads archives into the container runtime of both nodes at once.
load_everywhere() {
  local node loaders=() loader code=0
  for node in "${NODES[@]}"; do
    load_into "$node" "$@" >"$LOGS/$node.load.log" 2>&1 &
    loaders+=($!)
  done
  for loader in "${loaders[@]}"; do wait "$loader" || code=1; done
  if ((code != 0)); then tail -n 5 "$LOGS"/*.load.log >&2; fi
  return "$code"
}

load_into() {
  local node=$1 file
  shift
  wait_for 30 "containerd on $node" in_node "$node" "$STATE/bin/ctr" version
  for file in "$@"; do in_node "$node" "$STATE/bin/ctr" --namespace k8s.io images import --local - <"$file" || return 1; done
}

local_load() { load_everywhere "$@" || fail "the images could not be loaded"; }

local_ctr() {
  local node=$1
  shift
  in_node "$node" env CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1 "$STATE/bin/ctr" --namespace k8s.io "$@"
}

local_node_exec() {
  local node=$1
  shift
  nsenter --net="/run/netns/$node" -- "$@"
}

local_status() {
  local node name word
  for node in "${NODES[@]}"; do
    for name in $(components_of "$node"); do
      word=stopped
      if component_running "$node" "$name"; then word=running; fi
      printf '%-12s %-24s %s\n' "$node" "$name" "$word"
    done
  done
}

# One fault. $1: which, $2: node.
local_fault() {
  local node=${2:-${NODES[0]}}
  [[ " ${NODES[*]} " == *" $node "* ]] || fail "no node is called \`$node\`; there are: ${NODES[*]}"
  case $1 in
    # It would take a minute to let every watch end.
    apiserver-stop) component_stop "${NODES[0]}" kube-apiserver KILL ;;
    apiserver-start)
      component_start "${NODES[0]}" kube-apiserver
      wait_for 60 "the API server" kubectl get --raw /readyz
      ;;
    kubelet-stop) component_stop "$node" kubelet ;;
    kubelet-start) component_begin "$node" kubelet ;;
    kubelet-restart) component_stop "$node" kubelet && component_begin "$node" kubelet ;;
    containerd-restart)
      component_stop "$node" containerd
      component_begin "$node" containerd
      wait_for 30 "containerd on $node" local_ctr "$node" version
      ;;
    *) fail "unknown fault \`$1\`" ;;
  esac
}
