//! What the schema accepts and refuses, and that the types say the same field names.

use bailiwick_api::v1alpha1::{
    AuthenticationSpec, ClusterPolicySpec, PolicySpec, RelationSchemaSpec, RelationshipSpec, RoleSpec,
    TrustDomainSpec,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{mistakes, spec_node};

#[derive(Deserialize)]
struct Case {
    case: String,
    kind: String,
    spec: Value,
}

fn cases(text: &str) -> Vec<Case> {
    serde_saphyr::from_str(text).expect("the cases are yaml")
}

fn found(case: &Case) -> Vec<String> {
    mistakes("spec", &spec_node(&case.kind, ""), &case.spec)
}

#[test]
fn what_the_contract_shows_is_accepted() {
    let cases = cases(include_str!("accepted.yaml"));
    assert!(cases.len() > 20);
    for case in cases {
        assert_eq!(found(&case), [""; 0], "{} `{}`", case.kind, case.case);
    }
}

#[test]
fn mistakes_are_refused() {
    let cases = cases(include_str!("refused.yaml"));
    assert!(cases.len() > 70);
    for case in cases {
        assert!(!found(&case).is_empty(), "{} `{}` is accepted", case.kind, case.case);
    }
}

#[test]
fn a_misspelt_field_reaches_the_strict_decoder() {
    let spec = json!({
        "permissions": [{ "http": { "methods": ["GET"], "paths": ["/"], "host": ["a"] }, "wen": "false" }],
        "permission": [{ "any": {} }]
    });
    let case = Case { case: "misspelt".to_owned(), kind: "Role".to_owned(), spec };
    assert_eq!(found(&case), [""; 0], "the schema leaves it to the decoder, which can say what was meant");
}

#[test]
fn lists_and_texts_end_at_their_bounds() {
    let role = |paths: Vec<String>| {
        let spec = json!({ "permissions": [{ "http": { "methods": ["GET"], "paths": paths } }] });
        found(&Case { case: String::new(), kind: "Role".to_owned(), spec }).len()
    };
    let numbered = |count: usize| (0..count).map(|number| format!("/{number}")).collect();
    assert_eq!((role(numbered(64)), role(numbered(65))), (0, 1));
    let long = |length: usize| vec![format!("/{}", "a".repeat(length - 1))];
    assert_eq!((role(long(1024)), role(long(1025))), (0, 1));
}

/// Through the type and back: a field that the type calls otherwise would be lost.
fn round_trip<T: DeserializeOwned + Serialize>(case: &Case) {
    let typed: T =
        serde_json::from_value(case.spec.clone()).unwrap_or_else(|error| panic!("{}: {error}", case.case));
    assert_eq!(serde_json::to_value(&typed).expect("json"), case.spec, "{} `{}`", case.kind, case.case);
}

#[test]
fn types_and_schema_have_the_same_names() {
    let accepted = cases(include_str!("accepted.yaml"));
    for case in accepted.iter().filter(|case| !case.case.contains("misspelt")) {
        match case.kind.as_str() {
            "Role" => round_trip::<RoleSpec>(case),
            "Policy" => round_trip::<PolicySpec>(case),
            "ClusterPolicy" => round_trip::<ClusterPolicySpec>(case),
            "Authentication" => round_trip::<AuthenticationSpec>(case),
            "RelationSchema" => round_trip::<RelationSchemaSpec>(case),
            "Relationship" => round_trip::<RelationshipSpec>(case),
            "TrustDomain" => round_trip::<TrustDomainSpec>(case),
            other => panic!("unknown kind {other}"),
        }
    }
}
