use bailiwick_compile::{NamespaceMatch, SelectorOperator, TargetKind};
use bailiwick_policy::{Effect, Methods, Permission, SubjectClass};
use proptest::prelude::*;

use super::*;
use crate::contents::Contents;

mod invalid;
mod mistakes;

pub(super) fn contents(text: &str) -> Contents {
    Contents::of_bytes(&Arc::from("test.yaml"), text.as_bytes())
}

/// The one object of a text, which must be identified.
pub(super) fn object(text: &str) -> DecodedObject {
    let mut contents = contents(text);
    assert_eq!(contents.unreadable, [], "{text}");
    assert_eq!(contents.objects.len(), 1, "{text}");
    contents.objects.remove(0)
}

/// Adds the head of an object to its spec.
pub(super) fn document(kind: &str, spec: &str) -> String {
    let scope = if matches!(kind, "ClusterPolicy" | "TrustDomain") { "" } else { ", namespace: shop" };
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: x{scope}}}\nspec:\n{spec}")
}

fn valid<S>(spec: Decoded<S>) -> S {
    match spec {
        Decoded::Valid(spec) => spec,
        Decoded::Invalid(invalid) => panic!("{:#?}", invalid.problems),
    }
}

fn policy(spec: &str) -> PolicySpec {
    let DecodedObject::Policy(object) = object(&document("Policy", spec)) else { panic!() };
    valid(object.spec)
}

#[test]
fn a_role_of_the_design_decodes() {
    let text = document(
        "Role",
        r#"inherits: [{name: health-reader}, {name: metrics-reader, namespace: platform}]
permissions:
- http: {methods: [GET, HEAD], paths: ["/orders", "/orders/{id}", "/static/**"], hosts: ["Orders.Shop."]}
- grpc: {service: shop.v1.Orders, methods: ["*"]}
- tcp: {ports: [5432]}
- any: {}
"#,
    );
    let DecodedObject::Role(role) = object(&text) else { panic!() };
    let place = role.location_of(&FieldPath::root().field("spec").field("inherits").index(1).field("name"));
    assert_eq!(text.get(place.span.unwrap().0..place.span.unwrap().1).unwrap(), "metrics-reader");
    let spec = valid(role.spec);
    assert_eq!(spec.inherits[1].namespace.as_ref().unwrap().as_str(), "platform");
    let Permission::Http(http) = &spec.permissions[0] else { panic!() };
    assert_eq!(http.hosts.as_ref().unwrap()[0].as_str(), "orders.shop");
    let Permission::Grpc(grpc) = &spec.permissions[1] else { panic!() };
    assert_eq!(grpc.methods, Methods::Any);
    assert_eq!(spec.permissions[3], Permission::Any);
}

#[test]
fn a_policy_of_the_design_decodes() {
    let spec = policy(
        r#"targets:
- {kind: Pod, selector: {matchLabels: {app: orders}, matchExpressions: [{key: tier, operator: In, values: [a, b]}]}, ports: [8080]}
- {kind: Service, name: orders}
- {kind: ServiceAccount, name: orders}
mode: Audit
rules:
- name: web-reads
  effect: Allow
  subjects:
  - serviceAccount: {name: web}
  - namespace: {name: billing}
    ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
  - namespace: {selector: {matchLabels: {team: a}}}
  - spiffeID: "spiffe://partner.example/ns/*/sa/sync"
  - authenticated: {}
  roles: [{name: order-reader}]
  notBefore: "2026-12-01T00:00:00Z"
  notAfter: 2026-12-31T00:00:00+01:00
- name: only-monitoring
  effect: Deny
  subjects: [{anyone: {}}]
  exceptSubjects: [{namespace: {name: monitoring}}]
  permissions: [{http: {methods: [GET, PURGE], paths: ["/metrics"]}}]
  message: "metrics are for monitoring"
"#,
    );
    assert_eq!(spec.mode, Mode::Audit);
    let targets = spec.targets.unwrap();
    let TargetKind::Pod(selector) = &targets[0].kind else { panic!() };
    assert_eq!(selector.expressions[0].operator, SelectorOperator::In(vec!["a".into(), "b".into()]));
    assert_eq!(targets[0].ports.as_ref().unwrap()[0].number(), 8080);
    assert_eq!(targets[1].kind, TargetKind::Service("orders".into()));
    let rule = &spec.rules[0];
    assert!(rule.subjects[1].namespace.is_some() && rule.subjects[1].ip_block.is_some());
    assert!(matches!(rule.subjects[2].namespace, Some(NamespaceMatch::Selector(_))));
    assert_eq!(rule.subjects[4].class, Some(SubjectClass::Authenticated));
    assert_eq!(rule.not_before, Some(1_796_083_200));
    assert_eq!(rule.not_after, Some(1_798_675_200 - 3600));
    assert_eq!(spec.rules[1].effect, Effect::Deny);
    assert_eq!(spec.rules[1].message.as_deref(), Some("metrics are for monitoring"));
}

#[test]
fn the_other_kinds_of_the_design_decode() {
    let text = document(
        "ClusterPolicy",
        "namespaceSelector: {matchLabels: {tier: core}}\ntargets: [{kind: Pod, selector: {matchExpressions: [{key: a, operator: Exists}]}}]\nrules:\n- name: a\n  effect: Deny\n  subjects: [{serviceAccount: {name: a, namespace: b}}]\n  roles: [{name: a, namespace: b}]\n",
    );
    let DecodedObject::ClusterPolicy(cluster) = object(&text) else { panic!() };
    assert!(valid(cluster.spec).namespace_selector.is_some());
    let text = document(
        "Authentication",
        "mtls: {mode: Strict, ports: [{port: 9187, mode: Permissive}]}\ntrustDomains: [cluster.local, partner.example]\n",
    );
    let DecodedObject::Authentication(authentication) = object(&text) else { panic!() };
    let spec = valid(authentication.spec);
    assert_eq!((spec.mtls.unwrap().ports.len(), spec.trust_domains.unwrap().len()), (1, 2));
    let text = document("TrustDomain", "own: {issuer: {builtIn: {}}, leaf: {lifetime: 24h}}\n");
    let DecodedObject::TrustDomain(domain) = object(&text) else { panic!() };
    assert_eq!(valid(domain.spec).leaf_lifetime, Some(86_400));
}

#[test]
fn json_and_yaml_decode_alike() {
    let yaml = document("Role", "permissions: [{http: {methods: [GET], paths: [/a]}}]\n");
    let json = serde_json::json!({
        "apiVersion": "bailiwick.dev/v1alpha1", "kind": "Role",
        "metadata": {"name": "x", "namespace": "shop", "generation": 7, "managedFields": []},
        "spec": {"permissions": [{"http": {"methods": ["GET"], "paths": ["/a"]}}]},
        "status": {"anything": null},
    });
    let DecodedObject::Role(of_yaml) = object(&yaml) else { panic!() };
    let Ok(Some(DecodedObject::Role(of_json))) = crate::decode_api_object(&json) else { panic!() };
    assert_eq!(of_json.generation, 7);
    assert_eq!(of_json.location.file.as_ref(), "cluster");
    assert!(of_json.fields.is_empty());
    assert_eq!(valid(of_yaml.spec), valid(of_json.spec));
}

#[test]
fn lists_are_opened_and_unrelated_kinds_counted() {
    let role = "{apiVersion: bailiwick.dev/v1alpha1, kind: Role, metadata: {name: a, namespace: b}, spec: {permissions: [{any: {}}]}}";
    let bare = "{metadata: {name: c, namespace: b}, spec: {permissions: [{any: {}}]}}";
    let text = format!(
        "apiVersion: v1\nkind: List\nitems: [{role}, {{apiVersion: rbac.authorization.k8s.io/v1, kind: Role}}]\n---\n\
         apiVersion: bailiwick.dev/v1alpha1\nkind: RoleList\nitems: [{bare}]\n---\napiVersion: v1\nkind: ConfigMap\ndata: {{on: 1, on: 2}}\n---\n\
         {{apiVersion: v1, kind: List, items: null}}\n"
    );
    let contents = contents(&text);
    assert_eq!(contents.unreadable, []);
    assert_eq!(contents.objects.len(), 2);
    assert_eq!(contents.skipped.get("Role"), Some(&1));
    assert_eq!(contents.skipped.get("ConfigMap"), Some(&1));
    let nested = format!("{}{role}{}", "{apiVersion: v1, kind: List, items: [".repeat(8), "]}".repeat(8));
    assert_eq!(self::contents(&nested).unreadable.len(), 1);
}

#[test]
fn a_large_object_takes_bounded_time() {
    // K10: a document of 1 MiB, whatever is in it.
    let started = std::time::Instant::now();
    let unknown: String = (0..60_000).map(|number| format!("  field{number}: 1\n")).collect();
    let head =
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Policy\nmetadata: {name: x, namespace: shop}\nspec:\n";
    let text: String = format!("{head}{unknown}").chars().take(1024 * 1024).collect();
    let DecodedObject::Policy(policy) = object(&text) else { panic!() };
    let Decoded::Invalid(invalid) = policy.spec else { panic!() };
    assert_eq!(invalid.selection, Selection::Everything);
    assert!(invalid.problems.len() <= 201);
    let rule = "  - {name: a, effect: Allow, subjects: [{anyone: {}}], permissions: [{any: {}}]}\n";
    let text = format!("{head}  rules:\n{}", rule.repeat(12_000));
    object(&text);
    // The tests run unoptimised.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn hostile_documents_take_bounded_time() {
    // K10: each is what a scanner could take too long for; 200 KiB each, since the tests run unoptimised.
    let heads = ["", "a: ", "- ", "["];
    let parts = [
        "[",
        "{",
        "- ",
        "? ",
        "&a ",
        "!a ",
        "a: ",
        "\"",
        "*a ",
        "# ",
        "\n",
        "a\n",
        "[],",
        "{a: ",
        "'x' ",
        "|\n ",
        "%",
        "---\n",
        "\t",
        "a: &a [b]\n",
        "<<: {a: 1}\n",
        "- {<<: [{a: 1}, {b: 2}]}\n",
        "a,",
        "\r",
        "ÿ",
        "---\nx\n",
        "\u{feff}",
    ];
    let started = std::time::Instant::now();
    for head in heads {
        for part in parts {
            let text = format!("{head}{}", part.repeat(200 * 1024 / part.len()));
            let one = std::time::Instant::now();
            let _contents = contents(&text);
            assert!(one.elapsed().as_secs() < 5, "{head}{part:?} took {:?}", one.elapsed());
        }
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn a_long_line_of_json_is_read() {
    let permissions: Vec<String> =
        (0..64).map(|port| format!(r#"{{"tcp":{{"ports":[{}]}}}}"#, port + 1)).collect();
    let role = |name: usize| {
        format!(
            r#"{{"apiVersion":"bailiwick.dev/v1alpha1","kind":"Role","metadata":{{"name":"r{name}","namespace":"shop"}},"spec":{{"permissions":[{}]}}}}"#,
            permissions.join(",")
        )
    };
    let roles: Vec<String> = (0..100).map(role).collect();
    let contents = contents(&format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, roles.join(",")));
    assert_eq!((contents.unreadable.len(), contents.objects.len()), (0, 100));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let words = "(apiVersion|kind|metadata|spec|name|namespace|rules|subjects|targets|effect|Allow|Deny|Policy|http|methods|paths|/a|GET|anyone|[a-z]{0,6})";
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        words.prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(words, inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics_and_decoding_is_deterministic(
        spec in json(),
        kind in proptest::sample::select(ObjectKind::ALL.to_vec()),
    ) {
        let object = serde_json::json!({
            "apiVersion": "bailiwick.dev/v1alpha1", "kind": kind.as_str(),
            "metadata": {"name": "a", "namespace": "b"}, "spec": spec,
        });
        let first = format!("{:?}", crate::decode_api_object(&object));
        prop_assert_eq!(first, format!("{:?}", crate::decode_api_object(&object)));
        let _whole = crate::decode_api_object(&spec);
    }

    #[test]
    fn no_text_panics(text in "(apiVersion: bailiwick.dev/v1alpha1\n|kind: Policy\n|metadata: |spec: |rules:\n| - |[a-z]: |\\{|\\}|[\\[\\],\n&*ÿ]){0,40}") {
        let _contents = contents(&text);
    }
}
