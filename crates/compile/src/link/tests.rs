use bailiwick_policy::{Effect, Mode, Outcome, Permission};

use super::*;
use crate::testing::*;
use crate::{ClusterPolicySpec, Compiled, Compiler, ObjectKind, Selection, World, compile};

fn open() -> World {
    let mut world = world();
    world.policies.push(allow_all("shop/open"));
    world.policies.push(allow_all("bank/open"));
    world
}

fn outcome(compiled: &Compiled, workload: &str, number: u16) -> Outcome {
    decide(compiled, Some("shop/web"), (workload, number), "/").verdict.outcome
}

#[test]
fn nothing_is_permitted_by_default() {
    let compiled = compile(&world());
    assert_eq!(outcome(&compiled, "shop/orders", 8080), Outcome::Default);
}

#[test]
fn an_invalid_policy_denies_what_it_selects_and_says_why() {
    let mut world = open();
    let selection =
        Selection::Targets { namespace_selector: None, targets: Some(vec![pods("orders", Some(&[8080]))]) };
    world.policies.push(invalid(ObjectKind::Policy, "shop/bad", selection));
    let compiled = compile(&world);
    assert_eq!(outcome(&compiled, "shop/orders", 8080), Outcome::PolicyDeny);
    assert_eq!(outcome(&compiled, "shop/orders", 9090), Outcome::Allow);
    assert_eq!(outcome(&compiled, "shop/web", 8080), Outcome::Allow);
    let explanation = decide(&compiled, None, ("shop/orders", 8080), "/");
    let reason = explanation.verdict.rules[0].info.uncompilable.as_deref();
    assert_eq!(reason, Some("`spec.rulez`: unknown field `rulez`"));
    let status = &compiled.objects[&key(ObjectKind::Policy, "shop/bad")];
    assert!(status.accepted.is_err() && status.resolved_refs.is_ok());
    assert_eq!(status.targeted, [workload_key("shop/orders")]);
}

#[test]
fn a_policy_whose_selection_broke_denies_its_namespace_and_no_other() {
    let mut world = open();
    world.policies.push(invalid(ObjectKind::Policy, "shop/bad", Selection::Everything));
    let compiled = compile(&world);
    assert_eq!(outcome(&compiled, "shop/orders", 9090), Outcome::PolicyDeny);
    assert_eq!(outcome(&compiled, "shop/web", 8080), Outcome::PolicyDeny);
    assert_eq!(outcome(&compiled, "bank/ledger", 8080), Outcome::Allow);
}

#[test]
fn an_invalid_object_in_audit_only_reports() {
    let mut world = open();
    world.policies.push(invalid_in(ObjectKind::Policy, "shop/bad", Selection::Everything, Mode::Audit));
    let compiled = compile(&world);
    let explanation = decide(&compiled, Some("shop/web"), ("shop/orders", 8080), "/");
    assert_eq!(explanation.verdict.outcome, Outcome::Allow);
    assert_eq!(explanation.would_be.unwrap().outcome, Outcome::PolicyDeny);
    assert!(compiled.objects[&key(ObjectKind::Policy, "shop/bad")].audit);
}

#[test]
fn an_invalid_cluster_policy_denies_its_namespaces_or_every_enrolled_one() {
    let mut world = open();
    add_namespace(&mut world, "shop", &[("bailiwick.dev/inject", "enabled"), ("tier", "core")]);
    add_namespace(&mut world, "bank", &[]);
    let everything = |selection| {
        let mut world = world.clone();
        world.cluster_policies.push(invalid::<ClusterPolicySpec>(
            ObjectKind::ClusterPolicy,
            "bad",
            selection,
        ));
        let compiled = compile(&world);
        (outcome(&compiled, "shop/orders", 8080), outcome(&compiled, "bank/ledger", 8080))
    };
    let enrolled = (Outcome::ClusterDeny, Outcome::Allow);
    assert_eq!(everything(Selection::Everything), enrolled);
    let targets = |namespace_selector| Selection::Targets { namespace_selector, targets: None };
    assert_eq!(everything(targets(Some(selector(&[("tier", "core")])))), enrolled);
    assert_eq!(everything(targets(Some(selector(&[("tier", "none")])))), (Outcome::Allow, Outcome::Allow));
}

#[test]
fn unreadable_documents_deny_every_call_everywhere() {
    let mut world = open();
    add_namespace(&mut world, "bank", &[]);
    let problem = |message: &str| Diagnostic {
        code: crate::Code(5),
        severity: Severity::Error,
        object: None,
        field: FieldPath::root(),
        location: place("orders.yaml"),
        message: message.to_owned(),
        help: None,
    };
    world.unreadable = vec![problem("the document is not YAML")];
    let compiled = compile(&world);
    for workload in ["shop/orders", "shop/web", "bank/ledger"] {
        let explanation = decide(&compiled, Some("shop/web"), (workload, 8080), "/");
        assert_eq!(explanation.verdict.outcome, Outcome::ClusterDeny, "{workload}");
        let info = &explanation.verdict.rules[0].info;
        assert_eq!(info.origin.name.as_ref(), "(unreadable documents)");
        assert_eq!(
            info.uncompilable.as_deref(),
            Some("a document cannot be read: orders.yaml: the document is not YAML")
        );
    }
    assert_eq!(compiled.diagnostics, world.unreadable);
}

#[test]
fn a_duplicate_compiles_in_none_of_its_forms() {
    let mut world = open();
    let closed = policy(
        "shop/open",
        Some(vec![pods("web", None)]),
        vec![rule("x", Effect::Allow, &[], vec![get("/")])],
    );
    world.policies.push(closed);
    let compiled = compile(&world);
    assert_eq!(outcome(&compiled, "shop/orders", 8080), Outcome::PolicyDeny);
    assert_eq!(outcome(&compiled, "shop/web", 8080), Outcome::PolicyDeny);
    let accepted = &compiled.objects[&key(ObjectKind::Policy, "shop/open")].accepted;
    assert_eq!(accepted.as_ref().unwrap_err()[0].code, codes::DUPLICATE);
}

#[test]
fn a_rule_that_says_nothing_never_reaches_a_sidecar() {
    // I2: no list that is empty means everything, or breaks the snapshot as a whole.
    let mut bad = rule("bad", Effect::Allow, &[], vec![Permission::Any]);
    bad.subjects.clear();
    let mut field = rule("field", Effect::Allow, &[], vec![Permission::Any]);
    field.subjects = vec![crate::SubjectSpec::default()];
    let nothing = rule("nothing", Effect::Deny, &[], Vec::new());
    let ports = rule("ports", Effect::Deny, &[], vec![Permission::Tcp(Vec::new())]);
    for bad in [bad, field, nothing, ports] {
        let mut world = open();
        world.policies.push(policy("shop/bad", None, vec![bad.clone()]));
        let compiled = compile(&world);
        assert_eq!(outcome(&compiled, "shop/orders", 8080), Outcome::PolicyDeny, "{}", bad.name);
        assert_eq!(codes_of(&compiled), [codes::NOT_COMPILABLE], "{}", bad.name);
    }
}

#[test]
fn a_cluster_policy_must_name_namespaces() {
    let mut world = open();
    let mut bad = rule("bad", Effect::Allow, &["reader"], Vec::new());
    bad.subjects = vec![account(None, "web")];
    let spec =
        ClusterPolicySpec { namespace_selector: None, targets: None, mode: Mode::Enforce, rules: vec![bad] };
    world.cluster_policies.push(object(ObjectKind::ClusterPolicy, "guard", spec));
    let compiled = compile(&world);
    assert_eq!(outcome(&compiled, "shop/orders", 8080), Outcome::ClusterDeny);
    assert_eq!(codes_of(&compiled), [codes::NOT_COMPILABLE, codes::NOT_COMPILABLE]);
}

#[test]
fn subjects_are_completed_and_selectors_resolved_to_names() {
    let mut world = world();
    add_namespace(&mut world, "bank", &[("tier", "core")]);
    let mut own = rule("own", Effect::Allow, &[], vec![get("/own")]);
    own.subjects = vec![account(None, "web")];
    let mut core = rule("core", Effect::Allow, &[], vec![get("/core")]);
    let chosen = |pairs| crate::SubjectSpec {
        namespace: Some(crate::NamespaceMatch::Selector(selector(pairs))),
        ..crate::SubjectSpec::default()
    };
    core.subjects = vec![chosen(&[("tier", "core")]), chosen(&[("tier", "none")])];
    world.policies.push(policy("shop/open", None, vec![own, core]));
    let compiled = compile(&world);
    let permitted =
        |caller, path| decide(&compiled, Some(caller), ("shop/orders", 8080), path).verdict.outcome.permits();
    assert!(permitted("shop/web", "/own") && !permitted("bank/web", "/own"));
    assert!(permitted("bank/ledger", "/core") && !permitted("shop/web", "/core"));
    assert_eq!(codes_of(&compiled), [codes::SUBJECT_MATCHES_NOTHING]);
    assert_eq!(compiled.diagnostics[0].field.as_str(), "spec.rules[1].subjects[1].namespace.selector");
}

#[test]
fn objects_are_shared_between_workloads_and_between_compiles() {
    let mut world = open();
    let mut compiler = Compiler::default();
    let first = compiler.compile(&world);
    let object = |compiled: &Compiled, workload: &str| {
        Arc::clone(&compiled.workloads[&workload_key(workload)].snapshot.objects[0].object)
    };
    assert!(Arc::ptr_eq(&object(&first, "shop/orders"), &object(&first, "shop/web")));
    world.policies.push(policy("bank/more", None, vec![rule("x", Effect::Allow, &[], vec![get("/")])]));
    let second = compiler.compile(&world);
    assert!(Arc::ptr_eq(&object(&first, "shop/orders"), &object(&second, "shop/orders")));
    let shared = |name: &str| {
        Arc::ptr_eq(&first.workloads[&workload_key(name)], &second.workloads[&workload_key(name)])
    };
    assert!(shared("shop/orders") && !shared("bank/ledger"));
}

#[test]
fn too_many_permissions_deny_the_workload_and_drop_no_object() {
    let mut world = open();
    let many = (0..30).map(|number| get(&format!("/{number}"))).collect();
    world.policies.push(policy(
        "shop/many",
        Some(vec![pods("orders", None)]),
        vec![rule("x", Effect::Allow, &[], many)],
    ));
    let facts = Facts::new(&world);
    let roles = Roles::resolve(&world);
    let mut namespaces = Namespaces::new(&facts);
    let mut seen = crate::seen::Seen::new(0);
    let mut drafts = Vec::new();
    for view in crate::selection::views(&mut namespaces, &world.policies) {
        drafts.push(Draft::new(view, |spec| &spec.rules, &roles, (&mut seen, &mut namespaces)));
    }
    let linked = link_within(39, &facts, &drafts, &roles, &[], (&mut namespaces, &mut Memo::default()));
    let names: Vec<Vec<&str>> = linked
        .workloads
        .iter()
        .map(|objects| objects.iter().map(|bound| bound.object.origin.name.as_ref()).collect())
        .collect();
    assert_eq!(names, [vec!["open"], vec!["(too many permissions)"], vec!["open"]]);
    assert_eq!(linked.problems[0].code, codes::WORKLOAD_TOO_LARGE);
}

#[test]
fn kinds_that_are_not_implemented_are_never_accepted() {
    let mut world = world();
    world.unsupported.push(object(ObjectKind::Relationship, "shop/tuples", ()));
    let compiled = compile(&world);
    assert!(compiled.objects[&key(ObjectKind::Relationship, "shop/tuples")].accepted.is_err());
    assert_eq!(codes_of(&compiled), [codes::UNSUPPORTED_KIND]);
}
