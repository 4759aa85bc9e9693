//! Who may do what.

use std::time::Duration;

use anyhow::{Result, ensure};
use bailiwick_e2e::{Client, Scene, Server, eventually};

/// `orders` behind a policy, called by `web` (known to it) and `report` (not known to it).
fn shop(name: &str) -> Result<(Scene, Client, Client)> {
    let scene = Scene::enrolled(name)?;
    scene.server(&Server::new("orders"))?;
    let (web, report) = (scene.client("web")?, scene.client("report")?);
    scene.ready()?;
    Ok((scene, web, report))
}

const READ: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Role
metadata: {name: order-reader}
spec:
  permissions:
  - http: {methods: [GET], paths: ['/orders', '/orders/{id}']}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    roles: [{name: order-reader}]
";

#[test]
fn allowed_by_method_path_and_caller_and_nothing_else() -> Result<()> {
    let (scene, web, report) = shop("allow")?;
    web.get("http://orders:8080/orders/1")?.expect(403)?;
    scene.enforce(READ)?;
    let answer = web.get("http://orders:8080/orders/1")?.expect(200)?;
    let caller = format!("spiffe://cluster.local/ns/{}/sa/web", scene.namespace());
    ensure!(answer.body.contains(&caller), "the application is not told who calls: {answer:?}");
    web.curl(&["-X", "DELETE", "http://orders:8080/orders/1"])?.expect(403)?;
    web.get("http://orders:8080/orders/1/lines")?.expect(403)?;
    web.get("http://orders:8080/admin")?.expect(403)?;
    report.get("http://orders:8080/orders/1")?.expect(403)?;
    Ok(())
}

#[test]
fn a_deny_stands_above_an_allow() -> Result<()> {
    let (scene, web, _) = shop("deny")?;
    scene.enforce(READ)?;
    scene.enforce(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: secrets}
spec:
  rules:
  - name: no-secret-orders
    effect: Deny
    subjects: [{anyone: {}}]
    permissions: [{http: {methods: ['*'], paths: ['/orders/secret']}}]
    message: secret orders are read by nobody
",
    )?;
    web.get("http://orders:8080/orders/1")?.expect(200)?;
    let refused = web.get("http://orders:8080/orders/secret")?.expect(403)?;
    ensure!(
        refused.body.contains("secret orders are read by nobody"),
        "the rule's message is missing: {refused:?}"
    );
    Ok(())
}

#[test]
fn a_namespace_cannot_override_a_guardrail() -> Result<()> {
    let (scene, web, _) = shop("guardrail")?;
    let namespace = scene.namespace();
    let policy = format!(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: ClusterPolicy
metadata: {{name: {namespace}}}
spec:
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
  rules:
  - name: no-admin
    effect: Deny
    subjects: [{{anyone: {{}}}}]
    permissions: [{{http: {{methods: ['*'], paths: ['/admin/**']}}}}]
"
    );
    scene.enforce(&policy)?;
    scene.enforce(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: everything}
spec:
  rules:
  - name: all
    effect: Allow
    subjects: [{anyone: {}}]
    permissions: [{any: {}}]
",
    )?;
    let outcome = (|| {
        web.get("http://orders:8080/orders/1")?.expect(200)?;
        web.get("http://orders:8080/admin/users")?.expect(403)
    })();
    scene.kubectl(&["delete", "bwclusterpolicies", namespace])?;
    outcome?;
    eventually("without the guardrail the namespace decides", Duration::from_secs(5), || {
        web.get("http://orders:8080/admin/users")?.expect(200)
    })?;
    Ok(())
}

#[test]
fn a_role_is_inherited_across_namespaces() -> Result<()> {
    let (scene, web, _) = shop("inherit")?;
    let shared = Scene::plain("inherit-roles")?;
    shared.apply(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Role
metadata: {name: health-reader}
spec:
  permissions: [{http: {methods: [GET], paths: ['/health']}}]
",
    )?;
    let other = shared.namespace();
    scene.enforce(&format!(
        "
apiVersion: bailiwick.dev/v1alpha1
kind: Role
metadata: {{name: order-reader}}
spec:
  inherits: [{{name: health-reader, namespace: {other}}}]
  permissions: [{{http: {{methods: [GET], paths: ['/orders']}}}}]
---
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {{name: orders}}
spec:
  rules:
  - name: web
    effect: Allow
    subjects: [{{serviceAccount: {{name: web}}}}]
    roles: [{{name: order-reader}}]
"
    ))?;
    web.get("http://orders:8080/health")?.expect(200)?;
    web.get("http://orders:8080/orders")?.expect(200)?;
    shared.kubectl(&["delete", "bwroles", "health-reader"])?;
    eventually("the inherited permission is gone", Duration::from_secs(2), || {
        web.get("http://orders:8080/health")?.expect(403)
    })?;
    web.get("http://orders:8080/orders")?.expect(200)?;
    Ok(())
}

#[test]
fn a_role_may_be_applied_after_its_policy() -> Result<()> {
    let (scene, web, _) = shop("order")?;
    let (role, policy) = READ.split_once("---").unwrap_or_default();
    scene.apply(policy)?;
    let unresolved =
        scene.kubectl(&["wait", "--for=condition=ResolvedRefs=False", "bwp/orders", "--timeout=10s"]);
    unresolved?;
    web.get("http://orders:8080/orders/1")?.expect(403)?;
    scene.enforce(role)?;
    scene.enforced("bwp/orders")?;
    scene.kubectl(&["wait", "--for=condition=ResolvedRefs", "bwp/orders", "--timeout=10s"])?;
    web.get("http://orders:8080/orders/1")?.expect(200)?;
    Ok(())
}

#[test]
fn authentication_and_authorization_refuse_differently() -> Result<()> {
    let (scene, web, _) = shop("refuse")?;
    scene.enforce(READ)?;
    let outside = Scene::plain("refuse-outside")?;
    let stranger = outside.client("stranger")?;
    outside.ready()?;
    let orders = format!("orders.{}", scene.namespace());
    // 401: nobody is proven. 403: somebody is, and may not.
    stranger.get(&format!("http://{orders}:8080/orders/1"))?.expect(401)?;
    web.get("http://orders:8080/admin")?.expect(403)?;
    // TLS without a certificate of the mesh: an alert, not an answer.
    let shake = |more: &str| {
        let line = format!(
            "(sleep 1; echo) | timeout 5 openssl s_client -connect {orders}:8080 -alpn bailiwick/1 {more} 2>&1; true"
        );
        stranger.exec(&["sh", "-c", &line])?.ok()
    };
    let said = shake("")?;
    ensure!(said.contains("certificate required") || said.contains("alert"), "no alert: {said}");
    let made = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /tmp/k -out /tmp/c -days 1 -subj /CN=x -addext 'subjectAltName=URI:spiffe://cluster.local/ns/a/sa/b' 2>/dev/null";
    stranger.exec(&["sh", "-c", made])?.ok()?;
    let said = shake("-cert /tmp/c -key /tmp/k")?;
    ensure!(
        said.contains("unknown ca") || said.contains("alert"),
        "a foreign certificate got no alert: {said}"
    );
    // Plaintext that is no HTTP: closed without a byte.
    let closed = stranger.greeting(&orders, 9000)?;
    ensure!(!closed.contains("220"), "the application spoke to nobody: {closed}");
    Ok(())
}
