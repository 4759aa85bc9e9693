//! The live objects that the operator compiles.

use bailiwick_api::API_VERSION;
use bailiwick_inputs::ApiObject;
use futures_util::future::try_join_all;
use serde_json::Value;

use super::client::{Cluster, ClusterError};
use super::pods::{Pods, is_over};

/// The plurals of our kinds.
const OURS: [&str; 7] = [
    "bwroles",
    "bwpolicies",
    "bwclusterpolicies",
    "bwauthentications",
    "bwrelationschemas",
    "bwrelationships",
    "bwtrustdomains",
];

/// What the operator compiles, as it is now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    /// Our kinds, namespaces, Services and the pods that are not over, decoded.
    pub(crate) objects: Vec<ApiObject>,
    pub(crate) pods: Pods,
}

/// Reads a cluster.
///
/// # Errors
/// When a kind cannot be read: an answer over a part of the world would be wrong.
pub(crate) async fn read_live(cluster: &Cluster) -> Result<Live, ClusterError> {
    let ours = OURS.map(|plural| format!("/apis/{API_VERSION}/{plural}"));
    let core = ["namespaces", "services"].map(|plural| format!("/api/v1/{plural}"));
    let paths: Vec<String> = ours.into_iter().chain(core).collect();
    let (lists, pods) = tokio::try_join!(
        try_join_all(paths.iter().map(|path| cluster.list(path))),
        cluster.list("/api/v1/pods")
    )?;
    let pods: Vec<Value> = pods.into_iter().filter(|pod| !is_over(pod)).collect();
    let objects = lists.iter().flatten().chain(&pods).map(ApiObject::decode).collect();
    Ok(Live { objects, pods: Pods::of(&pods) })
}
