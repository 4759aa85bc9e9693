//! The epoch: which life of the cluster's data the revisions belong to.
//!
//! It stands in one ConfigMap that is made once. Whoever restores an older copy of the API server's data deletes the
//! ConfigMap, so that the next operator begins a higher epoch; a new root begins one by itself. Otherwise sidecars would
//! refuse what is older than what they hold.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::time::sleep;

use super::context::{ClusterContext, OPERATOR};
use crate::state::unix_millis;

/// The name of the ConfigMap, in the operator's namespace.
const NAME: &str = "bailiwick-epoch";
const EPOCH: &str = "epoch";
const ROOT: &str = "root";
/// Replicas that start at once may change it at once.
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// Why there is no epoch.
#[derive(Debug, thiserror::Error)]
pub(super) enum EpochError {
    #[error("ConfigMap `{NAME}` cannot be read or written: {0}")]
    Api(#[from] Box<kube::Error>),
    #[error(
        "ConfigMap `{NAME}` does not hold an epoch; delete it and restart the operator to begin a new one"
    )]
    Content,
    #[error("ConfigMap `{NAME}` is changed by somebody else all the time")]
    Contended,
}

impl From<kube::Error> for EpochError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// The epoch of this root (its digest). All replicas come to the same one.
///
/// INVARIANT: a new epoch is higher than every one before, as far as the ConfigMap or the clock remembers them.
pub(super) async fn settle(context: &ClusterContext, root: &str) -> Result<u64, EpochError> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), context.namespace.as_str());
    let parameters = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
    let now = unix_millis(SystemTime::now());
    for _ in 0..ATTEMPTS {
        let written = match api.get_opt(NAME).await? {
            None => {
                let made = api.create(&parameters, &config_map(now, root)).await;
                made.inspect(|_| tracing::info!(epoch = now, "a new epoch begins")).map(|_| now)
            }
            Some(found) => {
                let data = found.data.clone().unwrap_or_default();
                let epoch = data.get(EPOCH).and_then(|text| text.trim().parse::<u64>().ok());
                let epoch = epoch.ok_or(EpochError::Content)?;
                if data.get(ROOT).is_some_and(|known| known == root) {
                    return Ok(epoch);
                }
                let next = now.max(epoch.saturating_add(1));
                let mut changed = config_map(next, root);
                // Only if nobody was faster.
                changed.metadata.resource_version = found.metadata.resource_version;
                let replaced = api.replace(NAME, &parameters, &changed).await;
                replaced
                    .inspect(|_| tracing::warn!(epoch = next, "the root is another one: a new epoch begins"))
                    .map(|_| next)
            }
        };
        match written {
            Ok(epoch) => return Ok(epoch),
            Err(kube::Error::Api(status)) if status.code == 409 => sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(EpochError::Contended)
}

fn config_map(epoch: u64, root: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
        data: Some([(EPOCH.to_owned(), epoch.to_string()), (ROOT.to_owned(), root.to_owned())].into()),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests;
