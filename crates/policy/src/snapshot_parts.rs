//! What a snapshot is built from: the authorization half of a workload's configuration.

use std::fmt;
use std::sync::Arc;

use bailiwick_identity::{Namespace, Port, TrustDomain, WorkloadName};

use crate::PolicyObject;

/// The digest (SHA-256) of a snapshot's encoded content. Two snapshots with the same id decide alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(pub [u8; 32]);

impl SnapshotId {
    /// The id of snapshots that never left the process (tests, `can`).
    pub const LOCAL: Self = Self([0; 32]);
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SnapshotId({self})")
    }
}

/// A workload: what runs the pods that a snapshot is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadKey {
    /// Its namespace.
    pub namespace: Namespace,
    /// The name of its Deployment, StatefulSet, DaemonSet, Job, CronJob or bare Pod.
    pub name: WorkloadName,
}

impl fmt::Display for WorkloadKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// The authorization half of a workload's configuration. The order of `objects` never changes a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotParts {
    /// The workload that it is for.
    pub workload: WorkloadKey,
    /// The mesh's own trust domain: names of namespaces and service accounts hold for its identities only.
    pub trust_domain: TrustDomain,
    /// The namespace label `bailiwick.dev/authorization: audit`: what Policies or the default would refuse is
    /// forwarded and reported; ClusterPolicies still refuse.
    pub authorization_audit: bool,
    /// Every policy object that selects the workload.
    pub objects: Vec<BoundObject>,
}

/// A policy object and the workload's ports that it selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundObject {
    /// The object, shared between workloads.
    pub object: Arc<PolicyObject>,
    /// The selected container ports.
    pub ports: PortSelection,
}

/// Container ports of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PortSelection {
    /// Every port.
    All,
    /// These, sorted, without duplicates. Empty selects no port (a Service target whose ports map to none).
    Only(Vec<Port>),
}

impl PortSelection {
    /// True if the port is selected.
    #[must_use]
    pub fn contains(&self, port: Port) -> bool {
        match self {
            Self::All => true,
            Self::Only(ports) => ports.contains(&port),
        }
    }
}

/// How a port's bytes are read: a fact of the workload, never of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortProtocol {
    /// Declared HTTP of any version, gRPC and WebSocket included.
    Http,
    /// Declared TCP, TLS of the application, or a server-first protocol: opaque bytes.
    Tcp,
    /// Not declared: detected from the first bytes, and closed if nothing decides within the limit.
    Undeclared,
}
