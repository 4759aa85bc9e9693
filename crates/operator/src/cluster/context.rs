//! What every part of the operator in a cluster needs to know.

use std::net::IpAddr;
use std::sync::Arc;

use bailiwick_identity::{Namespace, TrustDomain};
use bailiwick_runtime::drain;
use bailiwick_runtime::ready::Readiness;
use kube::Client;

use super::stores::Stores;

/// The name of the operator's service account, its Service and its Lease, and its field manager.
pub(crate) const OPERATOR: &str = "bailiwick-operator";

/// What every part of the operator in a cluster needs to know; cheap to clone.
#[derive(Clone)]
pub(crate) struct ClusterContext {
    pub(crate) client: Client,
    /// The operator's own namespace.
    pub(crate) namespace: Namespace,
    /// This replica's pod.
    pub(crate) pod_name: Arc<str>,
    /// Where other replicas reach this one.
    pub(crate) pod_ip: IpAddr,
    pub(crate) trust_domain: TrustDomain,
    /// What the reflectors hold.
    pub(crate) stores: Arc<Stores>,
    pub(crate) readiness: Readiness,
    /// Ends every task.
    pub(crate) drain: drain::Watch,
}

impl std::fmt::Debug for ClusterContext {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClusterContext").field("pod", &self.pod_name).finish_non_exhaustive()
    }
}
