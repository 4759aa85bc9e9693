# shellcheck shell=bash
# The provider for a cluster that somebody else keeps, by its kubeconfig in BAILIWICK_TEST_KUBECONFIG. Nothing of it is started, ended
# or removed. Images reach it only where BAILIWICK_TEST_LOAD names a command that takes archives. Sourced.

given_groups() {
  local groups=()
  have kubectl || groups+=(kubernetes:kubectl)
  have helm || groups+=(helm)
  say "${groups[*]}"
}

given_needs() {
  [[ -r ${BAILIWICK_TEST_KUBECONFIG:?BAILIWICK_CLUSTER=given needs it} ]] ||
    fail "BAILIWICK_TEST_KUBECONFIG names \`$BAILIWICK_TEST_KUBECONFIG\`, which cannot be read"
}

given_up() {
  local nodes
  have kubectl || link_programs kubectl
  have helm || link_programs helm
  mkdir -p "$STATE/bin"
  cp "$BAILIWICK_TEST_KUBECONFIG" "$KUBECONFIG"
  kubectl get --raw /readyz >/dev/null || fail "the cluster of $BAILIWICK_TEST_KUBECONFIG does not answer"
  nodes=$(kubectl get nodes --output 'jsonpath={.items[*].metadata.name}')
  write_env given "$nodes"
}

given_healthy() { kubectl get --raw /readyz >/dev/null 2>&1; }
given_down() { rm -rf "$STATE"; }
given_status() { kubectl get nodes; }

given_load() {
  [[ -n ${BAILIWICK_TEST_LOAD:-} ]] || fail "set BAILIWICK_TEST_LOAD to a command that loads the archives named after it into the cluster"
  "$BAILIWICK_TEST_LOAD" "$@"
}

given_node_exec() { fail "a given cluster's nodes cannot be entered"; }
given_ctr() { fail "a given cluster's nodes cannot be entered"; }
given_fault() { fail "a given cluster is not broken on purpose"; }
