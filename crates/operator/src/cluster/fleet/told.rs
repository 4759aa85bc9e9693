//! What replicas tell each other of their sidecars: the whole of what is known of a sidecar, whenever it changed. So a
//! message that was overtaken by a later one need not be sent, and telling one twice changes nothing.

use std::sync::Arc;
use std::time::SystemTime;

use bailiwick_policy::SnapshotId;
use tokio::time::Instant;

use super::{Connection, Fleet, Inner, Origin, Progress};
use crate::status::{SidecarFacts, SidecarKey};

/// One sidecar, as the replica that serves it tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) key: SidecarKey,
    pub(crate) session: u64,
    pub(crate) facts: SidecarFacts,
    pub(crate) connected: SystemTime,
    pub(crate) ended: bool,
    pub(crate) acknowledged: Option<SnapshotId>,
    pub(crate) acknowledged_at: Option<SystemTime>,
    /// What was sent since, with its version.
    pub(crate) outstanding: Vec<(u64, SnapshotId)>,
    pub(crate) refused: Option<String>,
    pub(crate) bundle: Option<Result<(), String>>,
}

impl Fleet {
    /// Our own sidecars that changed after a tick, and the tick that this is up to. 0 gives all.
    pub(crate) fn own_since(&self, after: u64) -> (u64, Vec<Told>) {
        let inner = self.lock();
        let mut told = Vec::new();
        for (key, connections) in &inner.sidecars {
            let own = connections.get(&Origin::Here);
            if let Some(connection) = own.filter(|connection| connection.changed > after || after == 0) {
                told.push(Told::of(key, connection));
            }
        }
        (inner.tick, told)
    }

    /// A replica begins to tell of its sidecars, all of them: what it told before counts as ended until told again.
    pub(crate) fn replica_begins(&self, replica: &Arc<str>) {
        self.change(|inner| inner.ended(replica));
    }

    /// A replica is heard no more. Its sidecars go to others within seconds; until then their last word counts.
    pub(crate) fn replica_gone(&self, replica: &Arc<str>) {
        self.change(|inner| inner.ended(replica));
    }

    /// A replica tells of a sidecar.
    pub(crate) fn told(&self, replica: &Arc<str>, told: Told) {
        self.change(|inner| inner.told(Origin::Replica(Arc::clone(replica)), told));
    }
}

impl Told {
    fn of(key: &SidecarKey, connection: &Connection) -> Self {
        Self {
            key: key.clone(),
            session: connection.session,
            facts: connection.facts.clone(),
            connected: connection.connected,
            ended: connection.ended.is_some(),
            acknowledged: connection.progress.acknowledged,
            acknowledged_at: connection.acknowledged_at,
            outstanding: connection.progress.outstanding.clone(),
            refused: connection.refused.clone(),
            bundle: connection.bundle.clone(),
        }
    }
}

impl Inner {
    fn ended(&mut self, replica: &Arc<str>) {
        let origin = Origin::Replica(Arc::clone(replica));
        for (key, connections) in &mut self.sidecars {
            if let Some(connection) =
                connections.get_mut(&origin).filter(|connection| connection.ended.is_none())
            {
                connection.ended = Some(Instant::now());
                self.stale.workloads.insert(key.workload.clone());
            }
        }
    }

    fn told(&mut self, origin: Origin, told: Told) {
        let Told {
            key,
            session,
            facts,
            connected,
            ended,
            acknowledged,
            acknowledged_at,
            outstanding,
            refused,
            bundle,
        } = told;
        let told = Progress::told(acknowledged, outstanding);
        let known = self.sidecars.get(&key).and_then(|all| all.get(&origin));
        let same_stream = known.filter(|known| known.session == session && known.connected == connected);
        let progress = match same_stream {
            Some(known) => {
                let mut progress = known.progress.clone();
                if let Some(history) = self.histories.get(&key.workload) {
                    progress.fold(history, self.compile);
                }
                progress.replace(told);
                progress
            }
            None => self.progress_of(&key, told),
        };
        let ended_before = same_stream.and_then(|known| known.ended);
        let ended = ended.then(|| ended_before.unwrap_or_else(Instant::now));
        let connection = Connection {
            session,
            facts,
            connected,
            ended,
            progress,
            acknowledged_at,
            refused,
            bundle,
            changed: 0,
        };
        if ended.is_none() {
            self.too_old.remove(&key);
        }
        self.stale.workloads.insert(key.workload.clone());
        self.sidecars.entry(key).or_default().insert(origin, connection);
    }
}
