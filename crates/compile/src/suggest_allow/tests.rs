use bailiwick_policy::{Effect, Permission};

use super::*;
use crate::compile;
use crate::testing::*;

fn caller(id: &str) -> Caller {
    Caller::Identity(id.parse().unwrap())
}

fn suggest(
    world: &World,
    caller: &Caller,
    call: CallShape<'_>,
    denied_by: Option<(&Origin, &str)>,
) -> Suggestion {
    let compiled = compile(world);
    let target = workload_key("shop/orders");
    let refused = RefusedCall { caller, target: &target, port: port(8080), call, denied_by };
    suggest_allow(world, &compiled, &refused).unwrap()
}

const GET: CallShape<'_> = CallShape::Http { method: "GET", path: "/orders/1" };

#[test]
fn a_rule_is_added_to_a_policy_of_this_workload_alone() {
    let mut world = world();
    let mine = vec![rule("allow-web", Effect::Allow, &[], vec![get("/other")])];
    world.policies.push(policy("shop/everyone", None, vec![rule("x", Effect::Allow, &[], vec![get("/x")])]));
    world.policies.push(policy("shop/orders", Some(vec![pods("orders", Some(&[8080]))]), mine));
    let found = suggest(&world, &caller("spiffe://cluster.local/ns/shop/sa/web"), GET, None);
    assert_eq!(found.object, key(ObjectKind::Policy, "shop/orders"));
    assert_eq!((found.field.as_str(), found.document), ("spec.rules", None));
    assert_eq!(
        found.line,
        r#"- {name: allow-web-2, effect: Allow, subjects: [{serviceAccount: {name: web}}], permissions: [{http: {methods: [GET], paths: ["/orders/1"]}}]}"#
    );
}

#[test]
fn without_one_a_new_policy_selects_the_workload_and_port() {
    let found = suggest(&world(), &caller("spiffe://cluster.local/ns/bank/sa/ledger"), GET, None);
    assert_eq!(
        found.document.unwrap(),
        r#"apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: allow-ledger-to-orders, namespace: shop}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}, ports: [8080]}]
  rules:
  - {name: allow-ledger, effect: Allow, subjects: [{serviceAccount: {name: ledger, namespace: bank}}], permissions: [{http: {methods: [GET], paths: ["/orders/1"]}}]}
"#
    );
}

#[test]
fn callers_and_calls_of_every_kind_have_a_form() {
    let world = world();
    let line = |caller: &Caller, call| suggest(&world, caller, call, None).line;
    assert!(line(&Caller::Anonymous, GET).contains("subjects: [{unauthenticated: {}}]"));
    let partner = caller("spiffe://partner.example/ns/shop/sa/web");
    assert!(line(&partner, GET).contains(r#"[{spiffeID: "spiffe://partner.example/ns/shop/sa/web"}]"#));
    assert!(line(&partner, CallShape::Tcp).contains("permissions: [{tcp: {ports: [8080]}}]"));
    let grpc = CallShape::Grpc { service: "shop.v1.Orders", method: "Get" };
    assert!(line(&partner, grpc).contains("[{grpc: {service: shop.v1.Orders, methods: [Get]}}]"));
    let odd = CallShape::Http { method: "NO", path: "/a*b/{x}/c" };
    assert!(
        line(&partner, odd).contains(r#"{methods: ["NO"], paths: ["/*/*/c"]}"#),
        "{}",
        line(&partner, odd)
    );
}

#[test]
fn a_deny_gets_an_exception() {
    let mut world = world();
    let mut second = rule("but-bank", Effect::Deny, &[], vec![Permission::Any]);
    second.except_subjects = vec![account(Some("bank"), "ledger")];
    let rules = vec![rule("no", Effect::Deny, &[], vec![Permission::Any]), second];
    world.policies.push(policy("shop/guard", None, rules));
    let origin = Origin { layer: Layer::Namespace, namespace: "shop".into(), name: "guard".into() };
    let web = caller("spiffe://cluster.local/ns/shop/sa/web");
    let found = suggest(&world, &web, GET, Some((&origin, "no")));
    assert_eq!(found.field, "spec.rules[0]");
    assert_eq!(found.line, "exceptSubjects: [{serviceAccount: {name: web}}]");
    let found = suggest(&world, &web, GET, Some((&origin, "but-bank")));
    assert_eq!(found.field, "spec.rules[1].exceptSubjects");
    assert_eq!(found.line, "- serviceAccount: {name: web}");
}
