//! Which replica writes status: the holder of the Lease `bailiwick-operator`.
//!
//! ```text
//!  follower --(nobody holds it | not renewed for its duration, as seen by our own clock)--> leader
//!  leader   --(somebody else holds it | not renewed for [`RENEW_DEADLINE`] | drain)-------> follower
//! ```
//!
//! INVARIANT: never two leaders. Each write carries the resourceVersion that was read; a leader counts its time from
//! before the request that renewed, and gives up well before anybody else may believe that it expired. A holder's
//! `renewTime` is never compared with our clock: what counts is when we saw it change.

mod api;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_runtime::drain;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use api::KubeLease;

/// How long a lease holds after it was last renewed.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long leads no more.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between two attempts.
const RETRY: Duration = Duration::from_secs(2);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(4);
/// What a holder may say of its own duration, so that a broken record does not block everybody for long.
const LONGEST: Duration = Duration::from_secs(60);

/// Who leads, and for how long we may say so of ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// The holder of the lease: the name of a pod. `None` while nobody holds it, or nothing is known yet.
    pub(crate) holder: Option<Arc<str>>,
    /// Until when we lead, if nothing else happens.
    until: Option<Instant>,
}

impl Leadership {
    /// True while this process leads. Ask again before each write: time passes, also for a process that was stopped.
    pub(crate) fn leads(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// Completes when this leadership ends by itself, if it is not renewed.
    pub(crate) async fn expired(&self) {
        if let Some(until) = self.until {
            tokio::time::sleep_until(until).await;
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(holder: Option<&str>, leads_for: Option<Duration>) -> Self {
        Self { holder: holder.map(Arc::from), until: leads_for.map(|time| Instant::now() + time) }
    }
}

/// The lease as it stands in the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Empty if nobody holds it.
    pub(crate) holder: String,
    pub(crate) duration: Duration,
    pub(crate) acquired: jiff::Timestamp,
    pub(crate) renewed: jiff::Timestamp,
    pub(crate) transitions: i32,
    /// Empty in a record that is not there yet.
    pub(crate) resource_version: String,
}

/// Why a request about the lease came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    #[error("it does not exist")]
    NotFound,
    #[error("somebody else wrote it first")]
    Conflict,
    #[error("the API server did not answer in time")]
    TimedOut,
    #[error("{0}")]
    Failed(String),
}

/// The three requests that an election needs.
pub(crate) trait LeaseApi: Send + Sync {
    fn get(&self) -> impl Future<Output = Result<Record, LeaseError>> + Send;
    /// Fails with [`LeaseError::Conflict`] if it exists.
    fn create(&self, record: Record) -> impl Future<Output = Result<Record, LeaseError>> + Send;
    /// Fails with [`LeaseError::Conflict`] if its resourceVersion is not the one given.
    fn replace(&self, record: Record) -> impl Future<Output = Result<Record, LeaseError>> + Send;
}

/// One candidate.
#[derive(Debug)]
pub(crate) struct Elector<A> {
    api: A,
    /// Names this process: its pod.
    me: Arc<str>,
    /// The record as it was last seen, and since when it has been the same.
    seen: Option<(Record, Instant)>,
    /// Until when we lead.
    until: Option<Instant>,
    leadership: watch::Sender<Leadership>,
}

impl<A: LeaseApi> Elector<A> {
    pub(crate) fn new(api: A, me: &str) -> (Self, watch::Receiver<Leadership>) {
        let (leadership, receiver) = watch::channel(Leadership { holder: None, until: None });
        (Self { api, me: Arc::from(me), seen: None, until: None, leadership }, receiver)
    }

    /// Takes part until the drain begins, then gives the lease back.
    pub(crate) async fn run(mut self, drain: drain::Watch) {
        loop {
            tokio::select! {
                biased;
                () = drain.signaled() => break,
                () = self.step() => {}
            }
            let pause = self.pause();
            tokio::select! {
                biased;
                () = drain.signaled() => break,
                () = sleep(pause) => {}
            }
        }
        self.release().await;
    }

    /// One attempt to acquire or to renew.
    async fn step(&mut self) {
        let started = Instant::now();
        // INVARIANT: a request that hangs does not keep a leader in office.
        let limit = self.until.map_or(REQUEST, |until| REQUEST.min(until.saturating_duration_since(started)));
        let outcome = match timeout(limit, self.acquire_or_renew(started)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(LeaseError::TimedOut),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, leads = self.until.is_some(), "the lease was neither acquired nor renewed");
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            tracing::error!("the lease could not be renewed in time: this replica leads no more");
            self.until = None;
        }
        self.tell();
    }

    async fn acquire_or_renew(&mut self, started: Instant) -> Result<(), LeaseError> {
        // While we lead, what we wrote last is what is there, unless the answer is a conflict.
        let renewing = self.until.and_then(|_| self.seen.as_ref().map(|(record, _)| record.clone()));
        if let Some(record) = renewing {
            let renewed = Record { renewed: jiff::Timestamp::now(), ..record };
            match self.api.replace(renewed).await {
                Ok(written) => {
                    self.hold(written, started);
                    return Ok(());
                }
                Err(LeaseError::Conflict | LeaseError::NotFound) => {}
                Err(error @ (LeaseError::TimedOut | LeaseError::Failed(_))) => return Err(error),
            }
        }
        let found = match self.api.get().await {
            Ok(found) => found,
            Err(LeaseError::NotFound) => {
                let written = self.api.create(self.taken(None)).await?;
                self.hold(written, started);
                return Ok(());
            }
            Err(error @ (LeaseError::Conflict | LeaseError::TimedOut | LeaseError::Failed(_))) => {
                return Err(error);
            }
        };
        self.see(found.clone());
        if !self.may_take(&found) {
            return Ok(());
        }
        let written = self.api.replace(self.taken(Some(found))).await?;
        self.hold(written, started);
        Ok(())
    }

    /// Remembers a record, and since when it has been like that.
    fn see(&mut self, found: Record) {
        if found.holder != *self.me && self.until.take().is_some() {
            tracing::warn!(
                holder = found.holder,
                "the lease is held by another replica: this one leads no more"
            );
        }
        if self.seen.as_ref().is_none_or(|(known, _)| *known != found) {
            self.seen = Some((found, Instant::now()));
        }
    }

    /// True if nobody holds it, we do, or whoever does has not renewed it for its duration.
    fn may_take(&self, found: &Record) -> bool {
        found.holder.is_empty()
            || found.holder == *self.me
            || self.expires().is_some_and(|end| Instant::now() >= end)
    }

    /// When what was last seen expires.
    fn expires(&self) -> Option<Instant> {
        let (record, since) = self.seen.as_ref()?;
        // A second at least: what is written by a clock that stands still must still be seen to change.
        Some(*since + record.duration.clamp(Duration::from_secs(1), LONGEST))
    }

    fn taken(&self, found: Option<Record>) -> Record {
        let now = jiff::Timestamp::now();
        let mine = found.as_ref().is_some_and(|found| found.holder == *self.me);
        let transitions = found.as_ref().map_or(0, |found| found.transitions);
        Record {
            holder: self.me.to_string(),
            duration: DURATION,
            acquired: found.as_ref().filter(|_| mine).map_or(now, |found| found.acquired),
            renewed: now,
            transitions: if mine || found.is_none() { transitions } else { transitions.saturating_add(1) },
            resource_version: found.map(|found| found.resource_version).unwrap_or_default(),
        }
    }

    /// We hold it, counted from before the request.
    fn hold(&mut self, written: Record, started: Instant) {
        if self.until.is_none() {
            tracing::info!(lease_transitions = written.transitions, "this replica leads");
        }
        self.seen = Some((written, Instant::now()));
        self.until = Some(started + RENEW_DEADLINE);
    }

    fn tell(&self) {
        let holder =
            self.seen.as_ref().map(|(record, _)| record.holder.as_str()).filter(|name| !name.is_empty());
        let now = Leadership { holder: holder.map(Arc::from), until: self.until };
        self.leadership.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }

    /// A leader renews, a follower looks: at regular times, and at the moment when what it saw expires.
    fn pause(&self) -> Duration {
        if self.until.is_some() {
            return RETRY;
        }
        // Followers that start together do not stay together.
        let pause = RETRY.mul_f64(rand::random_range(0.8..=1.2));
        let left = self.expires().map(|end| end.saturating_duration_since(Instant::now()));
        left.filter(|left| !left.is_zero()).map_or(pause, |left| pause.min(left))
    }

    /// Lets the next one begin at once. Whoever writes in our name has been told before.
    async fn release(mut self) {
        let led = self.until.take().is_some();
        let record = self.seen.take().map(|(record, _)| record);
        self.leadership.send_replace(Leadership { holder: None, until: None });
        let Some(record) = record.filter(|record| led && record.holder == *self.me) else { return };
        let now = jiff::Timestamp::now();
        let released = Record {
            holder: String::new(),
            duration: Duration::from_secs(1),
            acquired: now,
            renewed: now,
            ..record
        };
        match timeout(RETRY, self.api.replace(released)).await {
            Ok(Ok(_)) => tracing::info!("the lease is given back"),
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not given back; it expires"),
            Err(_) => tracing::warn!("the lease was not given back in time; it expires"),
        }
    }
}
