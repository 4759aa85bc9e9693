use std::time::Duration;

use crate::testing::*;
use crate::{Compiled, FieldPath, Object, ObjectKind, Selection, TrustDomainSpec, codes, compile};

fn own(name: &str, hours: Option<u64>) -> Object<TrustDomainSpec> {
    object(ObjectKind::TrustDomain, name, TrustDomainSpec { leaf_lifetime: hours.map(|hours| hours * 3600) })
}

fn broken(name: &str, field: &str) -> Object<TrustDomainSpec> {
    let mut object = invalid(ObjectKind::TrustDomain, name, Selection::Everything);
    if let crate::Decoded::Invalid(invalid) = &mut object.spec {
        invalid.problems[0].field = FieldPath::root().field("spec").field(field).field("x");
    }
    object
}

fn mesh_of(objects: Vec<Object<TrustDomainSpec>>) -> (String, u64, bool, Compiled) {
    let mut world = world();
    world.trust_domains = objects;
    let compiled = compile(&world);
    let mesh = compiled.mesh.clone();
    (mesh.trust_domain.to_string(), mesh.leaf_lifetime.as_secs() / 3600, mesh.issues, compiled)
}

#[test]
fn the_domain_is_built_in_or_the_one_own() {
    let (name, hours, issues, compiled) = mesh_of(Vec::new());
    assert_eq!((name.as_str(), hours, issues), ("cluster.local", 24, true));
    assert_eq!(compiled.mesh.leaf_lifetime, Duration::from_secs(24 * 3600));
    let (name, hours, issues, compiled) = mesh_of(vec![own("prod.example", Some(1))]);
    assert_eq!((name.as_str(), hours, issues), ("prod.example", 1, true));
    let config = &compiled.workloads[&workload_key("shop/orders")];
    assert_eq!(config.identity.as_str(), "spiffe://prod.example/ns/shop/sa/orders");
    assert_eq!(config.snapshot.trust_domain.as_str(), "prod.example");
    assert_eq!(config.trust.default.trust_domains, ["prod.example".parse().unwrap()]);
}

#[test]
fn two_own_domains_are_both_invalid_and_issue_nothing() {
    let (name, _, issues, compiled) = mesh_of(vec![own("a.example", None), own("b.example", None)]);
    assert_eq!((name.as_str(), issues), ("cluster.local", false));
    assert_eq!(codes_of(&compiled), [codes::TWO_OWN_TRUST_DOMAINS, codes::TWO_OWN_TRUST_DOMAINS]);
    for name in ["a.example", "b.example"] {
        assert!(compiled.objects[&key(ObjectKind::TrustDomain, name)].accepted.is_err(), "{name}");
    }
}

#[test]
fn while_two_are_own_no_configured_domain_is_believed() {
    let mut world = world();
    world.trust_domains = vec![own("a.example", None), own("b.example", None)];
    let trust_domains = Some(vec!["a.example".parse().unwrap()]);
    let spec = crate::AuthenticationSpec { targets: None, mtls: None, trust_domains };
    world.authentications.push(object(ObjectKind::Authentication, "shop/a", spec));
    let compiled = compile(&world);
    assert!(compiled.workloads[&workload_key("shop/orders")].trust.default.trust_domains.is_empty());
}

#[test]
fn an_invalid_own_issues_nothing_and_keeps_the_name() {
    for field in ["own", "other"] {
        let (name, _, issues, _) = mesh_of(vec![broken("prod.example", field)]);
        assert_eq!((name.as_str(), issues), ("prod.example", false), "{field}");
    }
}

#[test]
fn an_invalid_federated_domain_is_not_trusted_and_hinders_nothing() {
    let (name, _, issues, compiled) = mesh_of(vec![broken("partner.example", "federated")]);
    assert_eq!((name.as_str(), issues), ("cluster.local", true));
    assert!(compiled.objects[&key(ObjectKind::TrustDomain, "partner.example")].accepted.is_err());
    let both = vec![broken("partner.example", "federated"), own("prod.example", None)];
    let (name, _, issues, _) = mesh_of(both);
    assert_eq!((name.as_str(), issues), ("prod.example", true));
}

#[test]
fn one_domain_that_is_defined_twice_keeps_its_name_and_issues_nothing() {
    let (name, _, issues, compiled) =
        mesh_of(vec![own("prod.example", Some(1)), own("prod.example", Some(2))]);
    assert_eq!((name.as_str(), issues), ("prod.example", false));
    assert_eq!(codes_of(&compiled), [codes::DUPLICATE], "one message: the two differ only in their spec");
}
