use std::path::Path;

use serde_json::{Value, json};

use super::fact::{Hint, Level};
use super::observe::{Installed, Observed, POLICIES};
use super::{Report, categories, kubernetes};
use crate::cluster::{Answered, Reply};
use crate::reports::Reports;

const NOW: i64 = 1_800_000_000;

fn pod(namespace: &str, name: &str, sidecar: bool) -> Value {
    let sidecars =
        if sidecar { json!([{"name": "bailiwick-sidecar", "restartPolicy": "Always"}]) } else { json!([]) };
    json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": {"app": name}},
        "spec": {"serviceAccountName": "web", "initContainers": sidecars},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.9"}]},
    })
}

fn operator(name: &str) -> Value {
    let mut pod = pod("bailiwick-system", name, false);
    pod["metadata"]["labels"] = json!({
        "app.kubernetes.io/name": "bailiwick-operator", "app.kubernetes.io/component": "operator",
        "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
    });
    pod
}

fn report() -> Value {
    json!({
        "mesh": {"trustDomain": "cluster.local", "leafLifetimeSeconds": 86400}, "objects": [],
        "workloads": [{"namespace": "shop", "name": "web", "identity": "spiffe://cluster.local/ns/shop/sa/web", "sidecars": [
            {"instance": "uid-web", "sidecarVersion": env!("CARGO_PKG_VERSION"), "certificateNotAfter": NOW + 80_000,
             "connectedMillis": 1, "current": true}]}],
    })
}

fn reports(report: &Value) -> Reports {
    let answer = |name: &str, report: &Value| Answered {
        replica: name.to_owned(),
        reply: Ok(Reply::Found(report.to_string())),
    };
    let other = json!({"objects": [], "workloads": []});
    Reports::merge(&[answer("operator-a", report), answer("operator-b", &other)], Some("operator-a"))
}

fn webhook(policy: &str) -> Value {
    json!({"webhooks": [{"failurePolicy": policy, "clientConfig": {"caBundle": "LS0t"}}]})
}

fn installed() -> Installed {
    let policy = json!({"spec": {"failurePolicy": "Fail"}});
    let binding = json!({"spec": {"validationActions": ["Deny"],
        "paramRef": {"name": "bailiwick-injection", "parameterNotFoundAction": "Deny"}}});
    Installed {
        definitions: Ok(bailiwick_api::crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect()),
        injector: Ok(Some(webhook("Fail"))),
        objects: Ok(Some(webhook("Ignore"))),
        policies: POLICIES
            .into_iter()
            .map(|name| (name, (Ok(Some(policy.clone())), Ok(Some(binding.clone())))))
            .collect(),
        injection: Ok(Some(json!({"data": {"bundle": "ClusterTrustBundle", "exempt": "shop/agent"}}))),
        bundles: Ok(Vec::new()),
        trust_bundle: Ok(Some(json!({}))),
        deployment: Ok(Some(json!({"spec": {"replicas": 2}, "status": {"readyReplicas": 2}}))),
        lease: Ok(Some(
            json!({"spec": {"holderIdentity": "operator-a", "renewTime": "2027-01-15T08:00:00.000000Z"}}),
        )),
        operators: Ok(vec![operator("operator-a"), operator("operator-b")]),
        reports: reports(&report()),
        authentications: Ok(Vec::new()),
    }
}

fn observed() -> Observed {
    let namespace = |name: &str, labels: Value| {
        let mut labels = labels;
        labels["kubernetes.io/metadata.name"] = json!(name);
        json!({"metadata": {"name": name, "labels": labels}})
    };
    Observed {
        now: jiff::Timestamp::from_second(NOW).unwrap(),
        address: "https://10.96.0.1/".to_owned(),
        operator_namespace: "bailiwick-system".to_owned(),
        version: Ok(json!({"gitVersion": "v1.37.2"})),
        nodes: Ok(vec![
            json!({"metadata": {"name": "n"}, "status": {"nodeInfo": {"kubeletVersion": "v1.37.2"}}}),
        ]),
        namespaces: Ok(vec![
            namespace("shop", json!({"bailiwick.dev/inject": "enabled"})),
            namespace("bailiwick-system", json!({})),
            namespace("kube-system", json!({})),
        ]),
        pods: Ok(vec![pod("shop", "web", true), operator("operator-a"), operator("operator-b")]),
        network_policies: Ok(Vec::new()),
        trust_bundles: Ok(true),
        permissions: kubernetes::asked(false).into_iter().map(|permission| (permission, Ok(true))).collect(),
        installed: Some(installed()),
    }
}

fn text(observed: &Observed) -> String {
    Report::of(categories(observed)).text(Level::Warning)
}

fn changed(change: impl FnOnce(&mut Observed)) -> String {
    let mut observed = observed();
    change(&mut observed);
    text(&observed)
}

fn with_installed(change: impl FnOnce(&mut Installed)) -> String {
    changed(|observed| change(observed.installed.as_mut().unwrap()))
}

#[test]
fn a_sound_cluster_has_no_sign_but_the_tick() {
    let report = Report::of(categories(&observed()));
    assert_eq!(
        report.text(Level::Ok),
        "\
kubernetes-api
  √ the API server answers at https://10.96.0.1/
  √ Kubernetes v1.37.2 is 1.33 or newer
  √ 1 node with a kubelet of 1.33 or newer

permissions
  √ you may do 7 of 7 things that these commands need

pod-security
  √ every namespace allows the capture container

trust-bundle
  √ pods get the mesh's roots by a ClusterTrustBundle, and it is there

network-policies
  √ no NetworkPolicy keeps sidecars from the operator (0 NetworkPolicies looked at)

definitions
  √ 7 of 7 definitions are served and equal to this version's

admission
  √ MutatingWebhookConfiguration bailiwick-injector: caBundle is set, failurePolicy Fail
  √ ValidatingWebhookConfiguration bailiwick-objects: caBundle is set, failurePolicy Ignore
  √ ConfigMap bailiwick-system/bailiwick-injection, the policies' parameter object, is there
  √ policies that deny: bailiwick-bundle, bailiwick-ephemeral-containers, bailiwick-pod-updates, bailiwick-pods

operator
  √ 2 of 2 replicas are ready
  √ all replicas are version VERSION, as this command
  √ operator-a leads, and renewed its Lease 0 s ago
  √ 2 replicas answer when asked by port-forward

sidecars
  √ 1 sidecar enforces what it is to enforce now
  √ every certificate is valid for at least 22 h

enforcement
  √ everything that is enrolled is enforced

everything is as it should be
"
        .replace("VERSION", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(report.text(Level::Warning), "everything is as it should be\n");
}

#[test]
fn a_failure_says_what_to_do_and_where_it_is_explained() {
    let text = changed(|observed| {
        observed.namespaces.as_mut().unwrap()[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] =
            json!("restricted");
    });
    assert_eq!(
        text,
        "\
pod-security
  × enrolled namespace shop has Pod Security `restricted`: its pods are refused
      kubectl label namespace shop pod-security.kubernetes.io/enforce=privileged --overwrite
      docs/troubleshooting.md#pod-security

1 failure, 0 warnings
"
    );
}

#[test]
fn each_thing_that_can_be_wrong_is_told() {
    let told = [
        (
            changed(|seen| seen.version = Ok(json!({"gitVersion": "v1.32.1"}))),
            "× Kubernetes v1.32.1 is older",
        ),
        (changed(|seen| seen.version = Err("no".to_owned())), "× https://10.96.0.1/ does not answer: no"),
        (
            changed(|seen| seen.permissions[6].1 = Ok(false)),
            "you may not create pods/portforward in bailiwick-system",
        ),
        (changed(|seen| seen.pods = Err("forbidden".to_owned())), "‼ the pods cannot be checked: forbidden"),
        (with_installed(|all| all.trust_bundle = Ok(None)), "× ClusterTrustBundle bailiwick.dev:identity"),
        (with_installed(|all| drop(all.definitions.as_mut().unwrap().pop())), "is not installed"),
        (
            with_installed(|all| all.injector = Ok(Some(webhook("Ignore")))),
            "× MutatingWebhookConfiguration bailiwick-injector has failurePolicy Ignore",
        ),
        (
            with_installed(|all| all.objects = Ok(None)),
            "× ValidatingWebhookConfiguration bailiwick-objects is missing",
        ),
        (
            with_installed(|all| all.policies.get_mut("bailiwick-pods").unwrap().1 = Ok(None)),
            "bailiwick-pods has no binding",
        ),
        (with_installed(|all| all.injection = Ok(None)), "bailiwick-injection is missing"),
        (
            with_installed(|all| all.lease = Ok(Some(json!({"spec": {"holderIdentity": "gone"}})))),
            "held by `gone`",
        ),
        (
            with_installed(|all| {
                all.deployment = Ok(Some(json!({"spec": {"replicas": 2}, "status": {"readyReplicas": 1}})))
            }),
            "‼ 1 of 2 replicas",
        ),
        (
            changed(|seen| seen.pods.as_mut().unwrap().push(pod("shop", "old", false))),
            "× 1 pod without sidecar",
        ),
        (
            changed(|seen| seen.pods.as_mut().unwrap().push(pod("shop", "new", true))),
            "× 1 pod whose sidecar has no connection",
        ),
        (
            with_installed(|all| {
                all.authentications = Ok(vec![
                    json!({"metadata": {"namespace": "shop", "name": "a"}, "spec": {"mtls": {"mode": "Permissive"}}}),
                ]);
            }),
            "‼ Authentication shop/a opens ports to unproven callers (Permissive)",
        ),
    ];
    for (text, expected) in told {
        assert!(text.contains(expected), "{expected}:\n{text}");
        assert!(text.contains("docs/troubleshooting.md#"), "{text}");
    }
}

#[test]
fn sidecars_are_judged_by_what_they_acknowledged() {
    let with = |change: fn(&mut Value)| {
        let mut report = report();
        change(&mut report["workloads"][0]["sidecars"][0]);
        with_installed(|all| all.reports = reports(&report))
    };
    assert!(with(|sidecar| sidecar["current"] = json!(false)).contains("× 1 pod without acknowledgement"));
    assert!(with(|sidecar| sidecar["refusedBecause"] = json!("bad")).contains("shop/web (refused: bad)"));
    assert!(
        with(|sidecar| sidecar["sidecarVersion"] = json!("0.0.9")).contains("‼ 1 pod with a sidecar older")
    );
    assert!(
        with(|sidecar| sidecar["certificateNotAfter"] = json!(NOW - 1))
            .contains("× 1 pod whose certificate has ended")
    );
    assert!(
        with(|sidecar| sidecar["certificateNotAfter"] = json!(NOW + 600)).contains("shop/web (10 min left)")
    );
    let exempt = changed(|seen| {
        let mut agent = pod("shop", "agent", false);
        agent["spec"]["serviceAccountName"] = json!("agent");
        seen.pods.as_mut().unwrap().push(agent);
    });
    assert!(exempt.contains("‼ 1 pod exempt by the chart's injection.exempt: shop/agent"), "{exempt}");
}

#[test]
fn network_policies_that_block_the_operator_are_named() {
    let policy = |namespace: &str, name: &str, spec: Value| json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
    let blocked = |policies: Vec<Value>| changed(|seen| seen.network_policies = Ok(policies));
    let nothing = || policy("shop", "deny-all", json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    let text = blocked(vec![nothing()]);
    assert!(
        text.contains(
            "× NetworkPolicy shop/deny-all keeps pods of shop from the operator (DNS, TCP 15010, TCP 15012"
        ),
        "{text}"
    );
    // Another one that allows it is enough: they only add to each other.
    let allowing = |to: Value| {
        policy(
            "shop",
            "allow",
            json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [
        {"to": to, "ports": [{"port": 15010}, {"port": 15012}]}, {"ports": [{"port": 53, "protocol": "UDP"}]}]}),
        )
    };
    let by_namespace =
        json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bailiwick-system"}}}]);
    assert_eq!(blocked(vec![nothing(), allowing(by_namespace)]), "everything is as it should be\n");
    assert_eq!(
        blocked(vec![allowing(json!([{"ipBlock": {"cidr": "10.0.0.0/24"}}]))]),
        "everything is as it should be\n"
    );
    let elsewhere = blocked(vec![allowing(json!([{"ipBlock": {"cidr": "10.1.0.0/24"}}]))]);
    assert!(
        elsewhere.contains("shop/allow keeps pods of shop from the operator (TCP 15010, TCP 15012"),
        "{elsewhere}"
    );
    // One that selects other pods does not matter.
    let other = policy(
        "shop",
        "db",
        json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"]}),
    );
    assert_eq!(blocked(vec![other]), "everything is as it should be\n");
    let into = blocked(vec![policy(
        "bailiwick-system",
        "closed",
        json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [
        {"from": [{"namespaceSelector": {}}], "ports": [{"port": "identity"}, {"port": 15000, "endPort": 15020}]}]}),
    )]);
    assert!(
        into.contains(
            "× NetworkPolicy bailiwick-system/closed blocks the operator: TCP 9443 from the API server\n"
        ),
        "{into}"
    );
}

#[test]
fn what_enforces_less_is_told() {
    let text = changed(|seen| {
        let labels = &mut seen.namespaces.as_mut().unwrap()[0]["metadata"]["labels"];
        labels["bailiwick.dev/authorization"] = json!("audit");
    });
    assert!(text.contains("‼ namespace shop does not refuse denied calls (authorization audit)"), "{text}");
    let mut report = report();
    report["objects"] = json!([
        {"kind": "Policy", "namespace": "shop", "name": "a", "mode": "Audit", "conditions": []},
        {"kind": "ClusterPolicy", "name": "b", "mode": "Enforce", "conditions": [
            {"type": "Accepted", "status": "False", "reason": "Invalid", "message": "unknown field"}]}]);
    let text = with_installed(|all| all.reports = reports(&report));
    assert!(text.contains("‼ 1 object in mode Audit: Policy shop/a"), "{text}");
    assert!(text.contains("× ClusterPolicy b is not Accepted: unknown field (Invalid)"), "{text}");
}

#[test]
fn nothing_is_said_to_be_well_that_was_not_seen() {
    let mut observed = observed();
    observed.namespaces = Err("forbidden".to_owned());
    let report = Report::of(categories(&observed));
    for name in ["pod-security", "network-policies", "sidecars", "enforcement"] {
        let category = report.categories.iter().find(|category| category.name == name).unwrap();
        assert!(category.facts.iter().all(|fact| fact.level != Level::Ok), "{category:?}");
    }
    let silent = with_installed(|all| all.reports = Reports::default());
    assert!(silent.contains("‼ which objects are accepted cannot be checked"), "{silent}");
}

#[test]
fn before_the_installation_only_the_cluster_is_looked_at() {
    let mut observed = observed();
    observed.installed = None;
    let names: Vec<&str> = categories(&observed).iter().map(|category| category.name).collect();
    assert_eq!(names, ["kubernetes-api", "permissions", "pod-security", "trust-bundle", "network-policies"]);
}

#[test]
fn every_hint_is_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/troubleshooting.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut anchors: Vec<&str> =
        document.lines().filter_map(|line| line.strip_prefix("<a id=\"")?.strip_suffix("\"></a>")).collect();
    let mut hints: Vec<&str> = Hint::ALL.iter().map(|hint| hint.anchor()).collect();
    anchors.sort_unstable();
    hints.sort_unstable();
    assert_eq!(anchors, hints);
}
