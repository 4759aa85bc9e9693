//! Builders for this crate's tests.

pub(crate) mod client;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_identity::{MtlsMode, PortTrust, SpiffeId, TrustConfig};
use bailiwick_policy::{
    Body, BoundObject, Layer, Mode, Origin, PolicyObject, PortSelection, SnapshotParts, WorkloadKey,
};
use bailiwick_runtime::metrics::Metrics;
use bailiwick_wire::{ChunkCache, Configuration, Position, encode};

use crate::metrics::OperatorMetrics;
use crate::publish::{Mesh, Publication, Published};

pub(crate) fn workload(text: &str) -> WorkloadKey {
    let (namespace, name) = text.split_once('/').unwrap();
    WorkloadKey { namespace: namespace.parse().unwrap(), name: name.parse().unwrap() }
}

pub(crate) fn identity(text: &str) -> SpiffeId {
    let (namespace, name) = text.split_once('/').unwrap();
    format!("spiffe://cluster.local/ns/{namespace}/sa/{name}").parse().unwrap()
}

pub(crate) fn metrics() -> OperatorMetrics {
    OperatorMetrics::register(&Metrics::new("test"))
}

/// A snapshot whose content differs with its mark.
pub(crate) fn published(name: &str, mark: u64) -> Arc<Published> {
    let object = PolicyObject {
        origin: Origin { layer: Layer::Namespace, namespace: Arc::from("shop"), name: Arc::from("p") },
        generation: i64::try_from(mark).unwrap(),
        mode: Mode::Enforce,
        body: Body::Uncompilable { reason: Arc::from("a test") },
    };
    let domain = "cluster.local".parse().unwrap();
    let configuration = Configuration {
        snapshot: SnapshotParts {
            workload: workload(name),
            trust_domain: domain,
            authorization_audit: false,
            objects: vec![BoundObject { object: Arc::new(object), ports: PortSelection::All }],
        },
        trust: TrustConfig {
            default: PortTrust {
                mode: MtlsMode::Strict,
                trust_domains: vec!["cluster.local".parse().unwrap()],
                audit: false,
                invalid: None,
            },
            ports: BTreeMap::new(),
        },
        protocols: BTreeMap::new(),
    };
    let position = Position { epoch: 1, marks: [("folder".to_owned(), mark)].into(), version: mark };
    let encoded = encode(&configuration, &mut ChunkCache::default());
    Arc::new(Published { identity: identity(name), encoded, position })
}

pub(crate) fn publication(workloads: &[(&str, u64)]) -> Publication {
    Publication {
        mesh: Mesh {
            trust_domain: "cluster.local".parse().unwrap(),
            issues_nothing: None,
            leaf_lifetime: Duration::from_secs(3_600),
        },
        position: bailiwick_wire::Position::default(),
        workloads: workloads.iter().map(|(name, mark)| (workload(name), published(name, *mark))).collect(),
        destinations: Arc::default(),
    }
}
