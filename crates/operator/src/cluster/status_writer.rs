//! Writes the status of every object, while this replica holds the lease and only then.
//!
//! ```text
//!  fleet --assessments--> queue (the last edit first; 5 a second, a burst of 10) --server-side apply--> /status
//!    ^                                                                                                    |
//!    '-- stores <-------------------------------- watch <--------------------------------------------------
//! ```
//!
//! A status is written only if it says something else than what is there. What is there is what the store holds, or
//! what was written since.

mod api;
mod document;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::status::{ACCEPTED, RESOLVED_REFS};
use bailiwick_compile::ObjectKey;
use bailiwick_runtime::drain;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

pub(crate) use api::KubeStatus;
use document::{condition_of, document, observed};
use queue::{Ended, Job, Queue};

use crate::cluster::events::Reason;
use crate::cluster::fleet::{Assessment, Cluster, Fleet};
use crate::cluster::lease::Leadership;
use crate::cluster::summary::Summary;

/// The field manager of every status; never that of other things that the operator writes.
pub(crate) const FIELD_MANAGER: &str = "bailiwick-operator-status";
/// Between two looks at what changed: what comes together is looked at once.
const LOOK: Duration = Duration::from_millis(15);
/// The same for what the API server tells: pods change often.
const LOOK_AT_STORES: Duration = Duration::from_millis(100);
/// Writes on their way at once, so that one that hangs does not hold up the others.
const MOST_IN_FLIGHT: usize = 4;
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(5);
/// Between two looks at what nobody tells of.
const TICK: Duration = Duration::from_secs(1);
/// How long a new leader waits to hear of sidecars that it does not know: other replicas tell it within seconds, and a
/// sidecar whose operator was away for long comes again within half a minute.
const UNKNOWN: Duration = Duration::from_secs(40);

/// An object as the API server has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// 0 if it is not a number: then whatever comes later counts.
    pub(crate) revision: u64,
    pub(crate) status: Value,
    pub(crate) summary: Summary,
}

/// Where objects are looked up.
pub(crate) trait Shelf {
    fn known(&self, key: &ObjectKey) -> Option<Known>;
    /// Wakes when an object, a pod or a namespace changes.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// There is no such object (any more).
    #[error("it is gone")]
    Gone,
    #[error("somebody else wrote it at the same time: {0}")]
    Conflict(String),
    #[error("the API server is busy")]
    Busy { retry_after: Option<Duration> },
    /// The same would be refused again.
    #[error("the API server refuses it: {0}")]
    Refused(String),
    #[error("{0}")]
    Failed(String),
}

/// The request that writing needs.
pub(crate) trait StatusApi: Send + Sync {
    /// Applies `status` to the object of this uid. Gives the object's new revision.
    fn apply(
        &self,
        key: &ObjectKey,
        uid: &str,
        status: &Value,
    ) -> impl Future<Output = Result<u64, WriteError>> + Send;
}

/// A condition of an object has become false: worth an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fell {
    pub(crate) key: ObjectKey,
    pub(crate) uid: String,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

/// Writes statuses.
pub(crate) struct StatusWriter<A, S, C> {
    pub(crate) api: A,
    pub(crate) shelf: S,
    pub(crate) cluster: C,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) fell: mpsc::Sender<Fell>,
}

/// What a write came to.
struct Written {
    job: Job,
    before: Value,
    status: Value,
    outcome: Result<u64, WriteError>,
}

/// One time in office.
struct Term {
    queue: Queue,
    /// What was written, and may not be in the store yet.
    written: BTreeMap<ObjectKey, Known>,
    unknown_until: Instant,
    last_look: Option<Instant>,
    last_of_stores: Instant,
}

impl<A: StatusApi, S: Shelf, C: Cluster> StatusWriter<A, S, C> {
    /// Writes whenever this replica leads, until the drain begins.
    pub(crate) async fn run(mut self, drain: drain::Watch) {
        loop {
            tokio::select! {
                biased;
                () = drain.signaled() => return,
                elected = self.leadership.wait_for(Leadership::leads) => {
                    if elected.is_err() {
                        return;
                    }
                }
            }
            tokio::select! {
                biased;
                () = drain.signaled() => return,
                () = self.lead() => {}
            }
            tracing::info!("this replica writes no status any more");
        }
    }

    /// INVARIANT: returns at once when the lease is lost; writes that are on their way are given up.
    async fn lead(&mut self) {
        let now = Instant::now();
        let mut term = Term {
            queue: Queue::new(now),
            written: BTreeMap::new(),
            unknown_until: now + UNKNOWN,
            last_look: None,
            last_of_stores: now,
        };
        let (mut changes, mut stored) = (self.fleet.subscribe(), self.shelf.changes());
        self.fleet.all_stale();
        let mut leadership = self.leadership.clone();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut writes = FuturesUnordered::new();
        loop {
            let current = leadership.borrow_and_update().clone();
            if !current.leads() {
                return;
            }
            self.look(&mut term);
            while writes.len() < MOST_IN_FLIGHT
                && let Some((job, before, status)) = self.next(&mut term)
            {
                writes.push(write(&self.api, job, (before, status)));
            }
            let wake = if writes.len() < MOST_IN_FLIGHT { term.queue.wake() } else { None };
            let due = term.last_look.map_or_else(Instant::now, |last| last + LOOK);
            let stores_due = term.last_of_stores + LOOK_AT_STORES;
            tokio::select! {
                biased;
                changed = leadership.changed() => if changed.is_err() { return },
                () = current.expired() => return,
                Some(written) = writes.next(), if !writes.is_empty() => self.written(&mut term, written),
                changed = async { sleep_until(due).await; changes.changed().await } => if changed.is_err() { return },
                changed = async { sleep_until(stores_due).await; stored.changed().await } => {
                    if changed.is_err() { return }
                    term.last_of_stores = Instant::now();
                    // A pod that runs now, or is going: no compile tells of it.
                    self.fleet.all_stale();
                }
                () = async { sleep_until(wake.unwrap_or_else(Instant::now)).await }, if wake.is_some() => {}
                _ = tick.tick() => self.tick(&mut term),
            }
        }
    }

    /// Takes up what changed.
    fn look(&self, term: &mut Term) {
        let now = Instant::now();
        if term.last_look.is_some_and(|last| now < last + LOOK) {
            return;
        }
        term.last_look = Some(now);
        for assessment in self.fleet.assess_stale(&self.cluster, term.unknown_until) {
            self.consider(term, assessment);
        }
    }

    fn consider(&self, term: &mut Term, assessment: Assessment) {
        let key = assessment.key.clone();
        let Some(known) = self.known(term, &assessment) else {
            term.queue.satisfied(&key);
            return;
        };
        let wanted = document(&assessment, &known.summary, &known.status, &timestamp());
        if wanted == known.status {
            term.queue.satisfied(&key);
        } else {
            let urgent = observed(&known.status) != Some(assessment.generation);
            term.queue.want(assessment, urgent, Instant::now());
        }
    }

    /// The object as it is now, if it is the one that was assessed. If it is newer, the compile of it is on its way.
    fn known(&self, term: &Term, assessment: &Assessment) -> Option<Known> {
        let stored = self.shelf.known(&assessment.key)?;
        let written = term.written.get(&assessment.key);
        let status = match written {
            Some(written) if written.uid == stored.uid && written.revision > stored.revision => {
                written.status.clone()
            }
            Some(_) | None => stored.status,
        };
        let known = Known { status, ..stored };
        Some(known).filter(|known| known.uid == assessment.uid && known.generation == assessment.generation)
    }

    /// The next status to write, and what is there now. Between the assessment and now it may have become right.
    fn next(&self, term: &mut Term) -> Option<(Job, Value, Value)> {
        while let Some(job) = term.queue.next(Instant::now()) {
            if let Some(known) = self.known(term, &job.assessment) {
                let wanted = document(&job.assessment, &known.summary, &known.status, &timestamp());
                if known.status != wanted {
                    return Some((job, known.status, wanted));
                }
            }
            term.queue.nothing_to_write(&job);
        }
        None
    }

    fn written(&self, term: &mut Term, written: Written) {
        let Written { job, before, status, outcome } = written;
        let key = job.assessment.key.clone();
        let now = Instant::now();
        let error = match outcome {
            Ok(revision) => {
                if let Some(known) = self.known(term, &job.assessment) {
                    self.tell_fall(&job.assessment, &before, &status);
                    term.written.insert(key, Known { revision, status, ..known });
                }
                term.queue.ended(job, Ended::Done, now);
                return;
            }
            Err(error) => error,
        };
        let ended = match &error {
            WriteError::Gone => Ended::Done,
            WriteError::Busy { retry_after } => Ended::Busy(retry_after.unwrap_or(TICK)),
            WriteError::Refused(_) => Ended::Refused,
            WriteError::Conflict(_) | WriteError::Failed(_) => Ended::Failed,
        };
        tracing::warn!(object = %key, %error, waiting = term.queue.len(), "a status was not written");
        term.queue.ended(job, ended, now);
    }

    fn tell_fall(&self, assessment: &Assessment, before: &Value, after: &Value) {
        for (kind, reason) in [(ACCEPTED, Reason::NotAccepted), (RESOLVED_REFS, Reason::RefsNotResolved)] {
            let text = |status: &Value, field: &str| {
                condition_of(status, kind)
                    .and_then(|one| one.get(field))
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            };
            let (old, new) = (text(before, "message"), text(after, "message").unwrap_or_default());
            if text(after, "status").as_deref() == Some("False") && old.as_ref() != Some(&new) {
                let (key, uid) = (assessment.key.clone(), assessment.uid.clone());
                // Events are for people; one too many is let go.
                drop(self.fell.try_send(Fell { key, uid, reason, message: new }));
            }
        }
    }

    /// What nobody tells of: time that passes.
    fn tick(&self, term: &mut Term) {
        let now = Instant::now();
        if now >= term.unknown_until && now < term.unknown_until + TICK.saturating_mul(2) {
            self.fleet.all_stale();
        }
        term.written.retain(|key, written| {
            let stored = self.shelf.known(key);
            stored.is_some_and(|stored| stored.uid == written.uid && stored.revision < written.revision)
        });
    }
}

async fn write(api: &impl StatusApi, job: Job, (before, status): (Value, Value)) -> Written {
    let Assessment { key, uid, .. } = &job.assessment;
    let outcome = match timeout(WRITE, api.apply(key, uid, &status)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(WriteError::Failed("the API server did not answer in time".to_owned())),
    };
    Written { job, before, status, outcome }
}

/// Now, as a condition's time: whole seconds.
fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
