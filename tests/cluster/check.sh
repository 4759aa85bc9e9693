#!/usr/bin/env bash
# Is the test cluster a real one? Uses all of it that our tests lean on, so that a failing test of ours points at us.
#
#   check.sh      after `cluster.sh up`; names each thing that works, and closes with the counts
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/cluster/lib.sh
source "$here/lib.sh"
# shellcheck source=/dev/null
source "$STATE/env"
bash "$here/cluster.sh" tools
read -ra nodes <<<"$BAILIWICK_CLUSTER_NODES"
work=$(mktemp -d)
passed=0 failed=0
k() { kubectl --namespace bailiwick-check "$@"; }

remove_all() {
  helm --namespace bailiwick-check uninstall --ignore-not-found check >/dev/null 2>&1 || true
  kubectl delete --ignore-not-found --wait \
    validatingwebhookconfiguration/bailiwick-check validatingadmissionpolicy/bailiwick-check \
    validatingadmissionpolicybinding/bailiwick-check clustertrustbundle/bailiwick-check namespace/bailiwick-check >/dev/null
}
finish() {
  rm -rf "$work"
  if [[ -z ${BAILIWICK_CHECK_KEEP:-} ]]; then remove_all; fi
}
trap finish EXIT

# $1: what, the rest: a command that succeeds.
check() {
  local what=$1 began code
  shift
  began=$(now)
  # Not `if` or `||`, in which the first failing command would not end the check.
  set +e
  (set -e; "$@") >"$work/output" 2>&1
  code=$?
  set -e
  if ((code == 0)); then
    passed=$((passed + 1))
    say "ok      $what ($(since "$began") s)"
  else
    failed=$((failed + 1))
    say "FAILED  $what"
    tail -n 10 "$work/output"
  fi
}

# Until a command succeeds, in $1 seconds.
soon() { (wait_for "$1" "$2" "${@:2}"); }

apply_workload() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=check \
    -addext subjectAltName=DNS:webhook.bailiwick-check.svc -keyout "$work/key" -out "$work/crt" 2>/dev/null
  kubectl create namespace bailiwick-check
  k create secret tls webhook --cert "$work/crt" --key "$work/key"
  local text bundle
  text=$(<"$here/check/workload.yaml")
  bundle=$(awk '{ printf "%s\\n", $0 }' "$work/crt")
  kubectl apply -f - <<<"${text//'{{BUNDLE}}'/"$bundle"}"
  text=$(<"$here/check/admission.yaml")
  kubectl apply -f - <<<"${text//'{{AUTHORITY}}'/$(base64 -w0 "$work/crt")}"
}

pods() { k get pods --selector "app=$1" --output 'jsonpath={.items[*].metadata.name}'; }
spread() { [[ $(k get pods --selector app=web --output 'jsonpath={.items[*].spec.nodeName}' | tr ' ' '\n' | sort -u | wc -l) == 2 ]]; }

# Every pod of `web` reaches every other and itself, directly and by the Service, by each family.
each_to_each() {
  local pod address addresses
  addresses=$(k get pods --selector app=web --output 'jsonpath={.items[*].status.podIPs[*].ip}')
  [[ $(wc -w <<<"$addresses") == 4 ]]
  for pod in $(pods web); do
    for address in $addresses; do from "$pod" "$address" 8080; done
  done
}
service_to_each() {
  local pod address
  for pod in $(pods web); do
    for address in $(k get service web --output 'jsonpath={.spec.clusterIPs[*]}'); do
      for _ in 1 2 3 4 5 6; do from "$pod" "$address" 80; done
    done
  done
}
from() { k exec "$1" --container web -- curl --silent --show-error --fail --max-time 3 "http://$(bracketed "$2"):$3/"; }
bracketed() { if [[ $1 == *:* ]]; then say "[$1]"; else say "$1"; fi; }

names() {
  local pod
  for pod in $(pods web); do
    [[ $(k exec "$pod" --container web -- dig +short +search web A) == 10.* ]]
    [[ $(k exec "$pod" --container web -- dig +short web.bailiwick-check.svc.cluster.local AAAA) == fd* ]]
    k exec "$pod" --container web -- curl --silent --fail --max-time 3 http://web
    [[ $(k exec "$pod" --container web -- dig unknown.invalid) == *NXDOMAIN* ]]
  done
}

api_from_pod() {
  # The pod's shell is to expand these.
  # shellcheck disable=SC2016
  k exec "$1" --container web -- sh -c 'cd /run/secrets/kubernetes.io/serviceaccount && exec curl --silent --fail --max-time 3 \
    --cacert ca.crt --header "Authorization: Bearer $(cat token)" https://kubernetes.default.svc/version'
}
api_from_each() { for pod in $(pods web); do api_from_pod "$pod"; done; }

node_ports() {
  local node address
  for node in "${nodes[@]}"; do
    for address in $(kubectl get node "$node" --output 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}'); do
      for from in "${nodes[@]}"; do
        bash "$here/cluster.sh" node-exec "$from" curl --silent --fail --max-time 3 "http://$(bracketed "$address"):30080/"
      done
    done
  done
}

# Where the API server calls webhooks from.
services_from_nodes() {
  local node address
  for node in "${nodes[@]}"; do
    for address in $(k get service web --output 'jsonpath={.spec.clusterIPs[*]}'); do
      for _ in 1 2 3 4 5 6; do
        bash "$here/cluster.sh" node-exec "$node" curl --silent --show-error --fail --max-time 3 "http://$(bracketed "$address")/"
      done
    done
  done
}

logs_of_each() { for pod in $(pods web); do [[ $(k logs "$pod" --container web) == *'GET / '* ]]; done; }

forward() {
  local pod forwarder code=0
  for pod in $(pods web); do
    kubectl --namespace bailiwick-check port-forward "pod/$pod" 18080:8080 >/dev/null &
    forwarder=$!
    soon 5 curl --silent --fail http://127.0.0.1:18080/ || code=1
    kill "$forwarder"
    wait "$forwarder" || true
  done
  return "$code"
}

redirected() {
  k wait --for=condition=Ready --timeout=30s pod/redirect
  # As another user than the server's, whose own connections are let through.
  k debug redirect --image localhost/bailiwick-test-tools:dev --image-pull-policy IfNotPresent --profile general --quiet \
    --container other -- curl --silent --fail --max-time 3 http://10.255.255.1:81/hostname >/dev/null
  soon 20 other_ended
}
other_ended() { [[ $(k get pod redirect --output 'jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}') == 0 ]]; }

projected() {
  k wait --for=condition=Ready --timeout=30s pod/projected
  [[ $(k exec projected -- cat /projected/name) == projected ]]
  k exec projected -- cat /projected/bundle.pem | grep -q 'BEGIN CERTIFICATE'
  local claims token
  token=$(k exec projected -- cat /projected/token)
  claims=$(cut -d. -f2 <<<"$token" | tr '_-' '/+' | base64 -d 2>/dev/null || true)
  [[ $claims == *'"aud":["bailiwick-check"]'* && $claims == *'"pod":{"name":"projected"'* ]]
  kubectl create --raw /apis/authentication.k8s.io/v1/tokenreviews -f - <<END | grep -q '"authenticated":true'
{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "$token", "audiences": ["bailiwick-check"]}}
END
}

requested() { [[ -n $(k get podcertificaterequests --output name) ]]; }
certificate_requested() { soon 20 requested; }

refuses() { ! k create configmap "$1" --dry-run=server 2>"$work/refusal" && grep -q "$2" "$work/refusal"; }
policy_refuses() { soon 20 refuses refused-by-policy 'refused by the policy'; }
hook_refuses() {
  k create configmap refused-by-webhook --dry-run=client --output yaml |
    kubectl label --local --filename - --output yaml check=webhook >"$work/refused.yaml"
  ! k create --dry-run=server --filename "$work/refused.yaml" 2>"$work/refusal" && grep -q 'refused by the webhook' "$work/refusal"
}
# Often enough to meet the pod on each node.
webhook_refuses() {
  k rollout status --timeout=60s deployment/webhook
  soon 20 hook_refuses
  for _ in 1 2 3 4 5 6 7 8 9 10; do hook_refuses; done
}

chart() {
  helm --namespace bailiwick-check install --wait --timeout 60s check "$here/check/chart"
  helm --namespace bailiwick-check uninstall --wait --timeout 60s check
}

pod_ends() {
  local pod
  read -r pod _ <<<"$(pods web)"
  k delete --timeout=15s "pod/$pod"
  k rollout status --timeout=60s deployment/web
}

audited() { grep -q '"objectRef":{"resource":"services","namespace":"bailiwick-check","name":"web"' "$BAILIWICK_CLUSTER_AUDIT_LOG"; }

remove_all
check "objects are taken" apply_workload
check "a Deployment of two with native sidecars becomes ready" k rollout status --timeout=60s deployment/web
check "its pods are on both nodes" spread
check "a Job completes" k wait --for=condition=Complete --timeout=60s job/job
check "pods reach pods on both nodes, IPv4 and IPv6" each_to_each
check "pods reach the Service, IPv4 and IPv6" service_to_each
check "names resolve in pods on both nodes" names
check "pods on both nodes reach the API server" api_from_each
check "node ports answer on both nodes, IPv4 and IPv6" node_ports
check "nodes reach the Service, IPv4 and IPv6" services_from_nodes
check "kubectl logs" logs_of_each
check "kubectl port-forward" forward
check "an init container with NET_ADMIN redirects by nftables" redirected
check "tokens for an audience and trust bundles are projected" projected
check "a pod's certificate is requested" certificate_requested
check "an admission policy refuses" policy_refuses
check "the API server reaches a webhook on both nodes" webhook_refuses
check "a chart installs and uninstalls" chart
check "a pod ends in time and is replaced" pod_ends
if [[ -n ${BAILIWICK_CLUSTER_AUDIT_LOG:-} ]]; then check "requests are in the audit log" audited; fi
say "$passed passed, $failed failed"
((failed == 0))
