use bailiwick_policy::Effect;

use crate::testing::*;
use crate::{Code, Compiled, ObjectKind, Selection, World, codes, compile};

/// `shop/orders` allows everything by one Policy, and what `bind` says by another.
fn with_deny(world: &mut World, roles: &[&str]) -> Compiled {
    world.policies.push(allow_all("shop/open"));
    world.policies.push(policy("shop/deny", None, vec![rule("no", Effect::Deny, roles, Vec::new())]));
    compile(world)
}

fn with_allow(world: &mut World, roles: &[&str]) -> Compiled {
    world.policies.push(policy(
        "shop/allow",
        None,
        vec![rule("yes", Effect::Allow, roles, vec![get("/inline")])],
    ));
    compile(world)
}

fn unresolved(compiled: &Compiled, kind: ObjectKind, name: &str) -> Vec<Code> {
    let outcome = &compiled.objects[&key(kind, name)];
    outcome.resolved_refs.as_ref().err().into_iter().flatten().map(|diagnostic| diagnostic.code).collect()
}

#[test]
fn a_role_grants_its_own_and_what_it_inherits_across_namespaces() {
    let mut world = world();
    world.roles.push(role("shop/reader", &["health", "bank/metrics"], vec![get("/orders")]));
    world.roles.push(role("shop/health", &[], vec![get("/health")]));
    world.roles.push(role("bank/metrics", &["base"], vec![get("/metrics")]));
    world.roles.push(role("bank/base", &[], vec![get("/base")]));
    world.roles.push(role("shop/base", &[], vec![get("/other")]));
    let compiled = with_allow(&mut world, &["reader"]);
    for path in ["/orders", "/health", "/metrics", "/base", "/inline"] {
        assert!(permits(&compiled, "shop/orders", path), "{path}");
    }
    assert!(
        !permits(&compiled, "shop/orders", "/other"),
        "`base` is that of the inheriting Role's namespace"
    );
    assert_eq!(compiled.diagnostics, []);
    let depends = &compiled.objects[&key(ObjectKind::Policy, "shop/allow")].depends_on;
    let names: Vec<String> = depends.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["Role bank/base", "Role bank/metrics", "Role shop/health", "Role shop/reader"]);
    let base = &compiled.objects[&key(ObjectKind::Role, "bank/base")];
    assert_eq!(base.targeted, [workload_key("shop/orders"), workload_key("shop/web")]);
}

#[test]
fn a_role_by_itself_grants_nothing() {
    let mut world = world();
    world.roles.push(role("shop/reader", &[], vec![get("/orders")]));
    assert!(!permits(&compile(&world), "shop/orders", "/orders"));
}

#[test]
fn a_missing_role_adds_nothing_to_an_allow_and_the_rest_works() {
    let mut world = world();
    world.roles.push(role("shop/order-reader", &[], vec![get("/orders")]));
    let compiled = with_allow(&mut world, &["order-raeder"]);
    assert!(permits(&compiled, "shop/orders", "/inline"));
    assert!(!permits(&compiled, "shop/orders", "/orders"));
    assert_eq!(unresolved(&compiled, ObjectKind::Policy, "shop/allow"), [codes::ROLE_MISSING]);
    let [diagnostic] = compiled.diagnostics.as_slice() else { panic!("{:?}", compiled.diagnostics) };
    assert_eq!(diagnostic.field.as_str(), "spec.rules[0].roles[0]");
    assert_eq!(diagnostic.message, "Role `order-raeder` does not exist, so it adds nothing to this Allow");
    assert_eq!(diagnostic.help.as_deref(), Some("did you mean `order-reader`?"));
    assert!(compiled.objects[&key(ObjectKind::Policy, "shop/allow")].accepted.is_ok());
}

#[test]
fn an_allow_of_nothing_but_missing_roles_matches_nothing() {
    // I2: an empty set is never "all".
    let mut world = world();
    world.policies.push(policy("shop/allow", None, vec![rule("yes", Effect::Allow, &["gone"], Vec::new())]));
    let compiled = compile(&world);
    assert!(!permits(&compiled, "shop/orders", "/"));
}

#[test]
fn a_deny_of_a_broken_role_matches_every_call() {
    type Breaks = fn(&mut World);
    let cases: [(&str, Breaks, Code); 6] = [
        ("missing", |_| {}, codes::ROLE_MISSING),
        (
            "invalid",
            |world| world.roles.push(invalid(ObjectKind::Role, "shop/secret", Selection::Everything)),
            codes::ROLE_INVALID,
        ),
        (
            "in a cycle",
            |world| {
                world.roles.push(role("shop/secret", &["other"], vec![get("/secret")]));
                world.roles.push(role("shop/other", &["secret"], Vec::new()));
            },
            codes::ROLE_IN_CYCLE,
        ),
        (
            "inheriting a missing one",
            |world| world.roles.push(role("shop/secret", &["gone"], vec![get("/secret")])),
            codes::ROLE_INCOMPLETE,
        ),
        (
            "inheriting one that inherits an invalid one",
            |world| {
                world.roles.push(role("shop/secret", &["middle"], vec![get("/secret")]));
                world.roles.push(role("shop/middle", &["bad"], vec![get("/middle")]));
                world.roles.push(invalid(ObjectKind::Role, "shop/bad", Selection::Everything));
            },
            codes::ROLE_INCOMPLETE,
        ),
        (
            "defined twice",
            |world| {
                world.roles.push(role("shop/secret", &[], vec![get("/secret")]));
                world.roles.push(role("shop/secret", &[], vec![get("/public")]));
            },
            codes::ROLE_INVALID,
        ),
    ];
    for (name, breaks, code) in cases {
        let mut world = world();
        breaks(&mut world);
        let compiled = with_deny(&mut world, &["secret"]);
        assert!(!permits(&compiled, "shop/orders", "/anything"), "{name}");
        assert_eq!(unresolved(&compiled, ObjectKind::Policy, "shop/deny"), [code], "{name}");
        let depends = &compiled.objects[&key(ObjectKind::Policy, "shop/deny")].depends_on;
        let there = name != "missing";
        assert_eq!(
            depends.contains(&key(ObjectKind::Role, "shop/secret")),
            there,
            "{name}: mending it counts"
        );
        let explanation = decide(&compiled, Some("shop/web"), ("shop/orders", 8080), "/anything");
        let message = explanation.verdict.rules[0].info.message.clone().unwrap();
        assert!(
            message.contains("`secret`") && message.ends_with("this Deny matches every call"),
            "{message}"
        );
    }
}

#[test]
fn a_deny_of_a_sound_role_matches_only_that() {
    let mut world = world();
    world.roles.push(role("shop/secret", &[], vec![get("/secret")]));
    let compiled = with_deny(&mut world, &["secret"]);
    assert!(!permits(&compiled, "shop/orders", "/secret"));
    assert!(permits(&compiled, "shop/orders", "/public"));
}

#[test]
fn a_role_that_inherits_a_broken_one_keeps_the_rest_for_allows() {
    let mut world = world();
    world.roles.push(role("shop/top", &["gone", "sound", "loop"], vec![get("/own")]));
    world.roles.push(role("shop/sound", &[], vec![get("/sound")]));
    world.roles.push(role("shop/loop", &["loop"], vec![get("/loop")]));
    let compiled = with_allow(&mut world, &["top"]);
    assert!(permits(&compiled, "shop/orders", "/own"));
    assert!(permits(&compiled, "shop/orders", "/sound"));
    assert!(!permits(&compiled, "shop/orders", "/loop"));
    let expected = [codes::ROLE_MISSING, codes::ROLE_IN_CYCLE];
    assert_eq!(unresolved(&compiled, ObjectKind::Role, "shop/top"), expected);
}

#[test]
fn every_member_of_a_cycle_is_an_error_and_grants_nothing() {
    let mut world = world();
    world.roles.push(role("shop/a", &["b"], vec![get("/a")]));
    world.roles.push(role("shop/b", &["bank/c", "fine"], vec![get("/b")]));
    world.roles.push(role("bank/c", &["shop/a"], vec![get("/c")]));
    world.roles.push(role("shop/fine", &[], vec![get("/fine")]));
    let compiled = with_allow(&mut world, &["a", "b", "bank/c"]);
    for path in ["/a", "/b", "/c", "/fine"] {
        assert!(!permits(&compiled, "shop/orders", path), "{path}");
    }
    for name in ["shop/a", "shop/b", "bank/c"] {
        assert_eq!(unresolved(&compiled, ObjectKind::Role, name), [codes::ROLE_CYCLE], "{name}");
    }
    let messages: Vec<&str> = compiled.diagnostics.iter().map(|found| found.message.as_str()).collect();
    assert!(
        messages.contains(&"Role `c` inherits itself by way of `shop/a`, so it grants nothing"),
        "{messages:?}"
    );
    assert!(unresolved(&compiled, ObjectKind::Role, "shop/fine").is_empty());
}

#[test]
fn a_broken_member_ends_a_cycle() {
    let mut world = world();
    world.roles.push(role("shop/a", &["b"], vec![get("/a")]));
    world.roles.push(role("shop/b", &["a"], vec![get("/b")]));
    assert!(!permits(&with_allow(&mut world, &["a"]), "shop/orders", "/a"));
    world.policies.clear();
    world.roles[1] = invalid(ObjectKind::Role, "shop/b", Selection::Everything);
    let compiled = with_allow(&mut world, &["a"]);
    assert!(permits(&compiled, "shop/orders", "/a"), "a Role that inherits a broken one keeps its own");
    assert!(!permits(&compiled, "shop/orders", "/b"));
}

#[test]
fn expansion_is_bounded_by_role_and_by_rule() {
    // K10: a diamond of diamonds is small; a wide one is refused whole, never cut.
    let mut diamond = world();
    diamond.roles.push(role("shop/r0", &[], vec![get("/base")]));
    for level in 1..200 {
        let below = format!("r{}", level - 1);
        diamond.roles.push(role(&format!("shop/r{level}"), &[&below, &below], Vec::new()));
    }
    assert!(permits(&with_allow(&mut diamond, &["r199"]), "shop/orders", "/base"));

    let mut wide = world();
    let many = || (0..64).map(|number| get(&format!("/p{number}"))).collect::<Vec<_>>();
    let names: Vec<String> = (0..65).map(|number| format!("w{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        wide.roles.push(role(&format!("shop/{name}"), &[], many()));
    }
    wide.roles.push(role("shop/wide", &names, Vec::new()));
    let compiled = with_allow(&mut wide, &["wide"]);
    assert!(!permits(&compiled, "shop/orders", "/p0"));
    assert_eq!(unresolved(&compiled, ObjectKind::Role, "shop/wide"), [codes::ROLE_TOO_LARGE]);
    wide.policies.clear();
    let compiled = with_allow(&mut wide, &names);
    assert!(!permits(&compiled, "shop/orders", "/p0") && permits(&compiled, "shop/orders", "/inline"));
    assert_eq!(unresolved(&compiled, ObjectKind::Policy, "shop/allow"), [codes::RULE_TOO_LARGE]);
    wide.policies.clear();
    assert!(!permits(&with_deny(&mut wide, &names), "shop/orders", "/anything"));
}

#[test]
fn a_long_cycle_is_told_to_each_member() {
    let mut world = world();
    for number in 0..600 {
        let next = format!("r{}", (number + 1) % 600);
        world.roles.push(role(&format!("shop/r{number}"), &[&next], vec![get("/x")]));
    }
    let compiled = with_allow(&mut world, &["r0"]);
    let told = codes_of(&compiled).iter().filter(|code| **code == codes::ROLE_CYCLE).count();
    assert_eq!(told, 600);
    assert!(!permits(&compiled, "shop/orders", "/x"));
}

#[test]
fn removing_a_role_of_another_namespace_revokes_what_it_granted() {
    // K7: the reference trusts the other namespace's writers with that content, and with nothing else.
    let mut world = world();
    world.roles.push(role("bank/shared", &[], vec![get("/shared")]));
    let compiled = with_allow(&mut world, &["bank/shared"]);
    assert!(permits(&compiled, "shop/orders", "/shared") && !permits(&compiled, "bank/ledger", "/shared"));
    world.roles.clear();
    assert!(!permits(&compile(&world), "shop/orders", "/shared"));
}
