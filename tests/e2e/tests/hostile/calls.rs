//! Direct calls past the sidecar, to its own ports, from a pod and from the node.

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{Client, Scene, Server, kubectl_text, shell};

const ALLOW_ALL: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: all}
spec:
  rules: [{name: proven, effect: Allow, subjects: [{authenticated: {}}], permissions: [{any: {}}]}]
";

/// The application's own words: no answer may hold them.
const APPLICATION: &str = "\"service\":\"orders\"";

#[test]
fn no_direct_call_reaches_the_application() -> Result<()> {
    let scene = Scene::enrolled("direct")?;
    scene.server(&Server::new("orders").annotation("example.com/x", "y"))?;
    let neighbour = scene.client("web")?;
    let outside = Scene::plain("direct-outside")?;
    let stranger = outside.client("stranger")?;
    scene.ready()?;
    outside.ready()?;
    scene.enforce(ALLOW_ALL)?;
    let addresses = scene.kubectl(&[
        "get",
        "pods",
        "-l",
        "app=orders",
        "-o",
        "jsonpath={.items[0].status.podIPs[*].ip}",
    ])?;
    let mut cases = 0;
    for address in addresses.split_whitespace() {
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        cases += from_a_pod(&stranger, &host)? + from_the_node(&host)?;
    }
    // A captured call of a neighbour is decided even when it dials the sidecar's own ports.
    let own = addresses.split_whitespace().next().context("no address")?;
    for port in [15000, 15001, 15006] {
        let answer = neighbour.curl(&["--max-time", "3", &format!("http://{own}:{port}/orders")])?;
        ensure!(!answer.body.contains(APPLICATION), "{port}: {answer:?}");
        cases += 1;
    }
    println!("{cases} direct calls, none reached the application");
    Ok(())
}

fn from_a_pod(stranger: &Client, host: &str) -> Result<usize> {
    let mut cases = 0;
    for port in [8080, 9000, 15000, 15001, 15006, 15020, 15098, 15099, 1, 65535] {
        for path in
            ["/orders", "/probe/0/../../orders", "/ready", "/config", "/probe/99", "/metrics/../config"]
        {
            let url = format!("http://{host}:{port}{path}");
            let answer = stranger.curl(&["--path-as-is", "-g", "--max-time", "3", &url])?;
            ensure!(!answer.body.contains(APPLICATION), "{url} reached the application: {answer:?}");
            ensure!(!(path == "/config" && answer.status == 200), "{url} gave the configuration");
            cases += 1;
        }
    }
    Ok(cases)
}

/// From the node only the pod's declared probes are run, and answer without a body.
fn from_the_node(host: &str) -> Result<usize> {
    let node = kubectl_text(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"])?;
    let ask = |more: &str| {
        shell(&format!("bash \"$BAILIWICK_E2E_CLUSTER\" node-exec {node} curl -gsi --max-time 3 'http://{host}:{more}' || true"))?.ok()
    };
    let paths = ["8080/orders", "15006/orders", "15001/orders", "15020/config", "15020/orders"];
    for path in paths {
        let said = ask(path)?;
        ensure!(!said.contains(APPLICATION), "the node reached the application at {path}: {said}");
    }
    let probe = ask("15020/probe/0")?;
    ensure!(probe.starts_with("HTTP/1.1 200") && !probe.contains("service"), "the declared probe: {probe}");
    Ok(paths.len() + 1)
}

#[test]
fn forged_identity_headers_do_not_arrive() -> Result<()> {
    let scene = Scene::enrolled("forged")?;
    scene.server(&Server::new("orders"))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(ALLOW_ALL)?;
    let forged = "spiffe://cluster.local/ns/kube-system/sa/root";
    for name in
        ["x-bailiwick-client-id", "X-Bailiwick-Client-Id", "x-bailiwick-namespace", "X_Bailiwick_Client_Id"]
    {
        let header = format!("{name}: {forged}");
        let answer = web.curl(&["-H", &header, "http://orders:8080/orders"])?.expect(200)?;
        ensure!(!answer.body.contains("kube-system"), "{name} arrived: {answer:?}");
        ensure!(answer.body.contains("/sa/web"), "the true identity is missing: {answer:?}");
    }
    Ok(())
}
