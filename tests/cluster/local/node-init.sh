#!/usr/bin/env bash
# Process 1 of a node of the local cluster, in the node's own namespaces. Gives the node its own copy of every folder that two kubelets
# or two container runtimes would quarrel about, then only waits and reaps.
#
#   node-init.sh NODE DATA PAUSE
set -euo pipefail
node=$1 data=$2 pause=$3

hostname "$node"
# Volumes may be mounted with propagation only below a shared mount.
mount --make-rshared /
for folder in /run/containerd /run/netns /var/lib/cni; do
  mkdir -p "$folder"
  mount -t tmpfs -o mode=755 tmpfs "$folder"
done
for folder in /var/lib/kubelet /var/lib/containerd /var/log/pods /var/log/containers; do
  mkdir -p "$folder" "$data/$node$folder"
  mount --bind "$data/$node$folder" "$folder"
done
touch "$data/$node/begun"
exec "$pause"
