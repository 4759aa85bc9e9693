//! Every way to a pod: Service, headless Service, pod address, IPv6, the other node, oneself.

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{Client, Scene, Server};

const ALLOW_WEB: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{http: {methods: [GET], paths: ['/orders/**']}}]
";

fn allowed_and_refused(web: &Client, host: &str) -> Result<()> {
    let answer = web.get(&format!("http://{host}:8080/orders/1"))?.expect(200)?;
    ensure!(answer.body.contains("/sa/web"), "{host}: the application is not told who calls: {answer:?}");
    web.get(&format!("http://{host}:8080/admin"))?.expect(403)?;
    Ok(())
}

#[test]
fn services_headless_services_and_pod_addresses_lead_through_the_mesh() -> Result<()> {
    let scene = Scene::enrolled("reach")?;
    scene.server(&Server::new("orders").replicas(2))?;
    scene.apply(
        "
apiVersion: v1
kind: Service
metadata: {name: headless}
spec:
  clusterIP: None
  selector: {app: orders}
  ports: [{name: http, port: 8080, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: otherport}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 80, targetPort: http}]
",
    )?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(ALLOW_WEB)?;
    allowed_and_refused(&web, "orders")?;
    allowed_and_refused(&web, "headless")?;
    web.get("http://otherport/orders/1")?.expect(200)?;
    let addresses = scene.pod_addresses("orders")?;
    ensure!(addresses.len() == 2, "two pods: {addresses:?}");
    for address in &addresses {
        allowed_and_refused(&web, address)?;
    }
    // One pod on each node, so that the other node is reached too.
    let nodes =
        scene.kubectl(&["get", "pods", "-l", "app=orders", "-o", "jsonpath={.items[*].spec.nodeName}"])?;
    let distinct: std::collections::BTreeSet<&str> = nodes.split_whitespace().collect();
    ensure!(distinct.len() == 2, "both pods run on one node: {nodes}");
    Ok(())
}

#[test]
fn ipv6_is_captured_and_decided_like_ipv4() -> Result<()> {
    let scene = Scene::enrolled("ipv6")?;
    scene.server(&Server::new("orders").service("  ipFamilyPolicy: RequireDualStack"))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(ALLOW_WEB)?;
    let of = |resource: &[&str], path: &str| -> Result<String> {
        let mut arguments = vec!["get"];
        arguments.extend_from_slice(resource);
        arguments.extend_from_slice(&["-o", path]);
        scene.kubectl(&arguments)
    };
    let service = of(&["service", "orders"], "jsonpath={.spec.clusterIPs[*]}")?;
    let pod = of(&["pods", "-l", "app=orders"], "jsonpath={.items[0].status.podIPs[*].ip}")?;
    for text in [service, pod] {
        let six = text.split_whitespace().find(|address| address.contains(':')).context("no IPv6 address")?;
        allowed_and_refused(&web, &format!("[{six}]"))?;
    }
    let outside = Scene::plain("ipv6-outside")?;
    let stranger = outside.client("stranger")?;
    outside.ready()?;
    let pod = of(&["pods", "-l", "app=orders"], "jsonpath={.items[0].status.podIPs[*].ip}")?;
    for address in pod.split_whitespace() {
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        stranger.get(&format!("http://{host}:8080/orders/1"))?.expect(401)?;
    }
    Ok(())
}

#[test]
fn a_call_to_oneself_is_decided_like_any_other() -> Result<()> {
    let scene = Scene::enrolled("oneself")?;
    // A client that is a server too.
    scene.apply(&bailiwick_e2e::client_manifest("web", "").replace(
        "  containers:\n",
        "  containers:\n  - name: server\n    image: DEMO\n    args: [--name, web, --http, '0.0.0.0:8080']\n    ports: [{containerPort: 8080, name: http}]\n",
    ).replace("DEMO", &bailiwick_e2e::demo_image()))?;
    scene.apply(
        "
apiVersion: v1
kind: Service
metadata: {name: itself}
spec:
  selector: {app: web}
  ports: [{name: http, port: 8080}]
",
    )?;
    let web = scene.existing("web");
    scene.ready()?;
    web.get("http://itself:8080/orders/1")?.expect(403)?;
    scene.enforce(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: web}
spec:
  rules:
  - name: itself
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{http: {methods: [GET], paths: ['/orders/**']}}]
",
    )?;
    let own = scene.pod_addresses("web")?.pop().context("no address")?;
    for host in ["itself", &own] {
        allowed_and_refused(&web, host)?;
    }
    Ok(())
}

#[test]
fn calls_spread_over_the_ready_pods() -> Result<()> {
    let scene = Scene::enrolled("spread")?;
    scene.server(&Server::new("orders").replicas(2))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(ALLOW_WEB)?;
    // One connection of the application, many requests: each is a choice of its own.
    let script = "
import http.client
c = http.client.HTTPConnection('orders', 8080, timeout=5)
for i in range(60):
    c.request('GET', '/orders/%d' % i); a = c.getresponse(); a.read(); assert a.status == 200, a.status
";
    web.python(script)?.ok()?;
    let pods =
        scene.kubectl(&["get", "pods", "-l", "app=orders", "-o", "jsonpath={.items[*].metadata.name}"])?;
    for pod in pods.split_whitespace() {
        let log = scene.kubectl(&["logs", pod, "-c", "bailiwick-sidecar"])?;
        let count = log.lines().filter(|line| line.contains("/orders/")).count();
        ensure!(count >= 10, "{pod} had {count} of 60 calls");
    }
    Ok(())
}
