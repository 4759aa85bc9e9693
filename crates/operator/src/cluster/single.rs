//! Following one object by its name: the operator may read no other of these kinds.

use std::fmt::Debug;
use std::pin::pin;

use bailiwick_runtime::drain;
use futures_util::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// Tells every version of an object until the drain begins, and `None` when it is not there. What cannot be asked is
/// asked again and told to nobody: no answer is not an answer.
pub(super) async fn follow<K>(api: Api<K>, name: &str, drain: &drain::Watch, mut tell: impl FnMut(Option<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut versions = pin!(watcher::watch_object(api, name).default_backoff());
    loop {
        let version = tokio::select! {
            biased;
            () = drain.signaled() => return,
            version = versions.next() => version,
        };
        match version {
            Some(Ok(version)) => tell(version),
            Some(Err(error)) => {
                tracing::warn!(name, %error, "an object cannot be followed; it is tried again")
            }
            None => return,
        }
    }
}
