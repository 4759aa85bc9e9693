//! What the status proves, and what it never claims.

use std::time::Duration;

use anyhow::{Result, ensure};
use bailiwick_e2e::{Scene, Server, eventually, kubectl_text};

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

fn condition(scene: &Scene, object: &str, kind: &str, field: &str) -> Result<String> {
    let path = format!("jsonpath={{.status.conditions[?(@.type=='{kind}')].{field}}}");
    scene.kubectl(&["get", object, "-o", &path])
}

#[test]
fn enforced_counts_every_pod_and_is_shown_in_columns() -> Result<()> {
    let scene = Scene::enrolled("columns")?;
    scene.server(&Server::new("orders").replicas(2))?;
    scene.ready()?;
    scene.enforce(POLICY)?;
    let pods = scene.kubectl(&[
        "get",
        "bwp",
        "orders",
        "-o",
        "jsonpath={.status.pods.enforced}/{.status.pods.targeted}",
    ])?;
    ensure!(pods == "2/2", "{pods}");
    let shown = scene.kubectl(&["get", "bwp", "orders"])?;
    for word in ["TARGETS", "MODE", "ACCEPTED", "ENFORCED", "AGE", "2/2"] {
        ensure!(shown.contains(word), "`{word}` is missing:\n{shown}");
    }
    scene.kubectl(&["scale", "deployment", "orders", "--replicas=3"])?;
    eventually("the third pod is counted", Duration::from_secs(60), || {
        let pods = scene.kubectl(&[
            "get",
            "bwp",
            "orders",
            "-o",
            "jsonpath={.status.pods.enforced}/{.status.pods.targeted}",
        ])?;
        ensure!(pods == "3/3", "{pods}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn a_pod_without_a_sidecar_is_not_enforced() -> Result<()> {
    let scene = Scene::plain("before")?;
    scene.server(&Server::new("orders"))?;
    scene.ready()?;
    scene.label("bailiwick.dev/inject=enabled")?;
    scene.apply(POLICY)?;
    eventually("Enforced is False and names what to do", Duration::from_secs(10), || {
        let (status, reason) = (
            condition(&scene, "bwp/orders", "Enforced", "status")?,
            condition(&scene, "bwp/orders", "Enforced", "reason")?,
        );
        ensure!(status == "False" && !reason.is_empty(), "{status} {reason}");
        let pods = scene.kubectl(&[
            "get",
            "bwp",
            "orders",
            "-o",
            "jsonpath={.status.pods.enforced}/{.status.pods.targeted}",
        ])?;
        ensure!(pods == "0/1", "{pods}");
        Ok(())
    })?;
    eventually("an event names the pod", Duration::from_secs(30), || {
        let events = scene.kubectl(&["get", "events.events.k8s.io", "-o", "jsonpath={.items[*].reason}"])?;
        ensure!(events.contains("PodNotInjected"), "{events}");
        Ok(())
    })?;
    scene.kubectl(&["rollout", "restart", "deployment/orders"])?;
    scene.kubectl(&["rollout", "status", "deployment/orders", "--timeout=90s"])?;
    eventually("after the restart it is enforced", Duration::from_secs(30), || {
        let status = condition(&scene, "bwp/orders", "Enforced", "status")?;
        ensure!(status == "True", "{status}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn a_policy_for_no_pod_is_enforced_by_none() -> Result<()> {
    let scene = Scene::enrolled("nobody")?;
    scene.apply(&POLICY.replace("app: orders", "app: nobody"))?;
    scene.enforced("bwp/orders")?;
    let reason = condition(&scene, "bwp/orders", "Enforced", "reason")?;
    ensure!(reason == "NoWorkloads", "{reason}");
    Ok(())
}

#[test]
fn an_edit_of_a_role_reaches_the_policies_that_bind_it() -> Result<()> {
    let scene = Scene::enrolled("role-edit")?;
    scene.server(&Server::new("orders"))?;
    let web = scene.client("web")?;
    scene.ready()?;
    let role = |path: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Role\nmetadata: {{name: reader}}\nspec:\n  permissions: [{{http: {{methods: [GET], paths: ['{path}']}}}}]\n"
        )
    };
    scene.enforce(
        &(role("/a")
            + "---"
            + &POLICY.replace(
                "permissions: [{http: {methods: [GET], paths: ['/orders']}}]",
                "roles: [{name: reader}]",
            )),
    )?;
    web.get("http://orders:8080/a")?.expect(200)?;
    for number in 0..5 {
        let path = format!("/a{number}");
        scene.enforce(&role(&path))?;
        // The promise: once `kubectl wait` returns, every pod decides by the edit.
        web.get(&format!("http://orders:8080{path}"))?.expect(200)?;
        web.get("http://orders:8080/a")?.expect(403)?;
    }
    Ok(())
}

#[test]
fn a_misspelt_field_is_refused_by_the_webhook_and_by_the_operator() -> Result<()> {
    let scene = Scene::enrolled("typo")?;
    scene.server(&Server::new("orders"))?;
    let web = scene.client("web")?;
    scene.ready()?;
    scene.enforce(POLICY)?;
    web.get("http://orders:8080/orders")?.expect(200)?;
    let typo = POLICY.replace("name: orders}", "name: typo}").replace("targets:", "target:");
    let write = |typo: &str| bailiwick_e2e::apply_text(typo, &["-n", scene.namespace(), "--validate=false"]);
    let said = write(&typo)?.refused()?;
    ensure!(said.contains("target") && said.contains("targets"), "no `did you mean`: {said}");
    Ok(())
}

#[test]
fn every_kind_is_served_and_explained() -> Result<()> {
    let listed = kubectl_text(&["api-resources", "--api-group=bailiwick.dev", "-o", "name"])?;
    ensure!(listed.lines().count() == 7, "{listed}");
    let explained = kubectl_text(&["explain", "bwpolicies.spec.rules"])?;
    ensure!(explained.contains("effect"), "{explained}");
    Ok(())
}
