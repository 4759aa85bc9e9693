# shellcheck shell=bash
# The provider for a machine with kind and a container engine: a kind cluster of two nodes, dual stack. Sourced.

KIND_NAME=bailiwick

# kind without the engine that was found would look for docker.
kind_here() { KIND_EXPERIMENTAL_PROVIDER=$(kind_engine) kind "$@"; }
kind_nodes() { kind_here get nodes --name "$KIND_NAME" 2>/dev/null | sort; }

kind_groups() {
  local groups=()
  have kubectl || groups+=(kubernetes:kubectl)
  have helm || groups+=(helm)
  say "${groups[*]}"
}

kind_needs() { kind_engine >/dev/null || fail "no container engine answers: docker, podman or nerdctl"; }

kind_up() {
  local nodes
  have kubectl || link_programs kubectl
  have helm || link_programs helm
  mkdir -p "$STATE/bin" "$LOGS/kind"
  chmod 777 "$LOGS/kind"
  cp "$CLUSTER/config/audit-policy.yaml" "$STATE/audit-policy.yaml"
  kind_config >"$STATE/kind.yaml"
  kind_here create cluster --name "$KIND_NAME" --config "$STATE/kind.yaml" --kubeconfig "$KUBECONFIG" --wait 180s
  kind_is_new_enough
  # As on the local cluster, pods run on both nodes.
  kubectl taint nodes --all node-role.kubernetes.io/control-plane- >/dev/null 2>&1 || true
  kubectl --namespace kube-system rollout status --timeout=120s deployment/coredns >/dev/null
  nodes=$(kind_nodes | tr '\n' ' ')
  write_env kind "${nodes% }" "BAILIWICK_CLUSTER_AUDIT_LOG=$LOGS/kind/audit.log"
}

# What is stable since 1.37 is used as stable.
kind_is_new_enough() {
  local version minor
  version=$(kubectl get --raw /version | sed -n 's/.*"gitVersion": *"\([^"]*\)".*/\1/p')
  minor=${version#v1.}
  ((${minor%%.*} >= 37)) || fail "this kind starts Kubernetes $version, and the tests need v1.37: install kind 0.33, or set BAILIWICK_CLUSTER=local"
}

kind_config() {
  cat <<END
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: { ipFamily: dual, kubeProxyMode: nftables }
nodes:
  - role: control-plane
    extraMounts:
      - { hostPath: $STATE/audit-policy.yaml, containerPath: /etc/kubernetes/audit-policy.yaml, readOnly: true }
      - { hostPath: $LOGS/kind, containerPath: /var/log/kubernetes }
    kubeadmConfigPatches:
      - |
        apiVersion: kubeadm.k8s.io/v1beta4
        kind: ClusterConfiguration
        apiServer:
          extraArgs:
            - { name: audit-policy-file, value: /etc/kubernetes/audit-policy.yaml }
            - { name: audit-log-path, value: /var/log/kubernetes/audit.log }
          extraVolumes:
            - { name: audit-policy, hostPath: /etc/kubernetes/audit-policy.yaml, mountPath: /etc/kubernetes/audit-policy.yaml, readOnly: true, pathType: File }
            - { name: audit-log, hostPath: /var/log/kubernetes, mountPath: /var/log/kubernetes, pathType: DirectoryOrCreate }
  - role: worker
END
}

kind_healthy() { [[ $(kind_nodes | wc -l) == 2 ]] && kubectl get --raw /readyz >/dev/null 2>&1; }

kind_down() {
  if [[ -n $(kind_nodes) ]]; then kind_here delete cluster --name "$KIND_NAME"; fi
  rm -rf "$STATE"
}

kind_status() { kubectl get nodes --output wide; }

kind_load() {
  local file
  for file in "$@"; do kind_here load image-archive --name "$KIND_NAME" "$file"; done
}

kind_node_exec() { "$(kind_engine)" exec --interactive "$@"; }

kind_ctr() {
  local node=$1
  shift
  kind_node_exec "$node" ctr --namespace k8s.io "$@"
}

# The API server is a static pod: without its manifest the kubelet ends it.
kind_fault() {
  local node=${2:-$KIND_NAME-control-plane} first=$KIND_NAME-control-plane manifest=kube-apiserver.yaml
  case $1 in
    apiserver-stop) kind_node_exec "$first" mv "/etc/kubernetes/manifests/$manifest" "/etc/kubernetes/$manifest" ;;
    apiserver-start)
      kind_node_exec "$first" mv "/etc/kubernetes/$manifest" "/etc/kubernetes/manifests/$manifest"
      wait_for 120 "the API server" kubectl get --raw /readyz
      ;;
    kubelet-stop | kubelet-start | kubelet-restart) kind_node_exec "$node" systemctl "${1#kubelet-}" kubelet ;;
    containerd-restart) kind_node_exec "$node" systemctl restart containerd ;;
    *) fail "unknown fault \`$1\`" ;;
  esac
}
