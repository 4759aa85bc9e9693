//! Hostile custom resources, written by a user with rights in one namespace and with field validation turned off: none has an
//! effect elsewhere, and none weakens anything.

use std::time::Duration;

use anyhow::{Result, ensure};
use bailiwick_e2e::{Client, Scene, Server, apply_text, holds_for};

const READ: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{http: {methods: [GET], paths: ['/orders']}}]
";

/// What each rule below lets everybody do, were it not for its mistake.
const ALL: &str = "permissions: [{any: {}}]";

/// Specs of a Policy that would open everything if a mistake in them were read kindly. An optional field that is `null` is
/// not among them: the API server drops it before anybody sees it, so it is an omitted one.
fn policy_specs(other: &str) -> Vec<String> {
    let mut specs = Vec::new();
    let mut rule = |text: String| specs.push(format!("{{rules: [{{name: r, {text}}}]}}"));
    for effect in ["allow", "ALLOW", "Permit", "''", "null", "[Allow]", "'Allow '"] {
        rule(format!("effect: {effect}, subjects: [{{anyone: {{}}}}], {ALL}"));
    }
    for subjects in [
        "[]",
        "null",
        "[{}]",
        "[{anyone: null}]",
        "[{anyone: true}]",
        "[{any: {}}]",
        "[{Anyone: {}}]",
        "[null]",
        "'*'",
        "['*']",
        "[{serviceAccount: {name: '*'}}]",
        "[{serviceAccount: {name: web, namespace: '*'}}]",
        "[{serviceAccount: {}}]",
        "[{namespace: {}}]",
        "[{namespace: {name: '*'}}]",
        "[{namespace: {name: ''}}]",
        "[{namespace: {selector: {}}}]",
        "[{namespace: {selector: {matchLabels: {}}}}]",
        "[{spiffeID: '*'}]",
        "[{spiffeID: 'spiffe://*/**'}]",
        "[{spiffeID: 'spiffe://*/ns/a/sa/b'}]",
        "[{ipBlock: {cidr: '*'}}]",
        "[{ipBlock: {cidr: 0.0.0.0/33}}]",
        "[{ipBlock: {cidr: 10.0.0.1/8}}]",
        "[{ipBlock: {}}]",
        "[{anyone: {}, serviceAccount: {name: web}}]",
        "[{anyone: {}, unless: {}}]",
    ] {
        rule(format!("effect: Allow, subjects: {subjects}, {ALL}"));
    }
    for permissions in [
        "[]",
        "null",
        "[{}]",
        "[{any: null}]",
        "[{all: {}}]",
        "[{http: {}}]",
        "[{http: {methods: ['*']}}]",
        "[{http: {paths: ['/**']}}]",
        "[{http: {methods: [], paths: ['/**']}}]",
        "[{http: {methods: ['*'], paths: []}}]",
        "[{http: {methods: ['*'], paths: ['**']}}]",
        "[{http: {methods: ['*'], paths: ['/**'], host: ['*']}}]",
        "[{http: {methods: ['*'], paths: ['/a/**/b']}}]",
        "[{http: {methods: [get], paths: ['/..']}}]",
        "[{tcp: {}}]",
        "[{tcp: {ports: []}}]",
        "[{tcp: {ports: ['*']}}]",
        "[{tcp: {ports: [0]}}]",
        "[{tcp: {ports: [70000]}}]",
        "[{grpc: {}}]",
        "[{grpc: {service: '*'}}]",
        "[{grpc: {service: a, methods: []}}]",
        "[{any: {}, http: {methods: ['*'], paths: ['/**']}}]",
    ] {
        rule(format!("effect: Allow, subjects: [{{anyone: {{}}}}], permissions: {permissions}"));
    }
    for more in [
        "when: ''",
        "when: 'true || '",
        "when: 'request.nosuch == 1'",
        "whenn: 'false'",
        "roles: []",
        "roles: [{}]",
        "roles: [{name: ''}]",
        "notAfter: never",
        "notAfter: '2020'",
        "exceptSubjects: [{anyone: {}}]",
        "exceptSubject: []",
        "relation: {}",
        "obligations: {}",
        "obligations: {setHeaders: [{name: host, value: x}]}",
        "subject: []",
        "notbefore: '2099-01-01T00:00:00Z'",
    ] {
        rule(format!("effect: Allow, subjects: [{{anyone: {{}}}}], {ALL}, {more}"));
    }
    let whole = |more: &str| {
        format!("{{{more}, rules: [{{name: r, effect: Allow, subjects: [{{anyone: {{}}}}], {ALL}}}]}}")
    };
    for more in [
        "target: []",
        "targets: []",
        "targets: [{}]",
        "targets: [{kind: Pod}]",
        "targets: [{kind: Pod, selector: {}}]",
        "targets: [{kind: Pod, selector: {matchLabels: {}}}]",
        "targets: [{kind: Namespace, name: OTHER}]",
        "targets: [{kind: Pod, namespace: OTHER, selector: {matchLabels: {app: orders}}}]",
        "targets: [{kind: Service, name: orders, namespace: OTHER}]",
        "targets: [{kind: Service, name: OTHER/orders}]",
        "targets: [{kind: ServiceAccount, name: 'system:serviceaccount:OTHER:orders'}]",
        "namespaceSelector: {}",
        "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: OTHER}}",
        "namespace: OTHER",
        "mode: audit",
        "mode: Off",
        "mode: ''",
        "priority: 1000",
        "connectionLimits: []",
    ] {
        specs.push(whole(&more.replace("OTHER", other)));
    }
    specs.push("{}".to_owned());
    specs.push("{rules: []}".to_owned());
    specs.push("{rules: [{}]}".to_owned());
    specs.push("{rules: null}".to_owned());
    specs
}

/// Objects of other kinds.
fn other_objects(other: &str) -> Vec<(&'static str, String)> {
    let mut objects: Vec<(&str, String)> = Vec::new();
    for spec in [
        "{mtls: {mode: disabled}}",
        "{mtls: {mode: Off}}",
        "{mtls: {mode: null}}",
        "{mtls: {}}",
        "{mtls: {mode: Permissive, port: []}}",
        "{mtls: {ports: []}}",
        "{mtls: {ports: [{port: 0, mode: Disabled}]}}",
        "{trustDomains: []}",
        "{trustDomains: ['*']}",
        "{trustDomain: cluster.local}",
        "{tokens: []}",
        "{targets: [{kind: Pod, namespace: OTHER, selector: {matchLabels: {app: orders}}}], mtls: {mode: Disabled}}",
        "{targets: [{kind: Service, name: OTHER/orders}], mtls: {mode: Disabled}}",
        "{namespace: OTHER, mtls: {mode: Disabled}}",
    ] {
        objects.push(("Authentication", spec.replace("OTHER", other)));
    }
    for spec in [
        "{permissions: [{}]}",
        "{permissions: null}",
        "{inherits: [{name: r, namespace: OTHER}], permission: []}",
        "{inherits: [{}]}",
        "{inherit: []}",
    ] {
        objects.push(("Role", spec.replace("OTHER", other)));
    }
    objects.push(("Relationship", "{tuples: ['*:*#*@*:*']}".to_owned()));
    objects.push(("RelationSchema", "{schema: 'definition x {'}".to_owned()));
    objects
}

/// A user who may write everything of ours, and ordinary objects, in one namespace.
const TENANT: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: tenant}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tenant}
rules:
- {apiGroups: [bailiwick.dev], resources: ['*'], verbs: ['*']}
- {apiGroups: [''], resources: [pods, services, configmaps, serviceaccounts], verbs: ['*']}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenant}
subjects: [{kind: ServiceAccount, name: tenant, namespace: OWN}]
";

/// What must hold in both namespaces whatever the tenant writes.
fn unchanged(web: &Client, stranger: &Client, victim: &Scene) -> Result<()> {
    web.get("http://orders:8080/orders")?.expect(200)?;
    web.get("http://orders:8080/admin")?.expect(403)?;
    stranger.get(&format!("http://orders.{}:8080/orders", victim.namespace()))?.expect(401)?;
    Ok(())
}

#[test]
fn a_tenant_changes_nothing_elsewhere_and_opens_nothing() -> Result<()> {
    let victim = Scene::enrolled("victim")?;
    victim.server(&Server::new("orders"))?;
    let web = victim.client("web")?;
    let tenant = Scene::enrolled("tenant")?;
    tenant.server(&Server::new("orders"))?;
    let inside = tenant.client("web")?;
    let plain = Scene::plain("tenant-outside")?;
    let stranger = plain.client("stranger")?;
    for scene in [&victim, &tenant, &plain] {
        scene.ready()?;
    }
    victim.enforce(READ)?;
    let own = tenant.namespace();
    tenant.apply(&TENANT.replace("OWN", own))?;
    let user = format!("--as=system:serviceaccount:{own}:tenant");
    let write = |namespace: &str, kind: &str, name: &str, spec: &str| {
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        );
        apply_text(&text, &["-n", namespace, &user, "--validate=false"])
    };
    let mut objects: Vec<(&str, String)> =
        policy_specs(victim.namespace()).into_iter().map(|spec| ("Policy", spec)).collect();
    objects.extend(other_objects(victim.namespace()));
    let mut stored = 0;
    for (number, (kind, spec)) in objects.iter().enumerate() {
        let name = format!("h{number}");
        let run = write(own, kind, &name, spec)?;
        if run.code == 0 {
            stored += 1;
            println!("stored: {kind} {spec}");
        }
    }
    // Cluster-scoped kinds and the other namespace are not the tenant's to write at all.
    for (namespace, kind) in [
        (own, "ClusterPolicy"),
        (own, "TrustDomain"),
        (victim.namespace(), "Policy"),
        (victim.namespace(), "Authentication"),
    ] {
        let said = write(namespace, kind, "h", "{}")?.refused()?;
        ensure!(said.contains("forbidden") || said.contains("cannot"), "{kind}: {said}");
    }
    println!("{} hostile objects, {stored} of them stored by the API server", objects.len());
    ensure!(objects.len() >= 100);
    holds_for("nothing changed in the other namespace", Duration::from_secs(3), || {
        unchanged(&web, &stranger, &victim).map(|()| true)
    })?;
    let weaker = |url: &str| -> Result<()> {
        let answer = stranger.get(url)?;
        ensure!(answer.status != 200, "a stranger got in: {answer:?}");
        let answer = inside.get("http://orders:8080/orders")?;
        ensure!(answer.status != 200, "a hostile object allowed a call: {answer:?}");
        Ok(())
    };
    weaker(&format!("http://orders.{own}:8080/orders"))
}
