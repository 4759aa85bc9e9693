# shellcheck shell=bash
# The control plane of the local cluster, on its first node. There it has the node's routes and Service rules, so that it reaches webhooks
# in pods as a real one does. Sourced.

etcd_start() {
  component "${NODES[0]}" etcd --name bailiwick --data-dir "$DATA/etcd" --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster bailiwick=http://127.0.0.1:2380 --log-level warn
}

# shellcheck disable=SC2054
api_server_start() {
  node_config "${NODES[0]}" audit-policy.yaml
  local arguments=(
    --etcd-servers http://127.0.0.1:2379
    --advertise-address "$API_ADDRESS" --secure-port "$API_PORT"
    --tls-cert-file "$CERTS/kube-apiserver.crt" --tls-private-key-file "$CERTS/kube-apiserver.key"
    --client-ca-file "$CERTS/ca.crt"
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged
    --service-cluster-ip-range "$SERVICE_RANGE_4,$SERVICE_RANGE_6"
    --service-account-issuer https://kubernetes.default.svc.cluster.local
    --service-account-key-file "$CERTS/service-account.pub"
    --service-account-signing-key-file "$CERTS/service-account.key"
    # Node names are in no DNS.
    --kubelet-preferred-address-types InternalIP --kubelet-certificate-authority "$CERTS/ca.crt"
    --kubelet-client-certificate "$CERTS/apiserver-kubelet-client.crt"
    --kubelet-client-key "$CERTS/apiserver-kubelet-client.key"
    --proxy-client-cert-file "$CERTS/front-proxy-client.crt" --proxy-client-key-file "$CERTS/front-proxy-client.key"
    --requestheader-client-ca-file "$CERTS/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group
    --requestheader-extra-headers-prefix X-Remote-Extra-
    # What the tests compare with the operator's RBAC: who asked for what.
    --audit-policy-file "$STATE/config/${NODES[0]}/audit-policy.yaml" --audit-log-path "$LOGS/audit.log" --audit-log-maxsize 500
  )
  component "${NODES[0]}" kube-apiserver "${arguments[@]}"
}

controllers_start() {
  local common=(--leader-elect=false)
  component "${NODES[0]}" kube-scheduler "${common[@]}" --kubeconfig "$CERTS/kube-scheduler.kubeconfig" \
    --authentication-kubeconfig "$CERTS/kube-scheduler.kubeconfig" --authorization-kubeconfig "$CERTS/kube-scheduler.kubeconfig"
  component "${NODES[0]}" kube-controller-manager "${common[@]}" --kubeconfig "$CERTS/kube-controller-manager.kubeconfig" \
    --authentication-kubeconfig "$CERTS/kube-controller-manager.kubeconfig" \
    --authorization-kubeconfig "$CERTS/kube-controller-manager.kubeconfig" \
    --use-service-account-credentials --service-account-private-key-file "$CERTS/service-account.key" \
    --root-ca-file "$CERTS/ca.crt" --cluster-signing-cert-file "$CERTS/ca.crt" --cluster-signing-key-file "$CERTS/ca.key" \
    --allocate-node-cidrs --cluster-cidr "$POD_RANGE_4,$POD_RANGE_6" \
    --service-cluster-ip-range "$SERVICE_RANGE_4,$SERVICE_RANGE_6" \
    --node-monitor-period 2s --node-monitor-grace-period 20s
}
