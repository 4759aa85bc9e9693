//! Following one kind of the API server: list, then watch, for ever.
//!
//! Not kube's watcher, since that hides the revisions that lists and bookmarks carry, which are how far in time a store
//! reaches. The initial list is a streaming one where the API server has it, and always a consistent read: the cache of
//! an API server that lags could give back what was revoked.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_runtime::drain;
use futures_util::StreamExt as _;
use kube::Client;
use kube::core::params::{ListParams, WatchParams};
use kube::core::{ObjectList, Request, WatchEvent};
use rand::Rng as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::facts::Keep;
use super::stores::{Reach as _, Resource, Store};

/// How long the API server may take to begin an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How long one watch lasts; then another begins where it ended.
const WATCH_SECONDS: u32 = 280;
/// A bookmark comes every minute; a watch that is silent for longer has no other end any more.
const SILENCE: Duration = Duration::from_secs(90);
/// Objects of one page of a list.
const PAGE: u32 = 500;
/// Between two attempts, with jitter: after an outage everything is current within seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// The annotation of the bookmark that ends a streaming list.
const LIST_ENDED: &str = "k8s.io/initial-events-end";

/// Why following stopped for the moment.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("{0}")]
    Api(#[from] Box<kube::Error>),
    #[error("the request cannot be made: {0}")]
    Request(#[from] kube::core::request::Error),
    #[error("the API server did not answer in {ANSWER:?}")]
    NoAnswer,
    #[error("the watch went silent")]
    Silent,
    #[error("the watch ended before the list was whole")]
    Cut,
    #[error("the revision is too old; everything is listed again")]
    Gone,
    #[error("the API server said: {0}")]
    Refused(String),
    #[error("the list has no revision")]
    NoRevision,
}

impl From<kube::Error> for Interruption {
    fn from(error: kube::Error) -> Self {
        if code(&error) == Some(410) { Self::Gone } else { Self::Api(Box::new(error)) }
    }
}

/// How the first state is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// As events of a watch: the API server need not hold the whole list in memory.
    Streamed,
    /// Page by page.
    Paged,
}

/// Follows one kind until the drain begins.
pub(super) async fn follow<T: Keep>(client: Client, store: Arc<Store<T>>, drain: drain::Watch) {
    let mut follower = Follower {
        client,
        resource: store.resource(),
        store,
        listing: Listing::Streamed,
        revision: None,
        pause: FIRST_PAUSE,
    };
    tokio::select! {
        () = drain.signaled() => {}
        () = follower.run() => {}
    }
}

struct Follower<T> {
    client: Client,
    resource: Resource,
    store: Arc<Store<T>>,
    listing: Listing,
    /// Where the next watch begins; `None` if everything must be listed.
    revision: Option<String>,
    pause: Duration,
}

impl<T: Keep> Follower<T> {
    async fn run(&mut self) {
        loop {
            let ended = match self.revision.clone() {
                Some(revision) => self.resume(&revision).await,
                None => self.begin().await,
            };
            let Err(interruption) = ended else {
                self.pause = FIRST_PAUSE;
                continue;
            };
            self.interrupted(&interruption).await;
        }
    }

    async fn interrupted(&mut self, interruption: &Interruption) {
        let kind = self.resource.plural;
        match interruption {
            Interruption::Gone => self.revision = None,
            Interruption::Silent | Interruption::Cut => {}
            Interruption::Api(error) if self.listing == Listing::Streamed && is_invalid(error) => {
                // An API server that has no streaming lists refuses the parameter.
                tracing::info!(kind, "lists are not streamed here; they are read in pages");
                self.listing = Listing::Paged;
                return;
            }
            Interruption::Api(_)
            | Interruption::Request(_)
            | Interruption::NoAnswer
            | Interruption::Refused(_)
            | Interruption::NoRevision => {
                self.store.set_problem(Some(format!("`{kind}` cannot be followed: {interruption}")));
            }
        }
        // Once for each outage; the store's problem says the latest.
        if self.pause == FIRST_PAUSE {
            tracing::warn!(kind, %interruption, "the API server is asked again");
        } else {
            tracing::debug!(kind, %interruption, "the API server is asked again");
        }
        let jitter = rand::rng().random_range(0.5..1.5);
        sleep(self.pause.mul_f64(jitter)).await;
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
    }

    /// Lists everything; a streamed list goes on as a watch.
    async fn begin(&mut self) -> Result<(), Interruption> {
        match self.listing {
            Listing::Streamed => {
                let parameters = WatchParams { send_initial_events: true, ..parameters() };
                let request = self.request().watch(&parameters, "")?;
                self.watch(request, Some(Vec::new())).await
            }
            Listing::Paged => self.list().await,
        }
    }

    async fn list(&mut self) -> Result<(), Interruption> {
        let mut objects = Vec::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let request = self.request().list(&page)?;
            let list: ObjectList<Value> = answer(self.client.request(request)).await?;
            objects.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => {
                    let revision = list.metadata.resource_version.ok_or(Interruption::NoRevision)?;
                    self.store.replace(objects, &revision);
                    self.revision = Some(revision);
                    return Ok(());
                }
            }
        }
    }

    async fn resume(&mut self, revision: &str) -> Result<(), Interruption> {
        let request = self.request().watch(&parameters(), revision)?;
        self.watch(request, None).await
    }

    /// Takes events until the watch ends. `listing` gathers a streamed list.
    async fn watch(
        &mut self,
        request: http::Request<Vec<u8>>,
        mut listing: Option<Vec<Value>>,
    ) -> Result<(), Interruption> {
        let events = answer(self.client.request_events::<Value>(request)).await?;
        tokio::pin!(events);
        loop {
            let event = match timeout(SILENCE, events.next()).await {
                Ok(Some(event)) => event?,
                // The end of a watch is usual; the end of half a list is not.
                Ok(None) if listing.is_none() => return Ok(()),
                Ok(None) => return Err(Interruption::Cut),
                Err(_) => return Err(Interruption::Silent),
            };
            self.pause = FIRST_PAUSE;
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => match &mut listing {
                    Some(objects) => objects.push(object),
                    None => {
                        self.revision = revision(&object).or(self.revision.take());
                        self.store.apply(object);
                    }
                },
                WatchEvent::Deleted(object) => {
                    self.revision = revision(&object).or(self.revision.take());
                    self.store.delete(&object);
                }
                WatchEvent::Bookmark(bookmark) => {
                    let at = bookmark.metadata.resource_version;
                    if listing.is_none() {
                        self.store.reached(&at);
                    } else if bookmark.metadata.annotations.contains_key(LIST_ENDED) {
                        self.store.replace(listing.take().unwrap_or_default(), &at);
                    } else {
                        continue;
                    }
                    self.revision = Some(at);
                }
                WatchEvent::Error(status) if status.code == 410 => return Err(Interruption::Gone),
                WatchEvent::Error(status) => return Err(Interruption::Refused(status.message)),
            }
        }
    }

    fn request(&self) -> Request {
        Request::new(url(&self.resource))
    }
}

fn parameters() -> WatchParams {
    WatchParams { bookmarks: true, timeout: Some(WATCH_SECONDS), ..WatchParams::default() }
}

/// The path of a kind's objects in all namespaces.
pub(super) fn url(resource: &Resource) -> String {
    let Resource { group, version, plural, .. } = resource;
    if group.is_empty() {
        format!("/api/{version}/{plural}")
    } else {
        format!("/apis/{group}/{version}/{plural}")
    }
}

async fn answer<V>(asked: impl Future<Output = kube::Result<V>>) -> Result<V, Interruption> {
    Ok(timeout(ANSWER, asked).await.map_err(|_| Interruption::NoAnswer)??)
}

fn revision(object: &Value) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        resource_version: String,
    }
    Head::deserialize(object).ok().map(|head| head.metadata.resource_version)
}

/// 400 and 422: the request itself is not understood.
fn is_invalid(error: &kube::Error) -> bool {
    matches!(code(error), Some(400 | 422))
}

/// The status of an answer that refuses.
fn code(error: &kube::Error) -> Option<u16> {
    if let kube::Error::Api(status) = error { Some(status.code) } else { None }
}

#[cfg(test)]
mod tests;
