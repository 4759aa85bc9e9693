use bailiwick_wire::{Report, ReportedCall, ReportedCaller, ReportedOutcome, ReportedRule, ReportedVerdict};
use serde_json::Value;

use super::*;
use crate::testing::{identity, workload};

fn report(number: u64, namespace: &str) -> Report {
    Report {
        decision_id: format!("id-{number}"),
        connection_id: "c".into(),
        time_ms: 1_795_471_200_123,
        workload: workload(&format!("{namespace}/orders")),
        port: 8080_u16.try_into().unwrap(),
        caller: ReportedCaller::Proven(identity("shop/web")),
        source: "10.0.0.7:40000".parse().unwrap(),
        call: ReportedCall {
            protocol: "http/1".into(),
            method: "GET".into(),
            path: "/admin".into(),
            host: "orders.shop".into(),
            grpc: false,
        },
        verdict: ReportedVerdict::Deny,
        outcome: ReportedOutcome::Refused,
        rules: vec![ReportedRule {
            kind: "Default".into(),
            namespace: String::new(),
            name: String::new(),
            rule: "default".into(),
        }],
        rule_count: 1,
        would_be: None,
        status: Some(403),
        snapshot: bailiwick_policy::SnapshotId([7; 32]),
        snapshot_version: 3,
        left_out: 0,
    }
}

#[test]
fn a_denial_is_found_by_its_id_and_reads_as_the_audit_event() {
    let denials = Denials::default();
    denials.keep(report(1, "shop"));
    denials.keep(report(2, "shop"));
    let found: Value = serde_json::from_str(&denials.why("id-1").unwrap()).unwrap();
    assert_eq!(found["time"], "2026-11-23T22:00:00.123Z");
    assert_eq!(found["source"]["identity"], "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!(found["destination"]["workload"], "shop/orders");
    assert_eq!(found["reasons"][0]["rule"], "default");
    assert!(found["reasons"][0].get("name").is_none());
    assert_eq!((found["status"].as_u64(), found["verdict"].as_str()), (Some(403), Some("deny")));
    assert_eq!(denials.why("id-3"), None);
}

#[test]
fn what_is_kept_is_bounded_and_the_newest_come_first() {
    let denials = Denials::default();
    for number in 0..30_000 {
        denials.keep(report(number, if number % 2 == 0 { "shop" } else { "bank" }));
    }
    assert_eq!(denials.why("id-0"), None);
    let list: Value = serde_json::from_str(&denials.list(Some("bank"), 3)).unwrap();
    let ids: Vec<&str> =
        list.as_array().unwrap().iter().map(|one| one["decisionId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["id-29999", "id-29997", "id-29995"]);
    let long = |number| {
        let mut report = report(number, "shop");
        report.call.path = "x".repeat(64 * 1024);
        report
    };
    (0..1_000).for_each(|number| denials.keep(long(number)));
    let all: Value = serde_json::from_str(&denials.list(None, usize::MAX)).unwrap();
    assert!(all.as_array().unwrap().len() < 260, "16 MiB");
}
