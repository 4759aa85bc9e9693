//! Callers and callees outside the mesh.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{Scene, Server, eventually, kubectl_text, shell};

const ALLOW_ALL: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: all}
spec:
  rules: [{name: everybody, effect: Allow, subjects: [{authenticated: {}}], permissions: [{any: {}}]}]
";

#[test]
fn an_unmeshed_callee_gets_what_the_application_sent() -> Result<()> {
    let scene = Scene::enrolled("callee")?;
    let outside = Scene::plain("callee-outside")?;
    outside.server(&Server::new("legacy"))?;
    let web = scene.client("web")?;
    scene.ready()?;
    outside.ready()?;
    let host = format!("legacy.{}", outside.namespace());
    web.get(&format!("http://{host}:8080/a"))?.expect(200)?;
    ensure!(web.greeting(&host, 9000)?.contains("220"));
    // The API server, by TLS that is the application's own.
    let line = "curl -sk -o /dev/null -w '%{http_code}' https://kubernetes.default/version --max-time 5";
    let code = web.exec(&["sh", "-c", line])?.ok()?;
    ensure!(code == "200" || code == "401" || code == "403", "{code}");
    Ok(())
}

#[test]
fn a_scraper_without_a_sidecar_reaches_a_permissive_port_by_its_address() -> Result<()> {
    let scene = Scene::enrolled("scrape")?;
    scene.server(&Server::new("orders"))?;
    let outside = Scene::plain("scrape-outside")?;
    let prometheus = outside.client("prometheus")?;
    scene.ready()?;
    outside.ready()?;
    let url = format!("http://orders.{}:8080", scene.namespace());
    prometheus.get(&format!("{url}/metrics"))?.expect(401)?;
    let address = outside.kubectl(&["get", "pod", "prometheus", "-o", "jsonpath={.status.podIP}"])?;
    scene.enforce(&format!(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Authentication
metadata: {{name: metrics}}
spec:
  targets: [{{kind: Pod, selector: {{matchLabels: {{app: orders}}}}}}]
  mtls: {{mode: Strict, ports: [{{port: 8080, mode: Permissive}}]}}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {{name: metrics}}
spec:
  targets: [{{kind: Pod, selector: {{matchLabels: {{app: orders}}}}}}]
  rules:
  - name: scraper
    effect: Allow
    subjects: [{{ipBlock: {{cidr: {address}/32}}}}]
    permissions: [{{http: {{methods: [GET], paths: ['/metrics']}}}}]
"
    ))?;
    prometheus.get(&format!("{url}/metrics"))?.expect(200)?;
    // Optional credentials, none presented, refused by default: proving itself could help.
    prometheus.get(&format!("{url}/orders"))?.expect(401)?;
    Ok(())
}

#[test]
fn node_ports_and_the_node_itself_are_not_trusted() -> Result<()> {
    let scene = Scene::enrolled("nodeport")?;
    scene.server(&Server::new("orders").service("  type: NodePort"))?;
    scene.ready()?;
    scene.enforce(ALLOW_ALL)?;
    let port = scene.kubectl(&["get", "service", "orders", "-o", "jsonpath={.spec.ports[0].nodePort}"])?;
    let node = kubectl_text(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"])?;
    let address = kubectl_text(&[
        "get",
        "nodes",
        "-o",
        "jsonpath={.items[1].status.addresses[?(@.type=='InternalIP')].address}",
    ])?;
    let address = address.split_whitespace().next().context("no node address")?;
    let pod = scene.pod_addresses("orders")?.pop().context("no pod")?;
    for target in [format!("{address}:{port}"), format!("{pod}:8080")] {
        let line = format!(
            "bash \"$BAILIWICK_E2E_CLUSTER\" node-exec {node} curl -s -o /dev/null -w '%{{http_code}}' --max-time 5 http://{target}/orders"
        );
        let code = shell(&line)?.ok()?;
        ensure!(code.trim() == "401", "{target} answered {code} to the node");
    }
    Ok(())
}

#[test]
fn port_forward_and_exec_reach_the_application_by_loopback() -> Result<()> {
    let scene = Scene::enrolled("forward")?;
    scene.server(&Server::new("orders"))?;
    scene.ready()?;
    let namespace = scene.namespace();
    let port = 20_000 + std::process::id() % 10_000;
    let line = format!(
        "kubectl -n {namespace} port-forward deployment/orders {port}:8080 >/dev/null 2>&1 & forward=$!; trap 'kill $forward' EXIT; for i in $(seq 50); do code=$(curl -s -o /dev/null -w '%{{http_code}}' --max-time 2 http://127.0.0.1:{port}/a || true); [ \"$code\" = 200 ] && break; sleep 0.1; done; echo $code"
    );
    let code = shell(&line)?.ok()?;
    ensure!(
        code.trim() == "200",
        "out of scope and stated so: port-forward is the application's loopback; got {code}"
    );
    Ok(())
}

/// A webhook in python behind its own TLS: to the mesh it is TCP from an unproven caller.
const HOOK: &str = r"
import http.server, json, ssl
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        r = json.loads(self.rfile.read(int(self.headers['content-length'])))
        b = json.dumps({'apiVersion':'admission.k8s.io/v1','kind':'AdmissionReview','response':{'uid':r['request']['uid'],'allowed':False,'status':{'message':'told by the shop'}}}).encode()
        self.send_response(200); self.send_header('content-type','application/json'); self.send_header('content-length',str(len(b))); self.end_headers(); self.wfile.write(b)
s = http.server.ThreadingHTTPServer(('0.0.0.0', 8443), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('/tmp/crt', '/tmp/key'); s.socket = c.wrap_socket(s.socket, server_side=True); s.serve_forever()
";

const HOOK_POD: &str = "
apiVersion: v1
kind: Service
metadata: {name: hook}
spec: {selector: {app: hook}, ports: [{name: https, port: 443, targetPort: 8443}]}
---
apiVersion: v1
kind: Pod
metadata: {name: hook, labels: {app: hook}}
spec:
  containers:
  - name: client
    image: IMAGE
    command: [sh, -c]
    args:
    - |
      openssl req -x509 -newkey rsa:2048 -nodes -keyout /tmp/key -out /tmp/crt -days 2 -subj /CN=hook -addext subjectAltName=DNS:hook.NAMESPACE.svc
      exec python3 -c \"$SCRIPT\"
    env:
    - name: SCRIPT
      value: |
        CODE
    ports: [{containerPort: 8443, name: https}]
    readinessProbe: {tcpSocket: {port: 8443}, periodSeconds: 1}
";

const HOOK_REGISTRATION: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NAMESPACE}
webhooks:
- name: hook.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 3
  failurePolicy: Fail
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
  rules: [{apiGroups: [''], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
  clientConfig: {service: {name: hook, namespace: NAMESPACE}, caBundle: AUTHORITY}
";

/// Where the API server's connections come from depends on the cluster: here the private ranges.
const HOOK_ALLOW: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Authentication
metadata: {name: hook}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: hook}}}]
  mtls: {ports: [{port: 8443, mode: Permissive}]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: hook}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: hook}}}]
  rules:
  - name: api-server
    effect: Allow
    subjects: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: 172.16.0.0/12}}, {ipBlock: {cidr: 192.168.0.0/16}}, {ipBlock: {cidr: 'fd00::/8'}}]
    permissions: [{tcp: {ports: [8443]}}]
";

#[test]
fn an_admission_webhook_of_an_application_is_called_by_the_api_server() -> Result<()> {
    let scene = Scene::enrolled("hook")?;
    let name = scene.namespace().to_owned();
    let indented = HOOK.trim().replace('\n', "\n        ");
    let pod = HOOK_POD.replace("IMAGE", &bailiwick_e2e::tools_image()).replace("NAMESPACE", &name);
    scene.apply(&pod.replace("CODE", &indented))?;
    scene.ready()?;
    let authority = scene.existing("hook").exec(&["sh", "-c", "base64 -w0 /tmp/crt"])?.ok()?;
    scene.apply(&HOOK_REGISTRATION.replace("NAMESPACE", &name).replace("AUTHORITY", &authority))?;
    let ask = || -> Result<String> {
        Ok(scene.try_apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: asked}\n")?.stderr)
    };
    let outcome = (|| {
        let said = ask()?;
        ensure!(!said.contains("told by the shop"), "the webhook was reached without a policy: {said}");
        scene.enforce(HOOK_ALLOW)?;
        eventually("the API server reaches the webhook", Duration::from_secs(10), || {
            let said = ask()?;
            ensure!(said.contains("told by the shop"), "{said}");
            Ok(())
        })
    })();
    scene.kubectl(&["delete", "validatingwebhookconfigurations", &name])?;
    outcome
}

const NGINX: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec:
  serviceAccountName: NAME
  containers:
  - name: client
    image: IMAGE
    command: [sh, -c]
    args:
    - |
      printf 'daemon off; pid /tmp/n.pid; error_log stderr; events {} http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; server { listen 8080; location / { proxy_pass http://orders.SPACE.svc:8080; } } }' > /tmp/n.conf
      exec nginx -c /tmp/n.conf
    ports: [{containerPort: 8080, name: http}]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
";

const INGRESS: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Authentication
metadata: {name: ingress}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: ingress}}}]
  mtls: {mode: Permissive}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: ingress}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: ingress}}}]
  rules: [{name: world, effect: Allow, subjects: [{anyone: {}}], permissions: [{any: {}}]}]
---
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules: [{name: ingress, effect: Allow, subjects: [{serviceAccount: {name: ingress}}], permissions: [{http: {methods: [GET], paths: ['/orders']}}]}]
";

#[test]
fn an_ingress_is_a_caller_like_any_other() -> Result<()> {
    let scene = Scene::enrolled("ingress")?;
    scene.server(&Server::new("orders"))?;
    let nginx = |name: &str| {
        NGINX
            .replace("IMAGE", &bailiwick_e2e::tools_image())
            .replace("SPACE", scene.namespace())
            .replace("NAME", name)
    };
    // One with a sidecar: its identity is what policies name.
    scene.apply(&nginx("ingress"))?;
    let outside = Scene::plain("ingress-outside")?;
    outside.apply(&nginx("bare"))?;
    let user = outside.client("user")?;
    scene.ready()?;
    outside.ready()?;
    scene.enforce(INGRESS)?;
    let entry = format!("http://ingress.{}:8080", scene.namespace());
    user.get(&format!("{entry}/orders"))?.expect(200)?;
    user.get(&format!("{entry}/admin"))?.expect(403)?;
    // One without: nobody.
    user.get("http://bare:8080/orders")?.expect(401)?;
    Ok(())
}
