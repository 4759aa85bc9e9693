//! What is said about calls that nobody makes.

use bailiwick_policy::{
    Answer, Caller, CanonicalPath, Dependency, Effect, HttpCall, Hypothesis, Mismatch, Outcome, Permission,
    PortSelection, RequestTarget, Rule, Timestamp, explain,
};

use super::build::{self, from, http, parts, policy, rule, service_account, snapshot};
use super::scenarios::{WEB, allow_all, anyone, outcome, web};

fn hypothesis<'a>(path: &'a CanonicalPath<'a>, method: &'a str) -> Hypothesis<'a> {
    Hypothesis {
        caller: Caller::Identity(WEB.parse().unwrap()),
        source: None,
        port: build::port(8080),
        now: None,
        call: bailiwick_policy::Call::Http(HttpCall {
            method,
            target: RequestTarget::Path(path),
            host: "orders.shop",
            grpc: false,
        }),
    }
}

#[test]
fn the_nearest_miss_says_what_to_change() {
    let reads = rule(
        "web-reads",
        Effect::Allow,
        vec![service_account("shop", "web")],
        vec![http(&["GET", "HEAD"], &["/orders", "/orders/{id}"])],
    );
    let others =
        rule("admin", Effect::Allow, vec![service_account("shop", "admin")], vec![http(&["*"], &["/**"])]);
    let world = snapshot(parts(vec![policy("orders", vec![reads, others])]));
    let path = CanonicalPath::parse("/orders/1").unwrap();
    let explanation = explain(&world, &hypothesis(&path, "DELETE"));
    assert_eq!(explanation.answer(), Answer::Deny);
    assert_eq!(
        explanation.to_string(),
        "DENY: denied by default: no rule allows it. Policy shop/orders rule web-reads comes closest, but the method \
         is DELETE, not GET or HEAD."
    );
    let nearest = explanation.nearest.unwrap();
    assert_eq!(
        nearest.mismatches,
        [Mismatch::Method { wanted: vec!["GET".to_owned(), "HEAD".to_owned()], found: "DELETE".to_owned() }]
    );
    let path = CanonicalPath::parse("/orders/1/items").unwrap();
    let explanation = explain(&world, &hypothesis(&path, "GET"));
    assert_eq!(
        explanation.nearest.unwrap().to_string(),
        "Policy shop/orders rule web-reads comes closest, but the path /orders/1/items is not /orders/{id} or /orders"
    );
    assert_eq!(
        explain(&world, &hypothesis(&CanonicalPath::parse("/orders").unwrap(), "GET")).answer(),
        Answer::Permit
    );
}

#[test]
fn an_answer_says_what_it_depends_on() {
    let office = rule("office", Effect::Allow, vec![from("10.0.0.0/8")], vec![Permission::Any]);
    let night =
        Rule { not_before: Some(100), ..rule("night", Effect::Deny, vec![anyone()], vec![Permission::Any]) };
    let path = CanonicalPath::parse("/").unwrap();
    let world = snapshot(parts(vec![policy("p", vec![office.clone(), night])]));
    let explanation = explain(&world, &hypothesis(&path, "GET"));
    assert_eq!(explanation.depends, [Dependency::SourceAddress, Dependency::Time]);
    assert_eq!(explanation.answer(), Answer::Depends);
    assert!(!explanation.verdict.outcome.permits());
    let given = Hypothesis {
        source: Some("10.0.0.1".parse().unwrap()),
        now: Some(Timestamp(0)),
        ..hypothesis(&path, "GET")
    };
    assert_eq!(explain(&world, &given).answer(), Answer::Permit);
    let anyone_too = snapshot(parts(vec![policy("p", vec![office, allow_all()])]));
    assert!(
        explain(&anyone_too, &hypothesis(&path, "GET")).depends.is_empty(),
        "the answer is the same either way"
    );
}

#[test]
fn a_policy_counts_on_the_ports_that_it_selects() {
    let mut bound = policy("p", vec![allow_all()]);
    bound.ports = PortSelection::Only(vec![build::port(9090)]);
    let world = snapshot(parts(vec![bound]));
    assert_eq!(outcome(&world, &web(), "GET", Some("/"), false), Outcome::Default);
    let path = CanonicalPath::parse("/").unwrap();
    let nearest = explain(&world, &hypothesis(&path, "GET")).nearest.unwrap();
    assert_eq!(nearest.to_string(), "Policy shop/p rule all comes closest, but the port is 8080, not 9090");
}
