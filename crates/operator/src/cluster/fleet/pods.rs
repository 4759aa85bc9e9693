//! What is known of pods, as a status needs it.

use bailiwick_policy::WorkloadKey;

/// A pod, as a status counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PodPlace {
    /// It is not there, does not run yet or any more, or is going: it is not counted.
    NotCounted,
    /// It runs.
    Running { uid: String, sidecar: Injected },
}

/// Whether a running pod has a sidecar, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Injected {
    Yes,
    /// Its namespace is enrolled, and it was made without one.
    Missing,
    /// The installation exempts it.
    Exempt,
    NotEnrolled,
}

/// Where the status looks up what the compile does not say.
pub(crate) trait Cluster {
    fn pod(&self, workload: &WorkloadKey) -> PodPlace;

    /// True if the namespace is labelled `bailiwick.dev/authorization: audit`.
    fn authorization_audited(&self, namespace: &str) -> bool;
}
