//! Random worlds and calls over a vocabulary small enough that rules often match.

use std::net::IpAddr;
use std::sync::Arc;

use bailiwick_identity::Port;
use bailiwick_policy::{
    Body, BoundObject, Effect, GrpcPermission, HostPattern, HttpPermission, IpBlock, Layer, Methods, Mode,
    Origin, PathTemplate, Permission, PolicyObject, PortSelection, Rule, SnapshotParts, SubjectClass,
    SubjectEntry,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::build;
use super::evaluator::{Call, Request};

const TEMPLATES: [&str; 22] = [
    "/",
    "/a",
    "/b",
    "/a/",
    "/a/b",
    "/a/{x}",
    "/{x}/b",
    "/{x}/{y}",
    "/*",
    "/**",
    "/a/**",
    "/{x}/**",
    "/a/*/b",
    "/a/b/**",
    "/%7Euser",
    "/a%2bb/{x}",
    "/pkg.Svc/Get",
    "/pkg.Svc/*",
    "/{x}/",
    "/a/{x}/",
    "/*/*/*",
    "/a/b/a/b",
];
const PATHS: [&str; 18] = [
    "/",
    "/a",
    "/b",
    "/c",
    "/a/",
    "/a/b",
    "/a/c",
    "/c/b",
    "/a/b/",
    "/a/b/a/b",
    "/a/c/b",
    "/~user",
    "/a%2Bb/c",
    "/pkg.Svc/Get",
    "/pkg.Svc/List",
    "/pkg.svc/get",
    "/pkg.Svc/Get/",
    "/*/a*b",
];
const METHODS: [&str; 6] = ["GET", "POST", "HEAD", "PURGE", "get", "MERGE"];
const HOSTS: [&str; 5] = ["orders.shop", "a.orders.shop", "b.a.orders.shop", "shop", "xorders.shop"];
const HOST_PATTERNS: [&str; 4] = ["orders.shop", "*.orders.shop", "*.shop", "shop"];
const IDENTITIES: [&str; 8] = [
    "spiffe://cluster.local/ns/shop/sa/web",
    "spiffe://cluster.local/ns/shop/sa/db",
    "spiffe://cluster.local/ns/pay/sa/web",
    "spiffe://cluster.local/ns/pay/sa/web/extra",
    "spiffe://cluster.local/ns/shop",
    "spiffe://partner.example/ns/shop/sa/web",
    "spiffe://partner.example/other/sync",
    "spiffe://cluster.local/other/sync",
];
const PATTERNS: [&str; 6] = [
    "spiffe://cluster.local/ns/shop/sa/web",
    "spiffe://cluster.local/ns/*/sa/web",
    "spiffe://partner.example/ns/shop/sa/*",
    "spiffe://partner.example/*/*",
    "spiffe://partner.example/other/sync",
    "spiffe://cluster.local/*/shop/*/*",
];
const SOURCES: [&str; 6] = ["10.0.0.1", "10.1.0.1", "10.1.2.3", "192.168.0.1", "2001:db8::1", "fd00::1"];
const PORTS: [u16; 3] = [80, 8080, 5432];

fn methods(names: &'static [&'static str]) -> impl Strategy<Value = Methods> {
    prop_oneof![
        1 => Just(Methods::Any),
        3 => subsequence(names, 1..=2).prop_map(|names| Methods::Of(names.into_iter().map(Arc::from).collect())),
    ]
}

fn ports() -> impl Strategy<Value = Vec<Port>> {
    subsequence(&PORTS[..], 1..=2).prop_map(|ports| ports.into_iter().map(build::port).collect())
}

fn permission() -> impl Strategy<Value = Permission> {
    let hosts = proptest::option::weighted(0.2, subsequence(&HOST_PATTERNS[..], 1..=2));
    let http =
        (methods(&METHODS), subsequence(&TEMPLATES[..], 1..=3), hosts).prop_map(|(methods, paths, hosts)| {
            Permission::Http(HttpPermission {
                methods,
                paths: paths.into_iter().map(|path| PathTemplate::parse(path).expect("a template")).collect(),
                hosts: hosts.map(|hosts| {
                    hosts.into_iter().map(|host| host.parse::<HostPattern>().expect("a host")).collect()
                }),
            })
        });
    let grpc = methods(&["Get", "List", "get"])
        .prop_map(|methods| Permission::Grpc(GrpcPermission { service: Arc::from("pkg.Svc"), methods }));
    prop_oneof![1 => Just(Permission::Any), 6 => http, 2 => grpc, 1 => ports().prop_map(Permission::Tcp)]
}

fn entry() -> impl Strategy<Value = SubjectEntry> {
    let class =
        select(vec![SubjectClass::Anyone, SubjectClass::Authenticated, SubjectClass::Unauthenticated])
            .prop_map(build::class);
    let account = (select(vec!["shop", "pay"]), select(vec!["web", "db"]))
        .prop_map(|(namespace, name)| build::service_account(namespace, name));
    let namespaces = subsequence(&["pay", "shop"][..], 0..=2).prop_map(|names| SubjectEntry {
        namespaces: Some(names.into_iter().map(|name| name.parse().expect("a namespace")).collect()),
        ..SubjectEntry::default()
    });
    let pattern = select(&PATTERNS[..]).prop_map(|text| SubjectEntry {
        spiffe_id: Some(text.parse().expect("a pattern")),
        ..SubjectEntry::default()
    });
    let both = (
        prop_oneof![3 => class, 4 => account, 2 => namespaces, 2 => pattern],
        proptest::option::weighted(0.2, block()),
    );
    prop_oneof![
        9 => both.prop_map(|(entry, ip_block)| SubjectEntry { ip_block, ..entry }),
        1 => block().prop_map(|block| SubjectEntry { ip_block: Some(block), ..SubjectEntry::default() }),
    ]
}

fn block() -> impl Strategy<Value = IpBlock> {
    let blocks: Vec<(&str, Vec<&str>)> = vec![
        ("10.0.0.0/8", vec![]),
        ("10.0.0.0/8", vec!["10.1.0.0/16"]),
        ("10.1.2.3/32", vec![]),
        ("0.0.0.0/0", vec!["192.168.0.0/16", "10.1.2.0/24"]),
        ("2001:db8::/32", vec![]),
        ("::/0", vec!["fd00::/8"]),
    ];
    select(blocks).prop_map(|(cidr, except)| {
        let parse = |text: &str| IpBlock::parse_cidr(text).expect("a CIDR");
        IpBlock::new(parse(cidr), except.into_iter().map(parse).collect()).expect("a block")
    })
}

pub(crate) fn rule(effect: impl Strategy<Value = Effect>) -> impl Strategy<Value = Rule> {
    let window = (proptest::option::weighted(0.15, 0_i64..4), proptest::option::weighted(0.15, 0_i64..4));
    (
        effect,
        proptest::collection::vec(entry(), 1..=3),
        proptest::option::weighted(0.25, proptest::collection::vec(entry(), 1..=2)),
        proptest::collection::vec(permission(), 1..=3),
        window,
    )
        .prop_map(|(effect, subjects, except, permissions, (not_before, not_after))| Rule {
            name: Arc::from("unnamed"),
            effect,
            subjects,
            except_subjects: if effect == Effect::Deny { except.unwrap_or_default() } else { Vec::new() },
            permissions,
            not_before,
            not_after,
            message: None,
        })
}

fn any_effect() -> impl Strategy<Value = Effect> {
    prop_oneof![3 => Just(Effect::Allow), 1 => Just(Effect::Deny)]
}

fn body(uncompilable: u32) -> impl Strategy<Value = Body> {
    let rules = proptest::collection::vec(rule(any_effect()), 1..=4).prop_map(|mut rules| {
        for (number, rule) in rules.iter_mut().enumerate() {
            // Not in the order of the list.
            rule.name = Arc::from(format!("rule-{}", (number * 7 + 3) % 10));
        }
        Body::Rules(rules)
    });
    prop_oneof![
        40 => rules,
        uncompilable => Just(Body::Uncompilable { reason: Arc::from("it is broken") }),
    ]
}

pub(crate) fn object(
    layer: Layer,
    mode: impl Strategy<Value = Mode>,
    uncompilable: u32,
) -> impl Strategy<Value = BoundObject> {
    let selection = prop_oneof![
        3 => Just(PortSelection::All),
        1 => ports().prop_map(PortSelection::Only),
    ];
    (mode, body(uncompilable), selection, any::<u8>()).prop_map(move |(mode, body, ports, name)| {
        let namespace = if layer == Layer::Cluster { "" } else { "shop" };
        let origin = Origin { layer, namespace: Arc::from(namespace), name: Arc::from(format!("p{name}")) };
        BoundObject { object: Arc::new(PolicyObject { origin, generation: 1, mode, body }), ports }
    })
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![6 => Just(Mode::Enforce), 1 => Just(Mode::Audit)]
}

pub(crate) fn world() -> impl Strategy<Value = SnapshotParts> {
    let cluster = proptest::collection::vec(object(Layer::Cluster, any_mode(), 1), 0..=2);
    let namespaced = proptest::collection::vec(object(Layer::Namespace, any_mode(), 1), 0..=8);
    (cluster, namespaced, proptest::bool::weighted(0.1)).prop_map(|(cluster, namespaced, audit)| {
        let mut objects: Vec<BoundObject> = cluster.into_iter().chain(namespaced).collect();
        // Two objects with one origin cannot be told apart by name.
        objects.sort_by(|left, right| right.object.origin.cmp(&left.object.origin));
        objects.dedup_by(|left, right| left.object.origin == right.object.origin);
        SnapshotParts { authorization_audit: audit, ..build::parts(objects) }
    })
}

/// A world in which every object is in Enforce and compiles, and the namespace too.
pub(crate) fn plain_world() -> impl Strategy<Value = SnapshotParts> {
    world().prop_map(|mut parts| {
        parts.authorization_audit = false;
        parts.objects.retain(|bound| {
            bound.object.mode == Mode::Enforce && matches!(bound.object.body, Body::Rules(_))
        });
        parts
    })
}

pub(crate) fn call() -> impl Strategy<Value = Call> {
    let path = prop_oneof![9 => select(&PATHS[..]).prop_map(|path| Some(path.to_owned())), 1 => Just(None)];
    let request = (select(&METHODS[..]), path, select(&HOSTS[..]), any::<bool>()).prop_map(
        |(method, path, host, grpc)| Request { method: method.to_owned(), path, host: host.to_owned(), grpc },
    );
    (
        proptest::option::weighted(0.8, select(&IDENTITIES[..])),
        select(&SOURCES[..]),
        select(&PORTS[..]),
        0_i64..4,
        proptest::option::weighted(0.85, request),
    )
        .prop_map(|(identity, source, port, now, request)| Call {
            identity: identity.map(str::to_owned),
            source: source.parse::<IpAddr>().expect("an address"),
            port,
            now,
            request,
        })
}

pub(crate) fn calls() -> impl Strategy<Value = Vec<Call>> {
    proptest::collection::vec(call(), 30)
}
