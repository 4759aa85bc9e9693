//! Carries the mesh's roots to where pods read them at their first contact: the ConfigMap `bailiwick-bundle` of every
//! enrolled namespace, and the ClusterTrustBundle where the API server has that kind.
//!
//! ```text
//!  namespaces, pods (stores) --wanted--\
//!                                       plan --> apply / delete (by the leader, idempotent)
//!  ConfigMaps of that name ----held----/
//! ```
//!
//! A pod that comes before its bundle waits: the kubelet mounts the volume once the object is there.

mod plan;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use tokio::sync::Notify;
use tokio::time::sleep;

use self::plan::{Step, plan};
use self::write::Writer;
use super::context::ClusterContext;
use super::events::{self, Events, Reason};
use bailiwick_pod::names::BUNDLE_OBJECT;

/// Changes that come together are handled together.
const QUIET: Duration = Duration::from_millis(200);
/// Looks again without being told: what failed is tried again, and the ClusterTrustBundle, which is not watched, is seen.
const AGAIN: Duration = Duration::from_secs(5);
/// Between two writes: a herd of new namespaces does not flood the API server.
const PACE: Duration = Duration::from_millis(50);

/// Whether this replica writes now.
pub(crate) type Leads = Arc<dyn Fn() -> bool + Send + Sync>;

/// Keeps the bundles as they should be until the drain begins.
pub(super) async fn keep(context: ClusterContext, bundle: String, leads: Leads, events: Events) {
    let api = Api::<ConfigMap>::all(context.client.clone());
    let (held, writer) = reflector::store();
    let named = watcher::Config::default().fields(&format!("metadata.name={BUNDLE_OBJECT}"));
    let stream = watcher(api, named).default_backoff().reflect(writer);
    let changed = Arc::new(Notify::new());
    let follow = {
        let changed = Arc::clone(&changed);
        async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                match event {
                    Ok(_) => changed.notify_one(),
                    Err(error) => tracing::warn!(%error, "the bundles cannot be followed; it is tried again"),
                }
            }
        }
    };
    let bundles = Bundles { writer: Writer::new(context.client.clone(), bundle), held, leads, events };
    tokio::select! {
        () = context.drain.signaled() => {}
        () = follow => {}
        () = bundles.run(&context, &changed) => {}
    }
}

struct Bundles {
    writer: Writer,
    held: reflector::Store<ConfigMap>,
    leads: Leads,
    events: Events,
}

impl Bundles {
    async fn run(mut self, context: &ClusterContext, changed: &Notify) {
        let mut stores = context.stores.subscribe();
        if self.held.wait_until_ready().await.is_err() {
            return;
        }
        loop {
            if (self.leads)() {
                self.once(context).await;
            }
            tokio::select! {
                () = changed.notified() => {}
                told = stores.changed() => if told.is_err() { return },
                () = sleep(AGAIN) => {}
            }
            sleep(QUIET).await;
        }
    }

    async fn once(&mut self, context: &ClusterContext) {
        let held = self.held.state();
        for step in plan(&context.stores, &held, self.writer.bundle()) {
            // Asked before each write: leadership ends while a long list is worked off.
            if !(self.leads)() || context.drain.is_draining() {
                return;
            }
            let done = match &step {
                Step::Write { namespace } => self.writer.write(namespace).await,
                Step::Remove { namespace, version } => self.writer.remove(namespace, version).await,
            };
            if let Err(error) = done {
                let namespace = step.namespace();
                let note = format!("the mesh's trust bundle cannot be kept in this namespace: {error}");
                tracing::warn!(namespace, %error, "a trust bundle cannot be written; it is tried again");
                self.events.warn(
                    events::core("ConfigMap", namespace, BUNDLE_OBJECT),
                    Reason::BundleNotWritten,
                    &note,
                );
            }
            sleep(PACE).await;
        }
        if let Err(error) = self.writer.cluster_trust_bundle().await {
            tracing::warn!(%error, "the ClusterTrustBundle cannot be written; it is tried again");
        }
    }
}
