//! Small worlds with one point each.

use std::sync::Arc;

use bailiwick_identity::Subject;
use bailiwick_policy::{
    Admission, Body, CanonicalPath, ConnectionAttributes, Effect, GrpcPermission, HttpCall, Layer, Mode,
    Outcome, Permission, PortSelection, RequestAttributes, RequestTarget, Rule, Snapshot, SnapshotError,
    SnapshotId, SubjectClass, SubjectEntry, Timestamp, admit, authorize,
};

use super::build::{class, from, http, object, parts, policy, rule, service_account, snapshot};
use super::{build, subject};

pub(crate) const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

pub(crate) fn anyone() -> SubjectEntry {
    class(SubjectClass::Anyone)
}

pub(crate) fn allow_all() -> Rule {
    rule("all", Effect::Allow, vec![anyone()], vec![Permission::Any])
}

pub(crate) fn web() -> Subject {
    subject::peer(WEB).unwrap()
}

/// Asks for a request, or for an opaque connection if `path` is `None`.
pub(crate) fn outcome(
    snapshot: &Arc<Snapshot>,
    who: &Subject,
    method: &str,
    path: Option<&str>,
    grpc: bool,
) -> Outcome {
    let path = path.map(|path| CanonicalPath::parse(path).unwrap());
    let call = match &path {
        None => bailiwick_policy::Call::Tcp,
        Some(path) => bailiwick_policy::Call::Http(HttpCall {
            method,
            target: RequestTarget::Path(path),
            host: "orders.shop",
            grpc,
        }),
    };
    let attributes = RequestAttributes {
        source: build::address("10.0.0.1"),
        port: build::port(8080),
        now: Timestamp(0),
        call,
    };
    authorize(snapshot, who, &attributes).verdict().outcome
}

/// I2: nothing empty means "all"; and no rule at all allows nothing.
#[test]
fn emptiness_is_refused_or_matches_nothing() {
    assert_eq!(outcome(&snapshot(parts(vec![])), &web(), "GET", Some("/"), false), Outcome::Default);
    let without_roles = rule("roles-missing", Effect::Allow, vec![anyone()], vec![]);
    let world = snapshot(parts(vec![policy("p", vec![without_roles])]));
    assert_eq!(outcome(&world, &web(), "GET", Some("/"), false), Outcome::Default);

    let build =
        |rule: Rule| Snapshot::build(SnapshotId::LOCAL, parts(vec![policy("p", vec![rule])])).unwrap_err();
    let field = |rule: Rule| {
        let error = build(rule);
        let SnapshotError::Empty { field, .. } = error else { panic!("{error}") };
        field
    };
    assert_eq!(field(rule("r", Effect::Allow, vec![], vec![Permission::Any])), "subjects");
    assert_eq!(
        field(rule("r", Effect::Deny, vec![SubjectEntry::default()], vec![Permission::Any])),
        "subjects"
    );
    assert_eq!(field(rule("r", Effect::Deny, vec![anyone()], vec![])), "permissions");
    assert_eq!(
        field(rule("r", Effect::Allow, vec![anyone()], vec![http(&[], &["/"])])),
        "permissions.http.methods"
    );
    assert_eq!(
        field(rule("r", Effect::Deny, vec![anyone()], vec![http(&["GET"], &[])])),
        "permissions.http.paths"
    );
    assert_eq!(
        field(rule("r", Effect::Deny, vec![anyone()], vec![Permission::Tcp(vec![])])),
        "permissions.tcp.ports"
    );
    let excepting = Rule { except_subjects: vec![anyone()], ..allow_all() };
    assert_eq!(
        build(excepting).to_string(),
        "Policy shop/p: `rules[all].exceptSubjects` stands on an Allow; only a Deny can except subjects"
    );
}

/// F2: a gRPC permission is exact; of an Allow it needs the content type, of a Deny it does not.
#[test]
fn grpc_is_exact() {
    let grpc = Permission::Grpc(GrpcPermission {
        service: Arc::from("pkg.Svc"),
        methods: build::methods_of(&["M"]),
    });
    let allowing = snapshot(parts(vec![policy(
        "p",
        vec![rule("r", Effect::Allow, vec![anyone()], vec![grpc.clone()])],
    )]));
    let asked = |path: &str, method: &str, grpc: bool| outcome(&allowing, &web(), method, Some(path), grpc);
    assert_eq!(asked("/pkg.Svc/M", "POST", true), Outcome::Allow);
    for (path, method, grpc) in [
        ("/pkg.Svc/M", "POST", false),
        ("/pkg.Svc/M", "GET", true),
        ("/pkg.Svc/M/", "POST", true),
        ("/PKG.svc/m", "POST", true),
        ("/pkg.Svc", "POST", true),
        ("/x/pkg.Svc/M", "POST", true),
    ] {
        assert_eq!(asked(path, method, grpc), Outcome::Default, "{method} {path}");
    }
    let denying = rule("d", Effect::Deny, vec![anyone()], vec![grpc]);
    let denying = snapshot(parts(vec![policy("p", vec![allow_all(), denying])]));
    assert_eq!(outcome(&denying, &web(), "POST", Some("/pkg.Svc/M"), false), Outcome::PolicyDeny);
    assert_eq!(outcome(&denying, &web(), "POST", Some("/pkg.Svc/N"), true), Outcome::Allow);
}

/// I3: an HTTP rule never becomes a TCP rule.
#[test]
fn an_http_permission_never_opens_tcp() {
    let world = snapshot(parts(vec![policy(
        "p",
        vec![rule("r", Effect::Allow, vec![anyone()], vec![http(&["*"], &["/**"])])],
    )]));
    assert_eq!(outcome(&world, &web(), "GET", Some("/x"), false), Outcome::Allow);
    assert_eq!(outcome(&world, &web(), "", None, false), Outcome::Default);
    let asterisk = bailiwick_policy::Call::Http(HttpCall {
        method: "OPTIONS",
        target: RequestTarget::Asterisk,
        host: "orders.shop",
        grpc: false,
    });
    let attributes = RequestAttributes {
        source: build::address("10.0.0.1"),
        port: build::port(8080),
        now: Timestamp(0),
        call: asterisk,
    };
    assert_eq!(authorize(&world, &web(), &attributes).verdict().outcome, Outcome::Default);
    let any = snapshot(parts(vec![policy("p", vec![allow_all()])]));
    assert_eq!(authorize(&any, &web(), &attributes).verdict().outcome, Outcome::Allow);
}

#[test]
fn denials_take_precedence_by_layer() {
    let deny =
        |name| rule(name, Effect::Deny, vec![service_account("shop", "web")], vec![http(&["GET"], &["/x"])]);
    let cluster = object(Layer::Cluster, "guard", Mode::Enforce, Body::Rules(vec![deny("guard")]));
    let both = snapshot(parts(vec![policy("p", vec![allow_all(), deny("d")]), cluster.clone()]));
    assert_eq!(outcome(&both, &web(), "GET", Some("/x"), false), Outcome::ClusterDeny);
    assert_eq!(outcome(&both, &web(), "GET", Some("/y"), false), Outcome::Allow);
    assert_eq!(outcome(&both, &subject::anonymous(), "GET", Some("/x"), false), Outcome::Allow);
    assert!(both.has_http_deny(build::port(8080)) && both.has_cluster_path_deny(build::port(8080)));

    let mut audited = parts(vec![policy("p", vec![deny("d")]), cluster]);
    audited.authorization_audit = true;
    let audited = snapshot(audited);
    assert_eq!(outcome(&audited, &web(), "GET", Some("/x"), false), Outcome::ClusterDeny);
    assert_eq!(outcome(&audited, &web(), "GET", Some("/y"), false), Outcome::AuditNamespace);
    let only_policy = snapshot(bailiwick_policy::SnapshotParts {
        authorization_audit: true,
        ..parts(vec![policy("p", vec![deny("d")])])
    });
    assert!(!only_policy.has_http_deny(build::port(8080)), "a Policy only reports in authorization audit");
}

#[test]
fn the_first_eight_reasons_are_listed_and_all_are_counted() {
    let rules = |object: usize| {
        (0..5).map(|number| Rule { name: Arc::from(format!("r{number}-{object}")), ..allow_all() }).collect()
    };
    let objects = (0..4).rev().map(|number| policy(&format!("p{number}"), rules(number))).collect();
    let world = snapshot(parts(objects));
    let attributes = RequestAttributes {
        source: build::address("10.0.0.1"),
        port: build::port(8080),
        now: Timestamp(0),
        call: bailiwick_policy::Call::Tcp,
    };
    let decision = authorize(&world, &web(), &attributes);
    let listed: Vec<String> =
        decision.verdict().reasons.iter().map(|index| world.rule(index).unwrap().to_string()).collect();
    assert_eq!(decision.verdict().reasons.total(), 20);
    assert_eq!(listed.len(), 8);
    assert_eq!(listed[0], "Policy shop/p0 rule r0-0");
    assert_eq!(listed[7], "Policy shop/p1 rule r2-1");
}

#[test]
fn only_a_default_refusal_of_nobody_hints_at_credentials() {
    let denied = |world: &Arc<Snapshot>, who: &Subject| {
        let attributes = RequestAttributes {
            source: build::address("10.0.0.1"),
            port: build::port(8080),
            now: Timestamp(0),
            call: bailiwick_policy::Call::Tcp,
        };
        match authorize(world, who, &attributes) {
            bailiwick_policy::Decision::Permit(_) => panic!("permitted"),
            bailiwick_policy::Decision::Denied(denied) => denied.unauthenticated_hint(),
        }
    };
    let empty = snapshot(parts(vec![]));
    assert!(denied(&empty, &subject::anonymous()));
    assert!(!denied(&empty, &web()));
    let deny = rule("d", Effect::Deny, vec![anyone()], vec![Permission::Any]);
    let denying = snapshot(parts(vec![policy("p", vec![deny])]));
    assert!(!denied(&denying, &subject::anonymous()));
}

#[test]
fn triples_that_the_address_decides_refuse_before_the_handshake() {
    let connection = |ip: &str, port: u16| ConnectionAttributes {
        source: build::address(ip),
        port: build::port(port),
        now: Timestamp(5),
    };
    let mixed = rule(
        "mixed",
        Effect::Deny,
        vec![from("10.0.0.0/8"), service_account("shop", "web")],
        vec![Permission::Tcp(vec![build::port(5432)]), http(&["GET"], &["/x"])],
    );
    let world = snapshot(parts(vec![policy("p", vec![mixed.clone()])]));
    let refused = |world: &Arc<Snapshot>, ip: &str, port: u16| match admit(world, &connection(ip, port)) {
        Admission::Admitted => false,
        Admission::Refused(reasons) => !reasons.is_empty(),
    };
    assert!(refused(&world, "10.0.0.1", 5432));
    assert!(refused(&world, "::ffff:10.0.0.1", 5432), "a mapped address is the address");
    assert!(!refused(&world, "10.0.0.1", 80) && !refused(&world, "11.0.0.1", 5432));
    for changed in [
        Rule { except_subjects: vec![service_account("shop", "db")], ..mixed.clone() },
        Rule { not_after: Some(5), ..mixed.clone() },
        Rule { not_before: Some(6), ..mixed.clone() },
        Rule { effect: Effect::Allow, ..mixed.clone() },
    ] {
        assert!(!refused(&snapshot(parts(vec![policy("p", vec![changed])])), "10.0.0.1", 5432));
    }
    let broken = Body::Uncompilable { reason: Arc::from("broken") };
    let broken = snapshot(parts(vec![object(Layer::Cluster, "broken", Mode::Enforce, broken)]));
    assert!(
        !refused(&broken, "10.0.0.1", 5432),
        "an object that does not compile refuses calls, not connections"
    );
}

#[test]
fn long_lists_and_branching_paths_decide_like_short_ones() {
    // More rows on one path than a binding of six rows wants to walk; and templates that branch at every segment.
    let mut rules: Vec<Rule> = (0..500)
        .map(|number| {
            let who = service_account("shop", &format!("caller-{number}"));
            rule(&format!("r{number}"), Effect::Allow, vec![who], vec![http(&["GET"], &["/same"])])
        })
        .collect();
    for number in 0..6 {
        rules.push(rule(
            &format!("web-{number}"),
            Effect::Allow,
            vec![service_account("shop", "web")],
            vec![http(&["GET"], &["/other", "/same"])],
        ));
    }
    for number in 0..64_u8 {
        let segments: Vec<&str> = (0..6).map(|bit| if number >> bit & 1 == 1 { "*" } else { "a" }).collect();
        let template = format!("/{}", segments.join("/"));
        rules.push(rule(
            &format!("branch-{number}"),
            Effect::Allow,
            vec![anyone()],
            vec![http(&["GET"], &[&template])],
        ));
    }
    let world = snapshot(parts(vec![policy("p", rules)]));
    let path = CanonicalPath::parse("/a/a/a/a/a/a").unwrap();
    let same = CanonicalPath::parse("/same").unwrap();
    let total = |path: &CanonicalPath<'_>| {
        let attributes = RequestAttributes {
            source: build::address("10.0.0.1"),
            port: build::port(8080),
            now: Timestamp(0),
            call: bailiwick_policy::Call::Http(HttpCall {
                method: "GET",
                target: RequestTarget::Path(path),
                host: "orders.shop",
                grpc: false,
            }),
        };
        let bound =
            world.bind(&web(), attributes.source.ip()).authorize(&attributes).verdict().reasons.total();
        assert_eq!(authorize(&world, &web(), &attributes).verdict().reasons.total(), bound);
        bound
    };
    assert_eq!(total(&path), 64);
    assert_eq!(total(&same), 6);
}

#[test]
fn the_denials_that_read_paths_are_known_by_port() {
    let deny = |permission| Body::Rules(vec![rule("d", Effect::Deny, vec![anyone()], vec![permission])]);
    let grpc = Permission::Grpc(GrpcPermission {
        service: Arc::from("pkg.Svc"),
        methods: build::methods_of(&["*"]),
    });
    let mut cluster = object(Layer::Cluster, "guard", Mode::Enforce, deny(grpc));
    cluster.ports = PortSelection::Only(vec![build::port(8080)]);
    let mut policies = object(Layer::Namespace, "p", Mode::Enforce, deny(http(&["GET"], &["/x"])));
    policies.ports = PortSelection::Only(vec![build::port(9090)]);
    let tcp = object(Layer::Namespace, "tcp", Mode::Enforce, deny(Permission::Any));
    let audited = object(Layer::Cluster, "audited", Mode::Audit, deny(http(&["GET"], &["/x"])));
    let allowing =
        policy("allow", vec![rule("a", Effect::Allow, vec![anyone()], vec![http(&["GET"], &["/x"])])]);
    let world = snapshot(parts(vec![cluster, policies, tcp, audited, allowing]));
    let asked = |port: u16| {
        let port = build::port(port);
        (world.has_http_deny(port), world.has_cluster_path_deny(port))
    };
    assert_eq!(asked(8080), (true, true));
    assert_eq!(asked(9090), (true, false));
    assert_eq!(asked(7070), (false, false));
}

#[test]
fn the_next_change_is_the_next_start_or_end() {
    let timed =
        |name, not_before, not_after| Rule { name: Arc::from(name), not_before, not_after, ..allow_all() };
    let rules = vec![timed("a", Some(10), Some(20)), timed("b", None, Some(15)), timed("c", Some(10), None)];
    let world = snapshot(parts(vec![policy("p", rules)]));
    let next = |after| world.next_change(Timestamp(after)).map(|change| change.0);
    assert_eq!(
        [next(0), next(10), next(14), next(15), next(20)],
        [Some(10), Some(15), Some(15), Some(20), None]
    );
}

/// What is reported while in audit: the refusal that would come, and by whom.
#[test]
fn the_would_be_verdict_names_the_refusal() {
    let deny = Rule {
        message: Some(Arc::from("not yet")),
        ..rule("soon", Effect::Deny, vec![anyone()], vec![Permission::Any])
    };
    let audited = object(Layer::Namespace, "trial", Mode::Audit, Body::Rules(vec![deny]));
    let world = snapshot(parts(vec![policy("p", vec![allow_all()]), audited]));
    let attributes = RequestAttributes {
        source: build::address("10.0.0.1"),
        port: build::port(8080),
        now: Timestamp(0),
        call: bailiwick_policy::Call::Tcp,
    };
    let decision = authorize(&world, &web(), &attributes);
    assert!(decision.is_permit());
    let would_be = decision.would_be().unwrap();
    assert_eq!(would_be.outcome, Outcome::PolicyDeny);
    let named = world.rule(would_be.reasons.first().unwrap()).unwrap();
    assert_eq!(named.to_string(), "Policy shop/trial rule soon");
    assert_eq!(named.message.as_deref(), Some("not yet"));

    let broken = Body::Uncompilable { reason: Arc::from("spec.rules[0].subjects is empty") };
    let broken = snapshot(parts(vec![object(Layer::Namespace, "broken", Mode::Enforce, broken)]));
    let decision = authorize(&broken, &web(), &attributes);
    let named = broken.rule(decision.verdict().reasons.first().unwrap()).unwrap();
    assert_eq!(named.to_string(), "Policy shop/broken");
    assert_eq!(named.uncompilable.as_deref(), Some("spec.rules[0].subjects is empty"));
}
