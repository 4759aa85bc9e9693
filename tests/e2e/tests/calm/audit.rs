//! Audit of an object, and each audit of a namespace: reported, not refused.

use std::time::Duration;

use anyhow::{Result, ensure};
use bailiwick_e2e::{Audit, Client, Load, Scene, Server, eventually};

const DENY_ALL: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: none}
spec:
  mode: Audit
  rules:
  - name: nobody
    effect: Deny
    subjects: [{anyone: {}}]
    permissions: [{any: {}}]
";

const ALLOW_ALL: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: all}
spec:
  rules:
  - name: everybody
    effect: Allow
    subjects: [{anyone: {}}]
    permissions: [{any: {}}]
";

fn scene(name: &str, audit: Audit) -> Result<(Scene, Client, Scene, Client)> {
    let scene = Scene::enrolled(name)?;
    scene.audit(audit)?;
    scene.server(&Server::new("orders"))?;
    let web = scene.client("web")?;
    let outside = Scene::plain(&format!("{name}-outside"))?;
    let stranger = outside.client("stranger")?;
    scene.ready()?;
    outside.ready()?;
    Ok((scene, web, outside, stranger))
}

/// Waits for an event of `orders` with a text in its `wouldBe`.
fn reported(scene: &Scene, path: &str) -> Result<()> {
    eventually("the would-be denial is reported", Duration::from_secs(5), || {
        let events = scene.audit_events("orders")?;
        let found = events.iter().any(|event| {
            let text = event.to_string();
            text.contains(path) && !event["wouldBe"].is_null()
        });
        ensure!(found, "no event with wouldBe and {path} among {}", events.len());
        Ok(())
    })
}

#[test]
fn an_object_in_audit_takes_no_part_and_is_reported() -> Result<()> {
    let (scene, web, _outside, _) = scene("audit-object", Audit::None)?;
    scene.enforce(ALLOW_ALL)?;
    scene.apply(DENY_ALL)?;
    scene.kubectl(&["wait", "--for=condition=Accepted", "bwp/none", "--timeout=10s"])?;
    let reason = eventually("the status says AuditOnly", Duration::from_secs(10), || {
        let reason = scene.kubectl(&[
            "get",
            "bwp",
            "none",
            "-o",
            "jsonpath={.status.conditions[?(@.type=='Enforced')].reason}",
        ])?;
        ensure!(reason == "AuditOnly", "reason {reason}");
        Ok(reason)
    })?;
    ensure!(reason == "AuditOnly");
    web.get("http://orders:8080/would-be-object")?.expect(200)?;
    reported(&scene, "/would-be-object")
}

#[test]
fn authentication_in_audit_lets_the_unproven_through_to_the_policy() -> Result<()> {
    let (scene, web, _outside, stranger) = scene("audit-authn", Audit::Authentication)?;
    let url = format!("http://orders.{}:8080", scene.namespace());
    // No policy allows anything: the unproven is refused by authorization, not by authentication.
    let refused = stranger.get(&format!("{url}/a"))?;
    ensure!(refused.status == 401 || refused.status == 403, "{refused:?}");
    web.get("http://orders:8080/a")?.expect(403)?;
    scene.enforce(ALLOW_ALL)?;
    stranger.get(&format!("{url}/would-be-unproven"))?.expect(200)?;
    web.get("http://orders:8080/a")?.expect(200)?;
    Ok(())
}

#[test]
fn authorization_in_audit_forwards_and_reports_what_it_would_refuse() -> Result<()> {
    let (scene, web, _outside, stranger) = scene("audit-authz", Audit::Authorization)?;
    web.get("http://orders:8080/would-be-default")?.expect(200)?;
    reported(&scene, "/would-be-default")?;
    let url = format!("http://orders.{}:8080", scene.namespace());
    stranger.get(&format!("{url}/a"))?.expect(401)?;
    Ok(())
}

#[test]
fn both_audits_refuse_nobody_and_their_removal_enforces() -> Result<()> {
    let (scene, web, _outside, stranger) = scene("audit-both", Audit::Both)?;
    let url = format!("http://orders.{}:8080", scene.namespace());
    stranger.get(&format!("{url}/a"))?.expect(200)?;
    web.get("http://orders:8080/a")?.expect(200)?;
    scene.audit(Audit::Authorization)?;
    eventually("authentication is enforced", Duration::from_secs(5), || {
        stranger.get(&format!("{url}/a"))?.expect(401)
    })?;
    web.get("http://orders:8080/a")?.expect(200)?;
    scene.audit(Audit::None)?;
    eventually("authorization is enforced", Duration::from_secs(5), || {
        web.get("http://orders:8080/a")?.expect(403)
    })?;
    Ok(())
}

#[test]
fn permissive_to_strict_fails_no_call_of_a_meshed_caller() -> Result<()> {
    let (scene, web, _outside, stranger) = scene("strict", Audit::Authentication)?;
    scene.enforce(ALLOW_ALL)?;
    let url = format!("http://orders.{}:8080", scene.namespace());
    stranger.get(&format!("{url}/a"))?.expect(200)?;
    let load = Load::start(&web, "orders", 8080, "/a", 100)?;
    std::thread::sleep(Duration::from_secs(3));
    scene.audit(Audit::None)?;
    eventually("plaintext is refused", Duration::from_secs(5), || {
        stranger.get(&format!("{url}/a"))?.expect(401)
    })?;
    std::thread::sleep(Duration::from_secs(3));
    let tally = load.stop()?;
    ensure!(tally.failed() == 0 && tally.calls > 100, "{tally:?}");
    Ok(())
}
