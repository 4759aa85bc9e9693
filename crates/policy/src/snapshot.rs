//! A snapshot: everything that decides the calls of one workload, immutable and indexed.

mod build;
mod index;
mod rows;
mod subjects;

use std::fmt;

use bailiwick_identity::{Port, TrustDomain};

pub(crate) use build::EarlyDeny;
pub use build::SnapshotError;
pub(crate) use index::{Index, Sources};
pub use rows::RuleInfo;
pub(crate) use rows::{CallFacts, HttpFacts, Row, RowKind, Step, grpc_names};
pub(crate) use subjects::{SubjectSets, any};

use crate::{
    BoundObject, Effect, Mode, PortSelection, RuleIndex, SnapshotId, SnapshotParts, Timestamp, WorkloadKey,
};

/// Everything that decides the calls of one workload. It never changes; a new truth is a new snapshot.
pub struct Snapshot {
    id: SnapshotId,
    workload: WorkloadKey,
    trust_domain: TrustDomain,
    authorization_audit: bool,
    /// Sorted by origin.
    pub(crate) objects: Box<[BoundObject]>,
    /// By [`RuleIndex`]: kind, namespace, name, rule.
    pub(crate) rules: Box<[RuleInfo]>,
    /// By step, then rule.
    pub(crate) rows: Box<[Row]>,
    /// The distinct port selections; the first is every port.
    pub(crate) ports: Box<[PortSelection]>,
    pub(crate) sets: SubjectSets,
    pub(crate) index: Index,
    /// The triples that are decided before the handshake.
    pub(crate) early: Box<[EarlyDeny]>,
    /// The step and the port selection of every `http` and `grpc` Deny in Enforce, distinct and by step.
    path_denies: Box<[(Step, u32)]>,
    /// The port selections of Audit objects, distinct.
    audited: Box<[PortSelection]>,
    /// Every start and end of a rule's window, ascending.
    changes: Box<[i64]>,
}

impl Snapshot {
    /// Checks and indexes what a workload was sent.
    ///
    /// # Errors
    /// When a rule says what no compiler makes, such as a rule without subjects, or when there are too many rules.
    /// FAIL-CLOSED: there is no partial snapshot.
    pub fn build(id: SnapshotId, parts: SnapshotParts) -> Result<Self, SnapshotError> {
        build::build(id, parts)
    }

    /// The digest of the content.
    #[must_use]
    pub const fn id(&self) -> SnapshotId {
        self.id
    }

    /// The workload that it is for.
    #[must_use]
    pub const fn workload(&self) -> &WorkloadKey {
        &self.workload
    }

    /// The mesh's own trust domain.
    #[must_use]
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// True if the namespace is in authorization audit: only `ClusterPolicy` objects refuse.
    #[must_use]
    pub const fn authorization_audit(&self) -> bool {
        self.authorization_audit
    }

    /// What an index names; `None` if it is another snapshot's.
    #[must_use]
    pub fn rule(&self, index: RuleIndex) -> Option<&RuleInfo> {
        self.rules.get(index.0 as usize)
    }

    /// Every rule and every uncompilable object, by kind, namespace, name, rule; a [`RuleIndex`] counts in this order.
    pub fn rules(&self) -> impl Iterator<Item = (RuleIndex, &RuleInfo)> {
        (0..).map(RuleIndex).zip(self.rules.iter())
    }

    /// True if an `http` or `grpc` Deny in Enforce selects the port, whatever its subjects and times. Where the port
    /// is handled as TCP such a rule could not be seen to, so a client whose bytes begin an HTTP request is closed.
    /// A `Policy` does not count while the namespace is in authorization audit: its denials are only reported.
    #[must_use]
    pub fn has_http_deny(&self, port: Port) -> bool {
        self.has_path_deny(port, if self.authorization_audit { Step::ClusterDeny } else { Step::PolicyDeny })
    }

    /// True if an `http` or `grpc` Deny of a `ClusterPolicy` in Enforce selects the port: an ambiguous path is then
    /// refused even in authorization audit.
    #[must_use]
    pub fn has_cluster_path_deny(&self, port: Port) -> bool {
        self.has_path_deny(port, Step::ClusterDeny)
    }

    fn has_path_deny(&self, port: Port, last: Step) -> bool {
        self.path_denies
            .iter()
            .take_while(|(step, _)| *step <= last)
            .any(|(_, ports)| self.ports.get(*ports as usize).is_some_and(|ports| ports.contains(port)))
    }

    /// The next instant after `after` at which a rule starts or ends to apply: calls in flight are decided again then.
    #[must_use]
    pub fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let passed = self.changes.partition_point(|change| *change <= after.0);
        self.changes.get(passed).copied().map(Timestamp)
    }

    /// True if a call to the port is decided a second time, as if nothing were in audit.
    pub(crate) fn reports_would_be(&self, port: Port) -> bool {
        self.authorization_audit || self.audited.iter().any(|ports| ports.contains(port))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Snapshot")
            .field("id", &self.id)
            .field("workload", &self.workload)
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

impl RuleInfo {
    /// True if it refuses calls: a Deny, or an uncompilable object, in Enforce.
    #[must_use]
    pub const fn refuses(&self) -> bool {
        matches!((self.effect, self.mode), (Effect::Deny, Mode::Enforce))
    }
}
