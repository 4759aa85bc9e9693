//! Builders of small worlds.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bailiwick_identity::Port;
use bailiwick_policy::{
    Body, BoundObject, Effect, HttpPermission, Layer, Methods, Mode, Origin, Permission, PolicyObject,
    PortSelection, Rule, Snapshot, SnapshotId, SnapshotParts, SubjectClass, SubjectEntry, WorkloadKey,
};

pub(crate) fn port(number: u16) -> Port {
    Port::try_from(number).expect("a port")
}

pub(crate) fn address(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().expect("an address"), 40_000)
}

pub(crate) fn service_account(namespace: &str, name: &str) -> SubjectEntry {
    SubjectEntry {
        service_account: Some((namespace.parse().expect("a namespace"), name.parse().expect("a name"))),
        ..SubjectEntry::default()
    }
}

pub(crate) fn class(class: SubjectClass) -> SubjectEntry {
    SubjectEntry { class: Some(class), ..SubjectEntry::default() }
}

pub(crate) fn from(cidr: &str) -> SubjectEntry {
    let cidr = bailiwick_policy::IpBlock::parse_cidr(cidr).expect("a CIDR");
    let block = bailiwick_policy::IpBlock::new(cidr, Vec::new()).expect("a block");
    SubjectEntry { ip_block: Some(block), ..SubjectEntry::default() }
}

pub(crate) fn http(methods: &[&str], paths: &[&str]) -> Permission {
    Permission::Http(HttpPermission {
        methods: methods_of(methods),
        paths: paths
            .iter()
            .map(|path| bailiwick_policy::PathTemplate::parse(path).expect("a template"))
            .collect(),
        hosts: None,
    })
}

pub(crate) fn methods_of(methods: &[&str]) -> Methods {
    if methods == ["*"] {
        Methods::Any
    } else {
        Methods::Of(methods.iter().map(|name| Arc::from(*name)).collect())
    }
}

pub(crate) fn rule(
    name: &str,
    effect: Effect,
    subjects: Vec<SubjectEntry>,
    permissions: Vec<Permission>,
) -> Rule {
    Rule {
        name: Arc::from(name),
        effect,
        subjects,
        except_subjects: Vec::new(),
        permissions,
        not_before: None,
        not_after: None,
        message: None,
    }
}

pub(crate) fn object(layer: Layer, name: &str, mode: Mode, body: Body) -> BoundObject {
    let namespace = match layer {
        Layer::Cluster => "",
        Layer::Namespace => "shop",
    };
    let origin = Origin { layer, namespace: Arc::from(namespace), name: Arc::from(name) };
    BoundObject {
        object: Arc::new(PolicyObject { origin, generation: 1, mode, body }),
        ports: PortSelection::All,
    }
}

pub(crate) fn policy(name: &str, rules: Vec<Rule>) -> BoundObject {
    object(Layer::Namespace, name, Mode::Enforce, Body::Rules(rules))
}

pub(crate) fn parts(objects: Vec<BoundObject>) -> SnapshotParts {
    SnapshotParts {
        workload: WorkloadKey {
            namespace: "shop".parse().expect("a namespace"),
            name: "orders".parse().expect("a name"),
        },
        trust_domain: "cluster.local".parse().expect("a trust domain"),
        authorization_audit: false,
        objects,
    }
}

pub(crate) fn snapshot(parts: SnapshotParts) -> Arc<Snapshot> {
    Arc::new(Snapshot::build(SnapshotId::LOCAL, parts).expect("a snapshot"))
}
