# shellcheck shell=bash
# Removes a local cluster, whole or what a crash left of one, of this clone or another: everything is found by its name, nothing by
# what was written down. Nothing is touched that is not the cluster's. Sourced.

# Ends all that runs on a node. Its process 1 takes everything with it, pods in their own networks too.
end_node() {
  local pid
  for pid in $(ip netns pids "$1" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
}

# Ends what is left in a node's control groups: only its pods can be there.
end_cgroups() {
  local file pid
  while read -r file; do
    while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done <"$file"
  done < <(find /sys/fs/cgroup -maxdepth 2 -type d -name "$1" -exec find {} -name cgroup.procs \;)
}

node_empty() { [[ -z $(ip netns pids "$1" 2>/dev/null) ]]; }

remove_cgroups() {
  local folder left=0
  while read -r folder; do rmdir "$folder" 2>/dev/null || left=1; done \
    < <(find /sys/fs/cgroup -maxdepth 2 -type d -name "$1" -exec find {} -depth -type d \;)
  return "$left"
}

# What is mounted below one of our folders in this mount namespace: nothing, unless a version of ours from before left it.
remove_mounts() {
  local folder
  while read -r folder; do umount --lazy "$folder"; done \
    < <(awk -v data="$DATA/" -v state="$STATE/" 'index($2, data) == 1 || index($2, state) == 1 { print $2 }' /proc/self/mounts | tac)
}

# The kubelet sets these of the whole machine, and would leave them so.
SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)
remember_sysctls() { sysctl "${SYSCTLS[@]}" >"$STATE/sysctls" 2>/dev/null || true; }
restore_sysctls() {
  if [[ -s $STATE/sysctls ]]; then sysctl -q -p "$STATE/sysctls" 2>/dev/null || true; fi
}

clean_up() {
  local node
  for node in "${NODES[@]}"; do end_node "$node"; done
  for node in "${NODES[@]}"; do
    wait_for 10 "the processes of $node to end" node_empty "$node"
    end_cgroups "$node"
    wait_for 10 "the control groups of $node" remove_cgroups "$node"
    if [[ -e /run/netns/$node ]]; then ip netns delete "$node"; fi
    # The other end is gone with the namespace, but the kernel takes its time.
    ip link delete "$node" 2>/dev/null || true
  done
  ip link delete "$BRIDGE" 2>/dev/null || true
  restore_sysctls
  remove_mounts
  forget_data
  rm -rf --one-file-system "$STATE"
}

# Deleting what two nodes unpacked can take a minute, which nobody needs to wait for. What a crash left of it goes with the next.
forget_data() {
  local old
  if [[ -e $DATA ]]; then mv "$DATA" "$DATA.old.$$"; fi
  for old in "$DATA".old.*; do
    if [[ -e $old ]]; then setsid nice rm -rf --one-file-system "$old" >/dev/null 2>&1 </dev/null 9>&- & fi
  done
}
