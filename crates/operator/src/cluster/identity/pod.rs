//! Whether a pod is the one that a token is bound to, and one of the mesh.

use std::net::IpAddr;

use super::review::Bound;
use crate::cluster::facts::Pod;

/// Why a pod gets no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PodRefusal {
    #[error("the pod is gone")]
    Gone,
    #[error("the token is of an earlier pod of this name")]
    OtherUid,
    #[error("the pod has ended")]
    Ended,
    #[error("the pod shares its node's network, so nothing can be captured there")]
    HostNetwork,
    #[error("the pod has no sidecar; restart it")]
    NoSidecar,
    #[error("the pod runs as service account `{found}`")]
    OtherServiceAccount { found: String },
    #[error("the pod is on another node than its token says")]
    OtherNode,
    #[error("the pod has no address yet")]
    NoAddressYet,
    #[error("the token is shown by `{peer}`, which is not an address of its pod")]
    OtherAddress { peer: IpAddr },
}

impl PodRefusal {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Gone => "pod-gone",
            Self::OtherUid => "pod-other-uid",
            Self::Ended => "pod-ended",
            Self::HostNetwork => "pod-host-network",
            Self::NoSidecar => "pod-no-sidecar",
            Self::OtherServiceAccount { .. } => "pod-service-account",
            Self::OtherNode => "pod-node",
            Self::NoAddressYet => "pod-no-address-yet",
            Self::OtherAddress { .. } => "pod-address",
        }
    }
}

/// Compares a pod with what a review said. `from`: the address that the token came from, if that is to be one of the
/// pod's.
pub(super) fn check_pod(bound: &Bound, uid: &str, pod: &Pod, from: Option<IpAddr>) -> Result<(), PodRefusal> {
    if uid != bound.pod_uid {
        return Err(PodRefusal::OtherUid);
    }
    if !pod.is_live() {
        return Err(PodRefusal::Ended);
    }
    if pod.host_network {
        return Err(PodRefusal::HostNetwork);
    }
    if !pod.has_sidecar() {
        return Err(PodRefusal::NoSidecar);
    }
    if pod.service_account != bound.service_account.as_str() {
        return Err(PodRefusal::OtherServiceAccount { found: pod.service_account.clone() });
    }
    if bound.node.as_ref().is_some_and(|node| *node != pod.node) {
        return Err(PodRefusal::OtherNode);
    }
    let Some(peer) = from else { return Ok(()) };
    // The kubelet writes addresses to the API server a moment after the first container started.
    if pod.addresses.is_empty() {
        return Err(PodRefusal::NoAddressYet);
    }
    let peer = peer.to_canonical();
    if pod.addresses.iter().any(|address| address.to_canonical() == peer) {
        Ok(())
    } else {
        Err(PodRefusal::OtherAddress { peer })
    }
}
