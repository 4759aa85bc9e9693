//! Worlds by hand, and what would be decided in them.

use std::collections::BTreeMap;

use bailiwick_identity::{Port, SpiffeId};
use bailiwick_policy::{
    Call, Caller, CanonicalPath, Effect, Explanation, HttpCall, HttpPermission, Hypothesis, Methods, Mode,
    PathTemplate, Permission, RequestTarget, Snapshot, SnapshotId, SubjectClass, Timestamp, WorkloadKey,
    explain,
};

use crate::{
    Code, Compiled, ContainerPort, Decoded, Diagnostic, FieldPath, FieldSpans, Invalid, LabelSelector,
    NamespaceFacts, Object, ObjectKey, ObjectKind, PolicySpec, Reference, RoleSpec, RuleSpec, Selection,
    Service, ServicePort, Severity, SourceLocation, SubjectSpec, Target, TargetKind, TargetPort, Workload,
    WorkloadKind, World,
};

pub(crate) fn port(number: u16) -> Port {
    Port::try_from(number).unwrap()
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn selector(pairs: &[(&str, &str)]) -> LabelSelector {
    LabelSelector { labels: labels(pairs), expressions: Vec::new() }
}

pub(crate) fn key(kind: ObjectKind, name: &str) -> ObjectKey {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    ObjectKey { kind, namespace: namespace.to_owned(), name: name.to_owned() }
}

pub(crate) fn place(name: &str) -> SourceLocation {
    SourceLocation { file: name.into(), span: Some((0, 1)) }
}

/// An object of `namespace/name`, or of cluster scope.
pub(crate) fn object<S>(kind: ObjectKind, name: &str, spec: S) -> Object<S> {
    Object {
        key: key(kind, name),
        generation: 1,
        location: place(name),
        fields: FieldSpans::default(),
        spec: Decoded::Valid(spec),
    }
}

pub(crate) fn invalid<S>(kind: ObjectKind, name: &str, selection: Selection) -> Object<S> {
    invalid_in(kind, name, selection, Mode::Enforce)
}

pub(crate) fn invalid_in<S>(kind: ObjectKind, name: &str, selection: Selection, mode: Mode) -> Object<S> {
    let problem = Diagnostic {
        code: Code(20),
        severity: Severity::Error,
        object: Some(key(kind, name)),
        field: FieldPath::root().field("spec").field("rulez"),
        location: place(name),
        message: "unknown field `rulez`".to_owned(),
        help: None,
    };
    Object {
        key: key(kind, name),
        generation: 1,
        location: place(name),
        fields: FieldSpans::default(),
        spec: Decoded::Invalid(Invalid { selection, mode, problems: vec![problem] }),
    }
}

pub(crate) fn workload_key(name: &str) -> WorkloadKey {
    let (namespace, name) = name.split_once('/').unwrap();
    WorkloadKey { namespace: namespace.parse().unwrap(), name: name.parse().unwrap() }
}

/// Adds a workload `namespace/name` with label `app: <name>`, service account `<name>` and its ports.
pub(crate) fn add_workload(world: &mut World, name: &str, ports: &[(Option<&str>, u16)]) {
    let key = workload_key(name);
    let facts = world.namespaces.entry(key.namespace.clone()).or_default();
    facts.always_enrolled = true;
    let port = |(name, number): &(Option<&str>, u16)| ContainerPort {
        name: name.map(str::to_owned),
        port: port(*number),
    };
    let workload = Workload {
        kind: WorkloadKind::Deployment,
        labels: labels(&[("app", key.name.as_str())]),
        service_account: key.name.as_str().parse().unwrap(),
        ports: ports.iter().map(port).collect(),
        opaque_ports: Default::default(),
        location: place(name),
    };
    world.workloads.insert(key, workload);
}

/// Workloads `shop/orders`, `shop/web` and `bank/ledger`, all in enrolled namespaces.
pub(crate) fn world() -> World {
    let mut world = World::default();
    add_workload(&mut world, "shop/orders", &[(Some("web"), 8080), (None, 9090)]);
    add_workload(&mut world, "shop/web", &[(None, 8080)]);
    add_workload(&mut world, "bank/ledger", &[(None, 8080)]);
    world
}

pub(crate) fn add_namespace(world: &mut World, name: &str, pairs: &[(&str, &str)]) {
    let facts = NamespaceFacts { labels: labels(pairs), ..NamespaceFacts::default() };
    world.namespaces.insert(name.parse().unwrap(), facts);
}

/// Adds a Service that selects `app: <app>`; each port is its number, name, target and `appProtocol`.
pub(crate) fn add_service(world: &mut World, name: &str, app: Option<&str>, ports: Vec<ServicePort>) {
    let (namespace, service) = name.split_once('/').unwrap();
    let selector = app.map(|app| labels(&[("app", app)]));
    let service_value = Service { selector, ports, location: place(name) };
    world.services.insert((namespace.parse().unwrap(), service.to_owned()), service_value);
}

pub(crate) fn service_port(number: u16, target: TargetPort) -> ServicePort {
    ServicePort { name: None, port: port(number), target, app_protocol: None }
}

pub(crate) fn get(path: &str) -> Permission {
    Permission::Http(HttpPermission {
        methods: Methods::Of(vec!["GET".into()]),
        paths: vec![PathTemplate::parse(path).unwrap()],
        hosts: None,
    })
}

pub(crate) fn anyone() -> SubjectSpec {
    SubjectSpec { class: Some(SubjectClass::Anyone), ..SubjectSpec::default() }
}

pub(crate) fn account(namespace: Option<&str>, name: &str) -> SubjectSpec {
    let service_account = Some((namespace.map(|name| name.parse().unwrap()), name.parse().unwrap()));
    SubjectSpec { service_account, ..SubjectSpec::default() }
}

pub(crate) fn reference(name: &str) -> Reference {
    match name.split_once('/') {
        Some((namespace, name)) => {
            Reference { namespace: Some(namespace.parse().unwrap()), name: name.to_owned() }
        }
        None => Reference { namespace: None, name: name.to_owned() },
    }
}

/// A rule for anyone.
pub(crate) fn rule(name: &str, effect: Effect, roles: &[&str], permissions: Vec<Permission>) -> RuleSpec {
    RuleSpec {
        name: name.to_owned(),
        effect,
        subjects: vec![anyone()],
        except_subjects: Vec::new(),
        roles: roles.iter().map(|name| reference(name)).collect(),
        permissions,
        not_before: None,
        not_after: None,
        message: None,
    }
}

pub(crate) fn pods(app: &str, ports: Option<&[u16]>) -> Target {
    Target { kind: TargetKind::Pod(selector(&[("app", app)])), ports: some_ports(ports) }
}

pub(crate) fn some_ports(ports: Option<&[u16]>) -> Option<Vec<Port>> {
    ports.map(|ports| ports.iter().map(|number| port(*number)).collect())
}

pub(crate) fn policy(name: &str, targets: Option<Vec<Target>>, rules: Vec<RuleSpec>) -> Object<PolicySpec> {
    object(ObjectKind::Policy, name, PolicySpec { targets, mode: Mode::Enforce, rules })
}

pub(crate) fn allow_all(name: &str) -> Object<PolicySpec> {
    policy(name, None, vec![rule("all", Effect::Allow, &[], vec![Permission::Any])])
}

pub(crate) fn role(name: &str, inherits: &[&str], permissions: Vec<Permission>) -> Object<RoleSpec> {
    let inherits = inherits.iter().map(|name| reference(name)).collect();
    object(ObjectKind::Role, name, RoleSpec { inherits, permissions })
}

/// How `GET path` on a port of a workload is decided for `namespace/account`, or for nobody.
pub(crate) fn decide(
    compiled: &Compiled,
    caller: Option<&str>,
    target: (&str, u16),
    path: &str,
) -> Explanation {
    let config = &compiled.workloads[&workload_key(target.0)];
    let snapshot = Snapshot::build(SnapshotId::LOCAL, config.snapshot.clone()).unwrap();
    let path = CanonicalPath::parse(path).unwrap();
    let http =
        HttpCall { method: "GET", target: RequestTarget::Path(&path), host: "orders.shop", grpc: false };
    let id = |name: &str| -> SpiffeId {
        let (namespace, account) = name.split_once('/').unwrap();
        format!("spiffe://cluster.local/ns/{namespace}/sa/{account}").parse().unwrap()
    };
    let hypothesis = Hypothesis {
        caller: caller.map_or(Caller::Anonymous, |name| Caller::Identity(id(name))),
        source: Some([10, 0, 0, 1].into()),
        port: port(target.1),
        now: Some(Timestamp(1_000)),
        call: Call::Http(http),
    };
    explain(&snapshot, &hypothesis)
}

/// True if `shop/web` may `GET path` on port 8080 of a workload.
pub(crate) fn permits(compiled: &Compiled, workload: &str, path: &str) -> bool {
    decide(compiled, Some("shop/web"), (workload, 8080), path).verdict.outcome.permits()
}

pub(crate) fn codes_of(compiled: &Compiled) -> Vec<Code> {
    compiled.diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}
