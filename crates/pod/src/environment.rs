//! Environment variables of the injected containers. Everything that is the same for all pods is an argument instead,
//! so that a final pod can be compared with what the installation allows.

/// `metadata.namespace`.
pub const NAMESPACE: &str = "BAILIWICK_POD_NAMESPACE";
/// `metadata.name`.
pub const NAME: &str = "BAILIWICK_POD_NAME";
/// `metadata.uid`.
pub const UID: &str = "BAILIWICK_POD_UID";
/// `status.podIPs`: comma-separated.
pub const ADDRESSES: &str = "BAILIWICK_POD_IPS";
/// `status.hostIPs`: comma-separated; the node from which hooks may be run.
pub const NODE_ADDRESSES: &str = "BAILIWICK_NODE_IPS";
/// The pod's declared probes and hooks: JSON, a list of [`crate::Declared`].
pub const PROBES: &str = "BAILIWICK_PROBES";
/// The log filter; see the annotation `bailiwick.dev/log-level`.
pub const LOG: &str = "BAILIWICK_LOG";
/// Of the capture container: inbound ports that are not captured, as in the annotation.
pub const SKIP_INBOUND_PORTS: &str = "BAILIWICK_SKIP_INBOUND_PORTS";
/// Of the capture container: outbound ports that are not captured, as in the annotation.
pub const SKIP_OUTBOUND_PORTS: &str = "BAILIWICK_SKIP_OUTBOUND_PORTS";

/// What the sidecar container is given.
pub const OF_SIDECAR: [&str; 7] = [NAMESPACE, NAME, UID, ADDRESSES, NODE_ADDRESSES, PROBES, LOG];
