use std::collections::BTreeMap;

use bailiwick_identity::{MtlsMode, PortTrust};

use crate::testing::*;
use crate::{
    AuthenticationSpec, Compiled, MtlsSpec, Object, ObjectKind, Selection, Target, World, codes, compile,
};

fn authentication(
    name: &str,
    targets: Option<Vec<Target>>,
    mode: Option<MtlsMode>,
    ports: &[(u16, MtlsMode)],
) -> Object<AuthenticationSpec> {
    let ports: BTreeMap<_, _> = ports.iter().map(|(number, mode)| (port(*number), *mode)).collect();
    let spec = AuthenticationSpec { targets, mtls: Some(MtlsSpec { mode, ports }), trust_domains: None };
    object(ObjectKind::Authentication, name, spec)
}

fn believing(name: &str, domains: &[&str]) -> Object<AuthenticationSpec> {
    let trust_domains = Some(domains.iter().map(|name| name.parse().unwrap()).collect());
    object(ObjectKind::Authentication, name, AuthenticationSpec { targets: None, mtls: None, trust_domains })
}

fn port_of<'a>(compiled: &'a Compiled, workload: &str, number: u16) -> &'a PortTrust {
    compiled.workloads[&workload_key(workload)].trust.port(port(number))
}

fn modes(world: &World, numbers: [u16; 3]) -> [MtlsMode; 3] {
    let compiled = compile(world);
    numbers.map(|number| port_of(&compiled, "shop/orders", number).mode)
}

#[test]
fn without_opinion_a_port_is_strict_and_believes_its_own_domain() {
    let compiled = compile(&world());
    let trust = port_of(&compiled, "shop/orders", 8080);
    assert_eq!((trust.mode, trust.audit, &trust.invalid), (MtlsMode::Strict, false, &None));
    assert_eq!(trust.trust_domains, ["cluster.local".parse().unwrap()]);
}

#[test]
fn a_port_entry_replaces_the_mode_of_its_object_and_the_strictest_object_wins() {
    use MtlsMode::{Disabled, Permissive, Strict};
    let mut world = world();
    let one = authentication("shop/one", None, Some(Permissive), &[(9090, Disabled)]);
    world.authentications.push(one);
    assert_eq!(modes(&world, [8080, 9090, 1]), [Permissive, Disabled, Permissive]);
    world.authentications.push(authentication(
        "shop/two",
        Some(vec![pods("orders", Some(&[8080]))]),
        Some(Strict),
        &[],
    ));
    assert_eq!(modes(&world, [8080, 9090, 1]), [Strict, Disabled, Permissive]);
    world.authentications.push(authentication("shop/three", None, None, &[(9090, Permissive)]));
    assert_eq!(modes(&world, [8080, 9090, 1]), [Strict, Permissive, Permissive]);
    let compiled = compile(&world);
    assert_eq!(port_of(&compiled, "bank/ledger", 8080).mode, Strict, "K7: another namespace is not touched");
}

#[test]
fn trust_domains_intersect() {
    let mut world = world();
    world.authentications.push(believing("shop/one", &["cluster.local", "partner.example"]));
    let compiled = compile(&world);
    let names = |compiled: &Compiled| -> Vec<String> {
        port_of(compiled, "shop/web", 8080).trust_domains.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(&compiled), ["cluster.local", "partner.example"]);
    world.authentications.push(believing("shop/two", &["partner.example"]));
    assert_eq!(names(&compile(&world)), ["partner.example"]);
    world.authentications.push(believing("shop/three", &["cluster.local"]));
    let compiled = compile(&world);
    assert!(names(&compiled).is_empty());
    assert!(codes_of(&compiled).contains(&codes::NOBODY_TRUSTED));
}

#[test]
fn the_audit_label_counts_only_where_nobody_has_an_opinion() {
    let mut world = world();
    add_namespace(&mut world, "shop", &[("bailiwick.dev/authentication", "audit")]);
    world.authentications.push(believing("shop/domains", &["cluster.local"]));
    world.authentications.push(authentication("shop/nine", None, None, &[(9090, MtlsMode::Strict)]));
    let compiled = compile(&world);
    let open = port_of(&compiled, "shop/orders", 8080);
    assert_eq!((open.mode, open.audit), (MtlsMode::Permissive, true));
    let strict = port_of(&compiled, "shop/orders", 9090);
    assert_eq!((strict.mode, strict.audit), (MtlsMode::Strict, false));
    assert!(!compiled.workloads[&workload_key("shop/orders")].snapshot.authorization_audit);
}

#[test]
fn the_authorization_label_is_the_other_system() {
    let mut world = world();
    add_namespace(&mut world, "shop", &[("bailiwick.dev/authorization", "audit")]);
    let compiled = compile(&world);
    assert!(compiled.workloads[&workload_key("shop/orders")].snapshot.authorization_audit);
    assert_eq!(port_of(&compiled, "shop/orders", 8080).mode, MtlsMode::Strict);
    assert!(!compiled.workloads[&workload_key("bank/ledger")].snapshot.authorization_audit);
}

#[test]
fn any_other_value_of_the_labels_enforces_and_is_reported() {
    for label in ["bailiwick.dev/authentication", "bailiwick.dev/authorization"] {
        for value in ["Audit", "true", "enforce", ""] {
            let mut world = world();
            add_namespace(&mut world, "shop", &[(label, value)]);
            let compiled = compile(&world);
            let config = &compiled.workloads[&workload_key("shop/orders")];
            assert_eq!(
                (config.trust.default.mode, config.trust.default.audit),
                (MtlsMode::Strict, false),
                "{value}"
            );
            assert!(!config.snapshot.authorization_audit, "{value}");
            assert_eq!(codes_of(&compiled), [codes::NAMESPACE_LABEL], "{value}");
        }
    }
}

#[test]
fn an_invalid_authentication_closes_what_it_selects() {
    let selected =
        Selection::Targets { namespace_selector: None, targets: Some(vec![pods("orders", Some(&[8080]))]) };
    let mut world = world();
    world.authentications.push(invalid(ObjectKind::Authentication, "shop/bad", selected));
    let compiled = compile(&world);
    let closed = port_of(&compiled, "shop/orders", 8080).invalid.clone().unwrap();
    assert_eq!(closed.object, "shop/bad");
    assert_eq!(closed.reason, "`spec.rulez`: unknown field `rulez`");
    assert_eq!(port_of(&compiled, "shop/orders", 9090).invalid, None);
    assert_eq!(port_of(&compiled, "shop/web", 8080).invalid, None);

    world.authentications.push(invalid(ObjectKind::Authentication, "shop/worse", Selection::Everything));
    let compiled = compile(&world);
    assert_eq!(port_of(&compiled, "shop/orders", 8080).invalid.as_ref().unwrap().object, "shop/bad");
    assert_eq!(port_of(&compiled, "shop/web", 1).invalid.as_ref().unwrap().object, "shop/worse");
    assert_eq!(port_of(&compiled, "bank/ledger", 8080).invalid, None);
}
