# shellcheck shell=bash
# The wires of the local cluster: a bridge that the machine itself is on, a network namespace and a veth pair for each node, and routes
# between the nodes' pod ranges. Sourced.

network_up() {
  local node
  ip link add "$BRIDGE" type bridge
  ip address add "$NODE_PREFIX_4.1/24" dev "$BRIDGE"
  # A machine whose IPv6 is turned off still reaches the nodes by IPv4.
  ip address add "$NODE_PREFIX_6:1/64" dev "$BRIDGE" nodad 2>/dev/null || true
  ip link set "$BRIDGE" up
  for node in "${NODES[@]}"; do node_network "$node"; done
  for node in "${NODES[@]}"; do node_routes "$node"; done
}

node_network() {
  local node=$1
  ip netns add "$node"
  ip link add "$node" type veth peer name eth0 netns "$node"
  ip link set "$node" master "$BRIDGE" up
  ip -n "$node" link set lo up
  # Duplicate address detection costs each pod and each node a second, and there are no duplicates here.
  local_node_exec "$node" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
    net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
  ip -n "$node" address add "$(node_address_4 "$node")/24" dev eth0
  ip -n "$node" address add "$(node_address_6 "$node")/64" dev eth0 nodad
  ip -n "$node" link set eth0 up
  # The API server and whoever else is in the node's own network call Services: an address is first routed, then translated. A default
  # route would do as well, but there is nothing outside, and so a call to it fails at once.
  ip -n "$node" route add "$SERVICE_RANGE_4" dev eth0
  ip -n "$node" route add "$SERVICE_RANGE_6" dev eth0
}

node_routes() {
  local node=$1 other
  for other in "${NODES[@]}"; do
    if [[ $other == "$node" ]]; then continue; fi
    ip -n "$node" route add "$(pod_range_4 "$other")" via "$(node_address_4 "$other")"
    ip -n "$node" route add "$(pod_range_6 "$other")" via "$(node_address_6 "$other")"
  done
}
