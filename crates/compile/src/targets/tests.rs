use bailiwick_identity::MtlsMode;
use bailiwick_policy::{Effect, Mode, Permission};

use crate::testing::*;
use crate::{
    ClusterPolicySpec, Compiled, LabelSelector, ObjectKind, Requirement, SelectorOperator, Severity, Target,
    TargetKind, TargetPort, World, codes, compile,
};

/// The workloads (and ports) that a Policy of `shop` with these targets opens.
fn opened(world: &mut World, targets: Option<Vec<Target>>) -> (Vec<String>, Compiled) {
    let all = vec![rule("all", Effect::Allow, &[], vec![Permission::Any])];
    world.policies.push(policy("shop/open", targets, all));
    let compiled = compile(world);
    let mut found = Vec::new();
    for key in world.workloads.keys() {
        for number in [8080, 9090] {
            let name = key.to_string();
            if decide(&compiled, None, (&name, number), "/").verdict.outcome.permits() {
                found.push(format!("{name}:{number}"));
            }
        }
    }
    (found, compiled)
}

#[test]
fn without_targets_the_namespace_and_nothing_else() {
    // K7: never another namespace.
    let (found, compiled) = opened(&mut world(), None);
    assert_eq!(found, ["shop/orders:8080", "shop/orders:9090", "shop/web:8080", "shop/web:9090"]);
    let outcome = &compiled.objects[&key(ObjectKind::Policy, "shop/open")];
    assert_eq!(outcome.targeted, [workload_key("shop/orders"), workload_key("shop/web")]);
}

#[test]
fn pods_by_label_and_container_port_stay_in_their_namespace() {
    let mut world = world();
    add_workload(&mut world, "bank/orders", &[(None, 8080)]);
    assert_eq!(opened(&mut world, Some(vec![pods("orders", Some(&[9090]))])).0, ["shop/orders:9090"]);
}

#[test]
fn targets_add_up() {
    let targets =
        vec![pods("orders", Some(&[9090])), pods("orders", Some(&[8080])), pods("web", Some(&[9090]))];
    let expected = ["shop/orders:8080", "shop/orders:9090", "shop/web:9090"];
    assert_eq!(opened(&mut world(), Some(targets)).0, expected);
    let all = vec![pods("orders", Some(&[9090])), pods("orders", None)];
    assert_eq!(opened(&mut world(), Some(all)).0, ["shop/orders:8080", "shop/orders:9090"]);
}

#[test]
fn expressions_select_too() {
    let requirement = |operator| {
        let expressions = vec![Requirement { key: "app".to_owned(), operator }];
        Some(vec![Target {
            kind: TargetKind::Pod(LabelSelector { expressions, ..selector(&[]) }),
            ports: some_ports(Some(&[8080])),
        }])
    };
    let not = SelectorOperator::NotIn(vec!["web".to_owned()]);
    assert_eq!(opened(&mut world(), requirement(not)).0, ["shop/orders:8080"]);
    assert!(opened(&mut world(), requirement(SelectorOperator::DoesNotExist)).0.is_empty());
}

#[test]
fn a_service_means_its_pods_and_its_ports_lead_to_container_ports() {
    let mut world = world();
    let ports = vec![
        service_port(80, TargetPort::Name("web".to_owned())),
        service_port(90, TargetPort::Number(port(9090))),
        service_port(99, TargetPort::Name("nowhere".to_owned())),
    ];
    add_service(&mut world, "shop/orders", Some("orders"), ports);
    let target = |ports: Option<&[u16]>| {
        Some(vec![Target { kind: TargetKind::Service("orders".to_owned()), ports: some_ports(ports) }])
    };
    let opened_by = |ports| opened(&mut world.clone(), target(ports));
    assert_eq!(opened_by(None).0, ["shop/orders:8080", "shop/orders:9090"]);
    assert_eq!(opened_by(Some(&[80])).0, ["shop/orders:8080"]);
    assert_eq!(opened_by(Some(&[90])).0, ["shop/orders:9090"]);
    let (found, compiled) = opened_by(Some(&[99]));
    assert!(found.is_empty());
    assert_eq!(codes_of(&compiled), [codes::SERVICE_PORT_LEADS_NOWHERE]);
    let (found, compiled) = opened_by(Some(&[8080]));
    assert!(found.is_empty(), "ports of a Service target are the Service's");
    assert_eq!(codes_of(&compiled), [codes::SERVICE_PORT_MISSING]);
    assert!(compiled.objects[&key(ObjectKind::Policy, "shop/open")].resolved_refs.is_err());
}

#[test]
fn a_service_that_selects_nothing_is_told() {
    let mut world = world();
    add_service(&mut world, "shop/external", None, Vec::new());
    add_service(&mut world, "bank/orders", Some("orders"), Vec::new());
    for (name, code) in [
        ("external", codes::SERVICE_WITHOUT_SELECTOR),
        ("orders", codes::SERVICE_MISSING),
        ("extrenal", codes::SERVICE_MISSING),
    ] {
        let target = Target { kind: TargetKind::Service(name.to_owned()), ports: None };
        let (found, compiled) = opened(&mut world.clone(), Some(vec![target]));
        assert!(found.is_empty(), "{name}");
        let [diagnostic] = compiled.diagnostics.as_slice() else { panic!("{:?}", compiled.diagnostics) };
        assert_eq!((diagnostic.code, diagnostic.severity), (code, Severity::Error), "{name}");
        assert_eq!(diagnostic.field.as_str(), "spec.targets[0].name");
        if name == "extrenal" {
            assert_eq!(diagnostic.help.as_deref(), Some("did you mean `external`?"));
        }
    }
}

#[test]
fn service_accounts_select_their_workloads() {
    let target = |name: &str| Target {
        kind: TargetKind::ServiceAccount(name.parse().unwrap()),
        ports: some_ports(Some(&[8080])),
    };
    assert_eq!(opened(&mut world(), Some(vec![target("orders")])).0, ["shop/orders:8080"]);
    let (found, compiled) = opened(&mut world(), Some(vec![target("oders")]));
    assert!(found.is_empty());
    assert_eq!(codes_of(&compiled), [codes::TARGET_MATCHES_NOTHING]);
    assert_eq!(compiled.diagnostics[0].severity, Severity::Warning);
    assert_eq!(compiled.diagnostics[0].help.as_deref(), Some("did you mean `orders`?"));
    let outcome = &compiled.objects[&key(ObjectKind::Policy, "shop/open")];
    assert!(
        outcome.accepted.is_ok() && outcome.resolved_refs.is_ok(),
        "a target that matches nothing is valid"
    );
}

fn guardrail(world: &mut World, namespaces: Option<LabelSelector>, targets: Option<Vec<Target>>) -> Compiled {
    world.policies.push(allow_all("shop/open"));
    world.policies.push(allow_all("bank/open"));
    let spec = ClusterPolicySpec {
        namespace_selector: namespaces,
        targets,
        mode: Mode::Enforce,
        rules: vec![rule("no", Effect::Deny, &[], vec![Permission::Any])],
    };
    world.cluster_policies.push(object(ObjectKind::ClusterPolicy, "guard", spec));
    compile(world)
}

#[test]
fn a_cluster_policy_selects_namespaces_and_pods_there() {
    let mut world = world();
    add_namespace(&mut world, "shop", &[("tier", "core"), ("bailiwick.dev/inject", "enabled")]);
    let core = guardrail(&mut world.clone(), Some(selector(&[("tier", "core")])), None);
    assert!(!permits(&core, "shop/orders", "/") && permits(&core, "bank/ledger", "/"));
    let web = guardrail(&mut world.clone(), None, Some(vec![pods("web", None)]));
    assert!(
        permits(&web, "shop/orders", "/")
            && !permits(&web, "shop/web", "/")
            && permits(&web, "bank/ledger", "/")
    );
    // The API server sets this label on every namespace; a manifest's own value never counts.
    add_namespace(&mut world, "bank", &[("kubernetes.io/metadata.name", "shop")]);
    let named = selector(&[("kubernetes.io/metadata.name", "shop")]);
    let named = guardrail(&mut world.clone(), Some(named), None);
    assert!(!permits(&named, "shop/orders", "/") && permits(&named, "bank/ledger", "/"));
    let none = guardrail(&mut world.clone(), Some(selector(&[("tier", "none")])), None);
    assert_eq!(codes_of(&none), [codes::NAMESPACES_MATCH_NOTHING]);
}

#[test]
fn without_selector_every_enrolled_namespace_is_selected() {
    let mut world = world();
    add_namespace(&mut world, "bank", &[("bailiwick.dev/inject", "disabled")]);
    add_namespace(&mut world, "shop", &[("bailiwick.dev/inject", "enabled")]);
    let compiled = guardrail(&mut world, None, None);
    assert!(!permits(&compiled, "shop/orders", "/") && permits(&compiled, "bank/ledger", "/"));
    assert!(compiled.workloads[&workload_key("shop/orders")].enrolled);
    assert!(!compiled.workloads[&workload_key("bank/ledger")].enrolled);
}

#[test]
fn an_empty_selector_denies_instead_of_selecting_everything() {
    let mut world = world();
    let empty = Target { kind: TargetKind::Pod(selector(&[])), ports: None };
    let (found, compiled) = opened(&mut world, Some(vec![empty]));
    assert!(found.is_empty());
    assert_eq!(codes_of(&compiled), [codes::NOT_COMPILABLE]);
    let reason =
        decide(&compiled, None, ("shop/orders", 8080), "/").verdict.rules[0].info.uncompilable.clone();
    assert_eq!(
        reason.as_deref(),
        Some("`spec.targets[0].selector`: an empty selector or list selects nothing")
    );
    let trust = &compiled.workloads[&workload_key("shop/orders")].trust;
    assert_eq!(trust.default.mode, MtlsMode::Strict);
}
