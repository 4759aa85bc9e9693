//! Properties of the whole compile, over random worlds.

use bailiwick_policy::{Effect, Mode, Permission};
use proptest::prelude::*;

use super::*;
use crate::codes;
use crate::testing::*;
use crate::{
    AuthenticationSpec, ClusterPolicySpec, MtlsSpec, Object, ObjectKind, PolicySpec, RoleSpec, RuleSpec,
    Selection, Target, TargetKind, TargetPort,
};

const PATHS: [&str; 3] = ["/a", "/b", "/c"];
const WORKLOADS: [&str; 3] = ["shop/orders", "shop/web", "bank/ledger"];

fn namespace() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["shop", "bank"])
}

fn roles() -> impl Strategy<Value = Vec<Object<RoleSpec>>> {
    let names = prop::sample::select(vec!["r1", "r2", "shop/r1", "bank/r2", "r3"]);
    let one = (
        namespace(),
        1..4_u8,
        prop::collection::vec(names, 0..3),
        prop::sample::select(PATHS.to_vec()),
        0..8_u8,
    );
    let one = one.prop_map(|(namespace, name, inherits, path, broken)| {
        let name = format!("{namespace}/r{name}");
        if broken == 0 {
            return invalid(ObjectKind::Role, &name, Selection::Everything);
        }
        role(&name, &inherits, vec![get(path)])
    });
    prop::collection::vec(one, 0..6)
}

fn rules() -> impl Strategy<Value = Vec<RuleSpec>> {
    let names = prop::sample::select(vec!["bank/r1", "bank/r2", "shop/r3", "shop/r1"]);
    let subject = prop::sample::select(vec![
        anyone(),
        account(Some("shop"), "web"),
        account(Some("bank"), "ledger"),
        crate::SubjectSpec {
            namespace: Some(crate::NamespaceMatch::Selector(selector(&[("tier", "core")]))),
            ..crate::SubjectSpec::default()
        },
    ]);
    let permission = prop::sample::select(vec![get("/a"), get("/b"), Permission::Any]);
    let deny = prop::bool::weighted(0.2);
    let one = (deny, prop::collection::vec(names, 0..3), subject, permission);
    let rules = prop::collection::vec(one, 1..4);
    rules.prop_map(|rules| {
        let numbered = rules.into_iter().enumerate();
        let rule = |(index, (deny, roles, subject, permission)): (usize, (bool, Vec<&str>, _, _))| RuleSpec {
            subjects: vec![subject],
            ..rule(
                &format!("x{index}"),
                if deny { Effect::Deny } else { Effect::Allow },
                &roles,
                vec![permission],
            )
        };
        numbered.map(rule).collect()
    })
}

fn targets() -> impl Strategy<Value = Option<Vec<Target>>> {
    let one = prop::sample::select(vec![
        pods("orders", None),
        pods("web", Some(&[8080])),
        Target { kind: TargetKind::Service("front".to_owned()), ports: None },
        Target { kind: TargetKind::Service("front".to_owned()), ports: some_ports(Some(&[80])) },
        Target { kind: TargetKind::ServiceAccount("ledger".parse().unwrap()), ports: None },
    ]);
    prop::option::of(prop::collection::vec(one, 1..3))
}

fn mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![Mode::Enforce, Mode::Enforce, Mode::Audit])
}

fn policies() -> impl Strategy<Value = Vec<Object<PolicySpec>>> {
    let one = (namespace(), 0..20_u8, targets(), mode(), rules());
    let one = one.prop_map(|(namespace, name, targets, mode, rules)| {
        object(ObjectKind::Policy, &format!("{namespace}/p{name}"), PolicySpec { targets, mode, rules })
    });
    prop::collection::vec(one, 0..6)
}

fn cluster_policies() -> impl Strategy<Value = Vec<Object<ClusterPolicySpec>>> {
    let selector = prop::option::of(Just(selector(&[("tier", "core")])));
    let one = (0..3_u8, selector, mode(), rules());
    let one = one.prop_map(|(name, namespace_selector, mode, rules)| {
        let spec = ClusterPolicySpec { namespace_selector, targets: None, mode, rules };
        object(ObjectKind::ClusterPolicy, &format!("c{name}"), spec)
    });
    prop::collection::vec(one, 0..2)
}

fn authentications() -> impl Strategy<Value = Vec<Object<AuthenticationSpec>>> {
    use bailiwick_identity::MtlsMode::{Disabled, Permissive, Strict};
    let mode = || prop::option::of(prop::sample::select(vec![Disabled, Permissive, Strict]));
    let one = (namespace(), 0..3_u8, targets(), mode(), mode());
    let one = one.prop_map(|(namespace, name, targets, mode, port_mode)| {
        let ports = port_mode.into_iter().map(|mode| (port(8080), mode)).collect();
        let spec = AuthenticationSpec { targets, mtls: Some(MtlsSpec { mode, ports }), trust_domains: None };
        object(ObjectKind::Authentication, &format!("{namespace}/a{name}"), spec)
    });
    prop::collection::vec(one, 0..4)
}

fn worlds() -> impl Strategy<Value = World> {
    let core = any::<bool>();
    (roles(), policies(), cluster_policies(), authentications(), core).prop_map(
        |(roles, policies, cluster_policies, authentications, core)| {
            let mut world = World { roles, policies, cluster_policies, authentications, ..world() };
            if core {
                let labels = [("tier", "core"), ("bailiwick.dev/inject", "enabled")];
                add_namespace(&mut world, "bank", &labels);
            }
            let target = service_port(80, TargetPort::Name("web".to_owned()));
            add_service(&mut world, "shop/front", Some("orders"), vec![target]);
            world
        },
    )
}

fn unique<S>(objects: &mut Vec<Object<S>>) {
    objects.sort_by(|one, other| one.key.cmp(&other.key));
    objects.dedup_by(|one, other| one.key == other.key);
}

fn shuffled(world: &World, seed: usize) -> World {
    fn turn<S: Clone>(objects: &[Object<S>], seed: usize) -> Vec<Object<S>> {
        let mut objects = objects.to_vec();
        let length = objects.len().max(1);
        objects.rotate_left(seed % length);
        if seed % 2 == 1 {
            objects.reverse();
        }
        if seed % 3 == 1 && length > 2 {
            objects.swap(0, 1);
        }
        objects
    }
    World {
        roles: turn(&world.roles, seed),
        policies: turn(&world.policies, seed / 2),
        cluster_policies: turn(&world.cluster_policies, seed / 3),
        authentications: turn(&world.authentications, seed / 5),
        trust_domains: turn(&world.trust_domains, seed),
        ..world.clone()
    }
}

/// Every call of a small set, decided.
fn verdicts(compiled: &Compiled) -> Vec<bool> {
    let mut found = Vec::new();
    for workload in WORKLOADS {
        for caller in [None, Some("shop/web"), Some("bank/ledger")] {
            for number in [8080, 9090] {
                for path in PATHS {
                    found.push(decide(compiled, caller, (workload, number), path).verdict.outcome.permits());
                }
            }
        }
    }
    found
}

fn broken() -> impl Strategy<Value = (ObjectKind, Selection, Mode, &'static str)> {
    let kind = prop::sample::select(vec![
        ObjectKind::Policy,
        ObjectKind::ClusterPolicy,
        ObjectKind::Role,
        ObjectKind::Authentication,
        ObjectKind::TrustDomain,
    ]);
    let selection = prop_oneof![
        Just(Selection::Everything),
        targets().prop_map(|targets| Selection::Targets { namespace_selector: None, targets }),
    ];
    (kind, selection, mode(), namespace())
}

fn with_broken(
    world: &World,
    (kind, selection, mode, namespace): (ObjectKind, Selection, Mode, &str),
) -> World {
    let mut world = world.clone();
    let name = format!("{namespace}/broken");
    match kind {
        ObjectKind::Policy => world.policies.push(invalid_in(kind, &name, selection, mode)),
        ObjectKind::ClusterPolicy => world.cluster_policies.push(invalid_in(kind, "broken", selection, mode)),
        ObjectKind::Role => world.roles.push(invalid_in(kind, &name, selection, mode)),
        ObjectKind::Authentication => world.authentications.push(invalid_in(kind, &name, selection, mode)),
        ObjectKind::TrustDomain => {
            world.trust_domains.push(invalid_in(kind, "cluster.local", selection, mode))
        }
        ObjectKind::RelationSchema | ObjectKind::Relationship => {}
    }
    world
}

proptest! {
    #[test]
    fn the_order_of_objects_changes_nothing(world in worlds(), seed in any::<usize>()) {
        prop_assert_eq!(compile(&world), compile(&shuffled(&world, seed)));
    }

    #[test]
    fn memory_of_other_worlds_changes_nothing(history in prop::collection::vec(worlds(), 1..4)) {
        let mut compiler = Compiler::default();
        for world in &history {
            prop_assert_eq!(compiler.compile(world), compile(world));
        }
    }

    #[test]
    fn an_invalid_object_only_ever_takes_away(world in worlds(), broken in broken()) {
        let before = verdicts(&compile(&world));
        let compiled = compile(&with_broken(&world, broken));
        let after = verdicts(&compiled);
        prop_assert!(before.iter().zip(&after).all(|(before, after)| *before || !after));
    }

    /// A Role in a cycle contributes nothing to an Allow, and one that inherits a broken Role keeps its own permissions
    /// (policy semantics, section 4): breaking one member of a cycle ends the cycle, and the others speak again. That
    /// is the one way in which breaking a Role gives, so worlds with a cycle are left to
    /// `a_broken_member_ends_a_cycle`.
    #[test]
    fn breaking_an_object_only_ever_takes_away(world in worlds(), index in any::<prop::sample::Index>()) {
        let compiled = compile(&world);
        prop_assume!(compiled.diagnostics.iter().all(|message| message.code != codes::ROLE_CYCLE));
        let before = verdicts(&compiled);
        let mut world = world;
        let count = world.policies.len();
        if count + world.roles.len() == 0 {
            return Ok(());
        }
        let index = index.index(count + world.roles.len());
        if let Some(object) = world.policies.get_mut(index) {
            if let crate::Decoded::Valid(spec) = &object.spec {
                let selection = Selection::Targets { namespace_selector: None, targets: spec.targets.clone() };
                *object = invalid_in(ObjectKind::Policy, &format!("{}/{}", object.key.namespace, object.key.name), selection, spec.mode);
            }
        } else if let Some(object) = world.roles.get_mut(index - count) {
            let name = format!("{}/{}", object.key.namespace, object.key.name);
            *object = invalid(ObjectKind::Role, &name, Selection::Everything);
        }
        let after = verdicts(&compile(&world));
        prop_assert!(before.iter().zip(&after).all(|(before, after)| *before || !after));
    }

    #[test]
    fn an_allow_never_takes_away_and_a_deny_never_gives(world in worlds(), rules in rules()) {
        let before = verdicts(&compile(&world));
        for effect in [Effect::Allow, Effect::Deny] {
            let rules = rules.iter().map(|rule| RuleSpec { effect, ..rule.clone() }).collect();
            let mut world = world.clone();
            world.policies.push(policy("shop/more", None, rules));
            let after = verdicts(&compile(&world));
            let mut both = before.iter().zip(&after);
            match effect {
                Effect::Allow => prop_assert!(both.all(|(before, after)| *after || !before)),
                Effect::Deny => prop_assert!(both.all(|(before, after)| *before || !after)),
            }
        }
    }

    #[test]
    fn what_is_compiled_is_always_a_snapshot_and_every_object_has_an_outcome(mut world in worlds()) {
        unique(&mut world.policies);
        let compiled = compile(&world);
        prop_assert_eq!(verdicts(&compiled).len(), 54);
        for object in &world.policies {
            let outcome = &compiled.objects[&object.key];
            prop_assert!(outcome.accepted.is_ok());
            for key in &outcome.targeted {
                let objects = &compiled.workloads[key].snapshot.objects;
                prop_assert!(objects.iter().any(|bound| *bound.object.origin.name == *object.key.name));
            }
        }
        for diagnostic in &compiled.diagnostics {
            prop_assert!(crate::codes::all().iter().any(|info| info.code == diagnostic.code) || diagnostic.code.0 < 200);
        }
    }
}

#[test]
fn diagnostics_lie_at_the_place_of_their_field_or_the_nearest_around_it() {
    let mut world = world();
    let mut object = policy("shop/p", None, vec![rule("x", Effect::Allow, &["gone"], vec![get("/")])]);
    let path = FieldPath::root().field("spec").field("rules").index(0);
    object.fields = Arc::new(BTreeMap::from([(path.field("roles"), (70, 80)), (path, (50, 90))]));
    world.policies.push(object);
    assert_eq!(compile(&world).diagnostics[0].location.span, Some((70, 80)));
}

#[test]
fn a_workload_gets_its_identity_and_an_empty_world_compiles() {
    assert_eq!(compile(&World::default()).workloads.len(), 0);
    let compiled = compile(&world());
    let config = &compiled.workloads[&workload_key("shop/orders")];
    assert_eq!(config.identity.as_str(), "spiffe://cluster.local/ns/shop/sa/orders");
    assert_eq!(config.service_account.as_str(), "orders");
}
