# shellcheck shell=bash
# The authorities and certificates of the local cluster, and a kubeconfig for each client. They live as long as the cluster. Sourced.

make_authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$2" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign,digitalSignature" \
    -keyout "$CERTS/$1.key" -out "$CERTS/$1.crt" 2>/dev/null
}

# $1: file name, $2: authority, $3: subject, $4: alternative names or nothing.
make_certificate() {
  local name=$1 authority=$2 subject=$3 names=${4:-}
  {
    say "basicConstraints=critical,CA:FALSE"
    say "keyUsage=critical,digitalSignature"
    say "extendedKeyUsage=serverAuth,clientAuth"
    if [[ -n $names ]]; then say "subjectAltName=$names"; fi
  } >"$CERTS/$name.ext"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
    -keyout "$CERTS/$name.key" -out "$CERTS/$name.csr" 2>/dev/null
  openssl x509 -req -in "$CERTS/$name.csr" -CA "$CERTS/$authority.crt" -CAkey "$CERTS/$authority.key" -days 3650 \
    -set_serial "0x$(openssl rand -hex 16)" -extfile "$CERTS/$name.ext" -out "$CERTS/$name.crt" 2>/dev/null
  rm "$CERTS/$name.csr" "$CERTS/$name.ext"
}

# $1: file, $2: name of the certificate.
make_kubeconfig() {
  cat >"$1" <<END
apiVersion: v1
kind: Config
current-context: bailiwick
contexts: [{name: bailiwick, context: {cluster: bailiwick, user: $2}}]
clusters:
  - name: bailiwick
    cluster:
      server: https://$API_ADDRESS:$API_PORT
      certificate-authority-data: $(base64 -w0 "$CERTS/ca.crt")
users:
  - name: $2
    user:
      client-certificate-data: $(base64 -w0 "$CERTS/$2.crt")
      client-key-data: $(base64 -w0 "$CERTS/$2.key")
END
}

make_certificates() {
  local node name names
  mkdir -p "$CERTS"
  chmod 700 "$CERTS"
  umask 077
  make_authority ca bailiwick-test-cluster
  make_authority front-proxy-ca bailiwick-test-cluster-front-proxy
  openssl ecparam -name prime256v1 -genkey -noout -out "$CERTS/service-account.key"
  openssl ec -in "$CERTS/service-account.key" -pubout -out "$CERTS/service-account.pub" 2>/dev/null
  names=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
  names+=,DNS:localhost,IP:127.0.0.1,IP:$API_ADDRESS,IP:$(node_address_6 "${NODES[0]}"),IP:10.96.0.1,IP:fd00:10:96::1
  make_certificate kube-apiserver ca /CN=kube-apiserver "$names"
  make_certificate apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
  make_certificate front-proxy-client front-proxy-ca /CN=front-proxy-client
  make_certificate admin ca /O=system:masters/CN=kubernetes-admin
  for name in kube-controller-manager kube-scheduler kube-proxy; do make_certificate "$name" ca "/CN=system:$name"; done
  for node in "${NODES[@]}"; do
    make_certificate "$node" ca "/O=system:nodes/CN=system:node:$node" \
      "DNS:$node,IP:$(node_address_4 "$node"),IP:$(node_address_6 "$node")"
  done
  for name in kube-controller-manager kube-scheduler kube-proxy "${NODES[@]}"; do
    make_kubeconfig "$CERTS/$name.kubeconfig" "$name"
  done
  make_kubeconfig "$KUBECONFIG" admin
  umask 022
}
