//! What the compile gives: a configuration for each workload, and what became of each object.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_identity::{Namespace, Port, ServiceAccount, SpiffeId, TrustConfig, TrustDomain};
use bailiwick_policy::{PortProtocol, SnapshotParts, WorkloadKey};

use crate::{Diagnostic, ObjectKey, WorkloadKind};

/// The whole world, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// What each workload enforces. A workload that is not here gets nothing, so its sidecar never becomes ready.
    pub workloads: BTreeMap<WorkloadKey, Arc<WorkloadConfig>>,
    /// Where each Service leads, by namespace and name; ports in ascending order.
    pub routes: BTreeMap<(Namespace, String), Vec<Route>>,
    /// What became of each object.
    pub objects: BTreeMap<ObjectKey, ObjectOutcome>,
    /// Every message, those of invalid objects and unreadable documents included: by place, then code.
    pub diagnostics: Vec<Diagnostic>,
    /// What certificates are issued.
    pub mesh: MeshSettings,
}

/// What one workload enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadConfig {
    /// The authorization half. Objects are sorted by origin and shared between workloads.
    pub snapshot: SnapshotParts,
    /// The authentication half.
    pub trust: TrustConfig,
    /// The protocols of the known container ports; any other port is undeclared.
    pub protocols: BTreeMap<Port, PortProtocol>,
    /// The identity of its pods.
    pub identity: SpiffeId,
    /// The service account of its pods.
    pub service_account: ServiceAccount,
    /// What runs its pods.
    pub kind: WorkloadKind,
    /// True if its namespace is enrolled: its pods are to have a sidecar.
    pub enrolled: bool,
}

/// One TCP port of a Service and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The Service's port.
    pub port: Port,
    /// The workloads behind it, by key; none if the Service selects none.
    pub backends: Vec<Backend>,
}

/// A workload behind a Service's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The workload.
    pub workload: WorkloadKey,
    /// The container port.
    pub port: Port,
    /// How that port's bytes are read.
    pub protocol: PortProtocol,
    /// The identity that the workload's pods prove.
    pub identity: SpiffeId,
}

/// What became of one object: what its status says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectOutcome {
    /// The generation that was compiled; 0 where the source has none.
    pub generation: i64,
    /// `Accepted`: the object's own spec is valid, or what is wrong with it (never empty).
    pub accepted: Result<(), Vec<Diagnostic>>,
    /// `ResolvedRefs`: every object that it names is there and sound, or which are not (never empty).
    pub resolved_refs: Result<(), Vec<Diagnostic>>,
    /// The workloads that it selects, by key; of a Role those of every Policy and ClusterPolicy that binds it, directly
    /// or by inheritance; of a TrustDomain all.
    pub targeted: Vec<WorkloadKey>,
    /// True if the object is in `mode: Audit` and takes no part in verdicts.
    pub audit: bool,
    /// The objects whose content it depends on, by key: the Roles that it binds, directly or by inheritance.
    pub depends_on: Vec<ObjectKey>,
}

/// The mesh's own trust domain and what its issuer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshSettings {
    /// The own trust domain: names of namespaces and service accounts hold for its identities only.
    pub trust_domain: TrustDomain,
    /// The life of a workload's certificate.
    pub leaf_lifetime: Duration,
    /// False if no certificate may be issued: the own TrustDomain is invalid, or there are two.
    pub issues: bool,
}
