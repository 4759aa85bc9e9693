//! Catching up: a sidecar came that has seen later revisions than this replica.
//!
//! Its policies may be as new as they can be here too: a quiet kind has no events, and says only once a minute how far it
//! reaches. So the kinds that lag are listed (names and versions only, a consistent read) and compared with what the
//! reflector holds. If they are equal, the reflector is as far as that list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::core::params::ListParams;
use kube::core::{ObjectList, Request};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::context::ClusterContext;
use super::stores::{Name, Reach, number};
use super::watch::url;
use crate::publish::Publisher;

/// What lags for less than this comes by itself.
const GRACE: Duration = Duration::from_millis(100);
/// Between two lists, however many sidecars wait.
const PAUSE: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(30);
const PAGE: u32 = 1000;

/// Runs until the drain begins.
pub(super) async fn run(context: ClusterContext, publisher: Arc<Publisher>) {
    let drain = context.drain.clone();
    tokio::select! {
        () = drain.signaled() => {}
        () = work(&context, &publisher) => {}
    }
}

async fn work(context: &ClusterContext, publisher: &Publisher) {
    let mut wanted = publisher.wanted();
    loop {
        let marks = wanted.borrow_and_update().clone();
        if behind(&context.stores.all(), &marks).is_empty() {
            // The reflectors are there; what is published may still say less.
            context.stores.touch();
            if wanted.changed().await.is_err() {
                return;
            }
            sleep(GRACE).await;
            continue;
        }
        sleep(GRACE).await;
        for store in behind(&context.stores.all(), &marks) {
            match prove(&context.client, &*store).await {
                Ok(true) => publisher.nothing_beyond(store.resource().plural, store.mark()),
                Ok(false) => tracing::debug!(kind = store.resource().plural, "not there yet"),
                Err(error) => {
                    tracing::warn!(kind = store.resource().plural, %error, "whether this replica is current cannot be seen");
                }
            }
        }
        if !behind(&context.stores.all(), &marks).is_empty() {
            sleep(PAUSE).await;
        }
    }
}

/// The stores that do not reach what somebody has seen.
fn behind(stores: &[Arc<dyn Reach>], wanted: &BTreeMap<String, u64>) -> Vec<Arc<dyn Reach>> {
    let lags = |store: &&Arc<dyn Reach>| {
        wanted.get(store.resource().plural).is_some_and(|mark| store.mark() < *mark)
    };
    stores.iter().filter(lags).cloned().collect()
}

/// Compares a store with the API server. False if the reflector is not there yet.
pub(super) async fn prove(client: &Client, store: &dyn Reach) -> Result<bool, String> {
    let mut listed = BTreeMap::new();
    // No revision: what the API server's data holds now, and not what its cache remembers.
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let request = Request::new(url(&store.resource())).list_metadata(&page);
        let request = request.map_err(|error| error.to_string())?;
        let asked = timeout(ANSWER, client.request::<ObjectList<Value>>(request)).await;
        let list = asked.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
        listed.extend(list.items.iter().filter_map(version));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => {
                let revision = list.metadata.resource_version.unwrap_or_default();
                return Ok(store.prove(&listed, number(&revision)));
            }
        }
    }
}

fn version(object: &Value) -> Option<(Name, (String, String))> {
    let text = |field: &str| object.get("metadata")?.get(field)?.as_str().map(str::to_owned);
    Some((Name::of(object)?, (text("uid")?, text("resourceVersion")?)))
}
