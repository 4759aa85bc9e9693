//! The configuration that is enforced, and the threads that enforce it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use bailiwick_identity::{Port, TrustConfig};
use bailiwick_policy::{PortProtocol, Snapshot, SnapshotId};
use bailiwick_wire::Position;
use tokio::sync::watch;

/// What is enforced now.
#[derive(Debug)]
pub struct Active {
    /// What decides calls.
    pub snapshot: Arc<Snapshot>,
    /// What is believed, by port.
    pub trust: Arc<TrustConfig>,
    /// The protocols of the workload's ports; a port that is not listed is undeclared.
    pub protocols: Arc<BTreeMap<Port, PortProtocol>>,
    /// Where it stands in time.
    pub position: Position,
    /// Its id.
    pub id: SnapshotId,
    /// When it came.
    pub received_at: SystemTime,
    generation: u64,
}

impl Active {
    /// Counts the configurations of this process, from 1.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }
}

/// What is to be enforced next.
#[derive(Debug)]
pub struct Candidate {
    /// What decides calls.
    pub snapshot: Snapshot,
    /// What is believed, by port.
    pub trust: TrustConfig,
    /// The protocols of the workload's ports.
    pub protocols: BTreeMap<Port, PortProtocol>,
    /// Where it stands in time.
    pub position: Position,
    /// Its id.
    pub id: SnapshotId,
}

/// What an offered snapshot's id and position are to the one that is enforced.
#[derive(Debug)]
pub enum Advanced {
    /// The same content at the same position or a later one, which is the held one now.
    Moved(Arc<Active>),
    /// The same content at an older position; the held one stays.
    Behind(Arc<Active>),
    /// Another snapshot is enforced, or none.
    Other,
}

/// The snapshot is older than the one that is enforced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot is older than the one that is enforced: epoch {} version {}, held epoch {} version {}", .found.epoch, .found.version, .held.epoch, .held.version)]
pub struct OlderSnapshot {
    found: Box<Position>,
    held: Box<Position>,
}

/// The configuration that is enforced, swapped as a whole. Empty until the first snapshot: then every call is refused.
#[derive(Debug, Default)]
pub struct ConfigStore {
    current: ArcSwapOption<Active>,
    changed: watch::Sender<u64>,
    appliers: Mutex<Vec<watch::Receiver<u64>>>,
    /// Held while replacing, so that comparing positions and storing are one step.
    writing: Mutex<()>,
    freshness: Mutex<Freshness>,
}

#[derive(Debug, Default)]
enum Freshness {
    #[default]
    Unknown,
    Newest,
    NewestUntil(SystemTime),
}

impl ConfigStore {
    /// What is enforced now; `None` before the first snapshot.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Active>> {
        self.current.load_full()
    }

    /// Tells the generation of every change; 0 means none yet.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Registers a thread that decides calls. From now on a snapshot counts as enforced only when this one confirmed
    /// it; dropping the applier takes it out.
    #[must_use]
    pub fn register(self: &Arc<Self>) -> Applier {
        let (confirmed, receiver) = watch::channel(0);
        self.appliers.lock().unwrap_or_else(PoisonError::into_inner).push(receiver);
        let mut changed = self.changed.subscribe();
        changed.mark_changed();
        Applier { store: Arc::clone(self), changed, confirmed }
    }

    /// Enforces a snapshot: every decision from now on uses it.
    ///
    /// INVARIANT: snapshots only move forward, and are replaced as a whole.
    ///
    /// # Errors
    /// When it is older than the one that is enforced, which stays.
    pub fn publish(&self, candidate: Candidate) -> Result<Arc<Active>, OlderSnapshot> {
        let guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(&candidate.position)?;
        let generation = self.current.load().as_ref().map_or(0, |active| active.generation) + 1;
        let active = Arc::new(Active {
            snapshot: Arc::new(candidate.snapshot),
            trust: Arc::new(candidate.trust),
            protocols: Arc::new(candidate.protocols),
            position: candidate.position,
            id: candidate.id,
            received_at: SystemTime::now(),
            generation,
        });
        self.current.store(Some(Arc::clone(&active)));
        drop(guard);
        self.changed.send_replace(generation);
        Ok(active)
    }

    /// Moves the position of the enforced snapshot, if it is the one with this id: same content, later in time. Nothing
    /// is decided again.
    ///
    /// INVARIANT: the position only moves forward. A replica that lags may say the same as one that does not; then it
    /// asks for nothing that was revoked, and refusing it would only make the workload look unenforced.
    pub fn advance(&self, id: SnapshotId, position: &Position) -> Advanced {
        let guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = self.current().filter(|active| active.id == id) else { return Advanced::Other };
        if self.check(position).is_err() {
            return Advanced::Behind(held);
        }
        let active = Arc::new(Active {
            snapshot: Arc::clone(&held.snapshot),
            trust: Arc::clone(&held.trust),
            protocols: Arc::clone(&held.protocols),
            position: position.clone(),
            id,
            received_at: held.received_at,
            generation: held.generation,
        });
        self.current.store(Some(Arc::clone(&active)));
        drop(guard);
        Advanced::Moved(active)
    }

    /// Refuses a position that is older than the held one.
    pub(crate) fn check(&self, position: &Position) -> Result<(), OlderSnapshot> {
        match self.current.load().as_ref() {
            Some(held) if position.is_older_than(&held.position) => Err(OlderSnapshot {
                found: Box::new(position.clone()),
                held: Box::new(held.position.clone()),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits until every registered thread decides by this generation or a later one.
    pub async fn applied(&self, generation: u64) {
        let receivers = {
            let mut appliers = self.appliers.lock().unwrap_or_else(PoisonError::into_inner);
            appliers.retain(|receiver| receiver.has_changed().is_ok());
            appliers.clone()
        };
        for mut receiver in receivers {
            // A thread that went away meanwhile decides nothing any more.
            drop(receiver.wait_for(|confirmed| *confirmed >= generation).await);
        }
    }

    /// Says whether the operator is heard, and what it sent last is what is enforced.
    pub(crate) fn set_current(&self, newest: bool) {
        let mut freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        *freshness = match (newest, &*freshness) {
            (true, _) => Freshness::Newest,
            (false, Freshness::Newest) => Freshness::NewestUntil(SystemTime::now()),
            (false, Freshness::Unknown) => Freshness::Unknown,
            (false, Freshness::NewestUntil(since)) => Freshness::NewestUntil(*since),
        };
    }

    /// How long ago the enforced snapshot was last known to be the newest: zero while the operator is heard and nothing
    /// newer was refused, then growing. `None` before the first snapshot. For the metric `snapshot_age_seconds`.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let active = self.current.load_full()?;
        let since = match *self.freshness.lock().unwrap_or_else(PoisonError::into_inner) {
            Freshness::Newest => return Some(Duration::ZERO),
            Freshness::NewestUntil(since) => since,
            Freshness::Unknown => active.received_at,
        };
        Some(SystemTime::now().duration_since(since).unwrap_or_default())
    }
}

/// One thread's part in a change: it takes the new configuration, decides its calls in flight again, and confirms.
#[derive(Debug)]
pub struct Applier {
    store: Arc<ConfigStore>,
    changed: watch::Receiver<u64>,
    confirmed: watch::Sender<u64>,
}

impl Applier {
    /// The next configuration to apply: at once if there is one that this thread has not seen. Never returns once the
    /// store is gone.
    pub async fn next(&mut self) -> Arc<Active> {
        loop {
            if self.changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(active) = self.store.current() {
                return active;
            }
        }
    }

    /// Confirms that every call of this thread, new or in flight, is decided by this configuration.
    pub fn confirm(&self, active: &Active) {
        self.confirmed.send_if_modified(|confirmed| {
            let newer = active.generation > *confirmed;
            *confirmed = (*confirmed).max(active.generation);
            newer
        });
    }
}

#[cfg(test)]
mod tests;
