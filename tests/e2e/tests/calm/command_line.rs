//! Our own command line on the cluster: `check`, `status`, `can`, `validate`, `why`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{Scene, Server, bailiwick, eventually};

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

#[test]
fn a_denial_is_explained_by_its_id_and_can_answers_as_the_sidecar_does() -> Result<()> {
    let scene = Scene::enrolled("why")?;
    scene.server(&Server::new("orders"))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(POLICY)?;
    let denied = web.get("http://orders:8080/invoices")?.expect(403)?;
    let id = denied.header("x-bailiwick-decision").context("the denial has no id")?.to_owned();
    let told =
        eventually("the denial is explained", Duration::from_secs(15), || bailiwick(&["why", &id])?.ok())?;
    for part in ["/invoices", "default", &format!("spiffe://cluster.local/ns/{}/sa/web", scene.namespace())] {
        ensure!(told.contains(part), "`{part}` is missing in: {told}");
    }
    let unknown = bailiwick(&["why", "000000000000-d0"])?;
    ensure!(unknown.code == 1, "{unknown:?}");
    let (from, to) = (format!("{}/web", scene.namespace()), format!("{}/orders", scene.namespace()));
    let allowed = bailiwick(&["can", &from, "GET", &to, "/orders"])?;
    ensure!(allowed.code == 0 && allowed.stdout.contains("ALLOW"), "{allowed:?}");
    let refused = bailiwick(&["can", &from, "GET", &to, "/invoices"])?;
    ensure!(refused.code == 2 && refused.stdout.contains("DENY"), "{refused:?}");
    Ok(())
}

#[test]
fn check_and_status_show_the_installation() -> Result<()> {
    let scene = Scene::enrolled("check")?;
    scene.server(&Server::new("orders"))?;
    scene.ready()?;
    scene.enforce(POLICY)?;
    let before = bailiwick(&["check", "--pre"])?;
    ensure!(before.stdout.contains('√') && !before.stdout.contains('×'), "{before:?}");
    // Other tests' namespaces may hold what it warns of.
    let check = bailiwick(&["check"])?;
    ensure!(check.stdout.contains('√'), "{check:?}");
    let json = bailiwick(&["check", "-o", "json"])?;
    let parsed: serde_json::Value =
        serde_json::from_str(&json.stdout).with_context(|| json.stdout.clone())?;
    ensure!(parsed.is_object(), "{parsed}");
    let status = bailiwick(&["status", "-n", scene.namespace()])?.ok()?;
    ensure!(status.contains("orders"), "{status}");
    Ok(())
}
