//! The mesh's root in a cluster.

use std::sync::Arc;
use std::time::SystemTime;

use bailiwick_ca::Authority;

use super::context::ClusterContext;

/// Opens the root.
pub(super) async fn open(context: &ClusterContext) -> anyhow::Result<Arc<Authority>> {
    Ok(Arc::new(Authority::ephemeral(&context.trust_domain, SystemTime::now())?))
}
