//! Rolling restarts and upgrades under load.

use std::time::Duration;

use anyhow::{Result, ensure};
use bailiwick_e2e::{Load, Scene, Server, kubectl_text, settled, system_namespace};

const POLICY: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{http: {methods: [GET], paths: ['/orders']}}]
";

/// How many restarts; the figure where nothing else is said.
fn rounds(default: usize) -> usize {
    std::env::var("BAILIWICK_E2E_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn rolling_restarts_at_200_calls_a_second_fail_none() -> Result<()> {
    settled()?;
    let scene = Scene::enrolled("rolling")?;
    // What any Deployment needs for this, with or without a mesh: a moment for the endpoints to be withdrawn.
    scene.server(&Server::new("orders").replicas(2))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(POLICY)?;
    let load = Load::start(&web, "orders", 8080, "/orders", 200)?;
    for _ in 0..rounds(20) {
        scene.kubectl(&["rollout", "restart", "deployment/orders"])?;
        scene.kubectl(&["rollout", "status", "deployment/orders", "--timeout=120s"])?;
    }
    let tally = load.stop()?;
    println!("{tally:?}");
    ensure!(tally.failed() == 0 && tally.calls > 1000, "{tally:?}");
    Ok(())
}

#[test]
fn an_upgrade_of_the_operator_fails_no_call() -> Result<()> {
    settled()?;
    let scene = Scene::enrolled("upgrade")?;
    scene.server(&Server::new("orders").replicas(2))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(POLICY)?;
    let load = Load::start(&web, "orders", 8080, "/orders", 100)?;
    let namespace = system_namespace();
    kubectl_text(&["-n", &namespace, "rollout", "restart", "deployment/bailiwick-operator"])?;
    kubectl_text(&[
        "-n",
        &namespace,
        "rollout",
        "status",
        "deployment/bailiwick-operator",
        "--timeout=180s",
    ])?;
    std::thread::sleep(Duration::from_secs(5));
    let tally = load.stop()?;
    ensure!(tally.failed() == 0 && tally.calls > 100, "{tally:?}");
    scene.enforced("bwp/orders")?;
    Ok(())
}
