# shellcheck shell=bash
# A node of the local cluster: its namespaces, and the programs that run in them. Sourced.

# A node's process 1 as this machine numbers it: the one of the node's network that is number 1 in the node's own count.
node_init() {
  local pid
  for pid in $(ip netns pids "$1" 2>/dev/null); do
    if awk '/^NSpid:/ { exit !(NF == 3 && $3 == 1) }' "/proc/$pid/status" 2>/dev/null; then
      say "$pid"
      return
    fi
  done
}

# Runs a command in every namespace of a node.
in_node() {
  local node=$1 init
  shift
  init=$(node_init "$node")
  [[ -n $init ]] || fail "node $node is not running"
  nsenter --target "$init" --mount --pid --net --uts -- "$@"
}

node_begin() {
  local node=$1
  mkdir -p "$DATA/$node" "$STATE/components/$node"
  node_cgroups "$node"
  setsid nsenter --net="/run/netns/$node" -- unshare --mount --pid --uts --fork --mount-proc -- \
    bash "$CLUSTER/local/node-init.sh" "$node" "$DATA" "$(image_folder)/pause" >"$LOGS/$node.init.log" 2>&1 </dev/null 9>&- &
  wait_for 10 "node $node" test -e "$DATA/$node/begun"
}

# A kubelet cleans up what it finds below its root, so each has its own.
node_cgroups() {
  local hierarchy parent
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    mkdir -p "/sys/fs/cgroup/$1"
    sed 's/^/+/; s/ / +/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    if [[ -e $hierarchy/cgroup.controllers ]]; then continue; fi
    mkdir -p "$hierarchy$1"
    for parent in cpuset.cpus cpuset.mems; do
      if [[ -e $hierarchy$parent ]]; then cat "$hierarchy$parent" >"$hierarchy$1/$parent"; fi
    done
  done
}

# Writes down how a component is started, so that a fault can start it again, and starts it. $1: node, $2: name, the rest: arguments.
component() {
  local node=$1 name=$2
  shift 2
  {
    say "echo \$\$ >$STATE/components/$node/$name.pid"
    printf 'exec'
    printf ' %q' "$(program_path "$name")" "$@"
    printf '\n'
  } >"$STATE/components/$node/$name.sh"
  component_start "$node" "$name"
}

components_of() {
  local file
  for file in "$STATE/components/$1"/*.sh; do
    if [[ -e $file ]]; then basename "$file" .sh; fi
  done
}

component_start() {
  local node=$1 name=$2 init
  init=$(node_init "$node")
  [[ -n $init ]] || fail "node $node is not running"
  if component_running "$node" "$name"; then return; fi
  PATH=$STATE/sbin:$PATH setsid nsenter --target "$init" --mount --pid --net --uts -- bash "$STATE/components/$node/$name.sh" \
    >>"$LOGS/$node.$name.log" 2>&1 </dev/null 8>&- 9>&- &
}

# The number that a component has on its node.
component_pid() { cat "$STATE/components/$1/$2.pid" 2>/dev/null; }

component_running() {
  local pid
  pid=$(component_pid "$1" "$2") || return 1
  [[ $(in_node "$1" readlink "/proc/$pid/exe" 2>/dev/null) == */"$2" ]]
}

component_gone() { ! component_running "$@"; }

# Ends a component, at once if $3 is KILL.
component_stop() {
  local node=$1 name=$2 signal=${3:-TERM}
  if component_gone "$node" "$name"; then return; fi
  in_node "$node" kill "-$signal" "$(component_pid "$node" "$name")"
  if ! (wait_for 10 "$name on $node to end" component_gone "$node" "$name") 2>/dev/null; then
    in_node "$node" kill -KILL "$(component_pid "$node" "$name")" || true
  fi
}

# Starts it and waits until it is a process.
component_begin() {
  component_start "$@"
  wait_for 10 "$2 on $1" component_running "$@"
}

# Writes a node's copy of a file of config/. $1: node, $2: file.
node_config() {
  # Read by `filled`.
  # shellcheck disable=SC2034
  local NODE=$1 PODS_4 PODS_6
  # shellcheck disable=SC2034
  PODS_4=$(pod_range_4 "$1")
  # shellcheck disable=SC2034
  PODS_6=$(pod_range_6 "$1")
  mkdir -p "$(dirname "$STATE/config/$1/$2")"
  filled "$CLUSTER/config/$2" >"$STATE/config/$1/$2"
}

containerd_start() {
  local node=$1
  mkdir -p "$STATE/sbin"
  ln -sfn "$(program_path containerd-shim-runc-v2)" "$STATE/sbin/containerd-shim-runc-v2"
  node_config "$node" containerd.toml
  node_config "$node" cni/10-pods.conflist
  component "$node" containerd --config "$STATE/config/$node/containerd.toml"
}

# The node's object before its kubelet's start, since the pod ranges must be those that the routes and the CNI were given.
node_register() {
  kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: Node
metadata:
  name: $1
  labels: {kubernetes.io/hostname: $1, kubernetes.io/os: linux}
spec:
  podCIDR: $(pod_range_4 "$1")
  podCIDRs: [$(pod_range_4 "$1"), "$(pod_range_6 "$1")"]
END
}

kubelet_start() {
  local node=$1
  node_config "$node" kubelet.yaml
  node_config "$node" resolv.conf
  component "$node" kubelet --config "$STATE/config/$node/kubelet.yaml" --kubeconfig "$CERTS/$node.kubeconfig" \
    --hostname-override "$node" --node-ip "$(node_address_4 "$node"),$(node_address_6 "$node")"
}

proxy_start() {
  node_config "$1" kube-proxy.yaml
  component "$1" kube-proxy --config "$STATE/config/$1/kube-proxy.yaml"
}
