//! Every sidecar of the mesh as far as this replica knows, its own and those of other replicas, and what follows for
//! the status of objects.
//!
//! ```text
//!  pipeline --compiled--> objects, histories of workloads --.
//!  own streams --happened--> connections -------------------+--assess--> what each status is to say --> writer
//!  other replicas --told--> connections --------------------'
//! ```
//!
//! INVARIANT: an object is `Enforced` only while every running pod that it reaches has acknowledged a snapshot that was
//! compiled from this version of it, and of all that it depends on, or a later one (docs/adr/0010).

mod assess;
mod entered;
mod history;
mod pods;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bailiwick_compile::ObjectKey;
use bailiwick_policy::WorkloadKey;
use tokio::sync::watch;
use tokio::time::Instant;

#[cfg(test)]
pub(crate) use assess::Enforced;
pub(crate) use assess::{Answer, Assessment};
use entered::Entered;
use history::History;
pub(crate) use history::Progress;
pub(crate) use pods::{Cluster, Injected, PodPlace};
pub(crate) use told::Told;

use crate::publish::Published;
use crate::status::{Happened, ObjectRecord, Observer, SidecarFacts, SidecarKey};

/// A sidecar whose stream ended keeps what it enforces, and comes again within seconds. After this long its last word
/// counts no more.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// Sidecars that were turned away, and are remembered.
const MOST_TOO_OLD: usize = 1_000;

/// What is known of the whole fleet, behind one lock that is held for moments.
#[derive(Debug)]
pub(crate) struct Fleet {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Counts the compiles of this process.
    compile: u64,
    histories: BTreeMap<WorkloadKey, History>,
    objects: BTreeMap<ObjectKey, Entered>,
    sidecars: BTreeMap<SidecarKey, BTreeMap<Origin, Connection>>,
    too_old: BTreeMap<SidecarKey, String>,
    /// Counts changes of our own sidecars, for those who are told of them.
    tick: u64,
    stale: Stale,
}

/// Which statuses may have to be assessed again.
#[derive(Debug, Default)]
struct Stale {
    all: bool,
    workloads: BTreeSet<WorkloadKey>,
}

/// Whose stream a sidecar is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Here,
    /// On that of another replica, by the name of its pod.
    Replica(Arc<str>),
}

/// A sidecar's stream, open or ended a while ago.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) session: u64,
    pub(crate) facts: SidecarFacts,
    pub(crate) connected: SystemTime,
    pub(crate) ended: Option<Instant>,
    pub(crate) progress: Progress,
    pub(crate) acknowledged_at: Option<SystemTime>,
    /// Why the last snapshot was refused, while it stands.
    pub(crate) refused: Option<String>,
    /// Whether the bundle is believed, and why not.
    pub(crate) bundle: Option<Result<(), String>>,
    /// When it changed last, in ticks.
    changed: u64,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Wakes whenever something may follow.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Everything is assessed at the next look.
    pub(crate) fn all_stale(&self) {
        self.change(|inner| inner.stale.all = true);
    }

    /// What every status is to say that may have changed since the last look.
    pub(crate) fn assess_stale(&self, cluster: &impl Cluster, unknown_until: Instant) -> Vec<Assessment> {
        let mut inner = self.lock();
        let stale = std::mem::take(&mut inner.stale);
        let concerned = |entered: &Entered| {
            stale.all || stale.workloads.iter().any(|workload| entered.since(workload).is_some())
        };
        let keys: Vec<ObjectKey> = inner
            .objects
            .iter()
            .filter(|(_, entered)| concerned(entered))
            .map(|(key, _)| key.clone())
            .collect();
        inner.assess_all(&keys, cluster, unknown_until)
    }

    /// What every status is to say.
    pub(crate) fn assess(&self, cluster: &impl Cluster, unknown_until: Instant) -> Vec<Assessment> {
        let inner = self.lock();
        let keys: Vec<ObjectKey> = inner.objects.keys().cloned().collect();
        inner.assess_all(&keys, cluster, unknown_until)
    }

    /// Every sidecar by its newest stream, and whether it has acknowledged what it is to enforce.
    pub(crate) fn sidecars(&self) -> Vec<(SidecarKey, Origin, Connection, bool)> {
        let inner = self.lock();
        let newest = |(key, connections): (&SidecarKey, &BTreeMap<Origin, Connection>)| {
            let (origin, connection) = newest(connections)?;
            let current = inner.histories.get(&key.workload).and_then(History::current);
            let is_current = current.is_some() && connection.progress.acknowledged == current;
            Some((key.clone(), origin.clone(), connection.clone(), is_current))
        };
        inner.sidecars.iter().filter_map(newest).collect()
    }

    /// Forgets streams that ended a while ago.
    pub(crate) fn sweep(&self) {
        let mut inner = self.lock();
        let mut gone = BTreeSet::new();
        inner.sidecars.retain(|key, connections| {
            let before = connections.len();
            connections.retain(|_, connection| connection.ended.is_none_or(|ended| ended.elapsed() < GRACE));
            if connections.len() < before {
                gone.insert(key.workload.clone());
            }
            !connections.is_empty()
        });
        if !gone.is_empty() {
            inner.stale.workloads.extend(gone);
            drop(inner);
            self.tell();
        }
    }

    fn change<T>(&self, with: impl FnOnce(&mut Inner) -> T) -> T {
        let done = with(&mut self.lock());
        self.tell();
        done
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Fleet {
    fn compiled(&self, objects: &[ObjectRecord], workloads: &BTreeMap<WorkloadKey, Arc<Published>>) {
        self.change(|inner| inner.compiled(objects, workloads));
    }

    fn sidecar(&self, key: &SidecarKey, session: u64, happened: Happened<'_>) {
        self.change(|inner| inner.happened(key, session, happened));
    }
}

impl Inner {
    fn compiled(&mut self, objects: &[ObjectRecord], workloads: &BTreeMap<WorkloadKey, Arc<Published>>) {
        // First what is known of the time before.
        for (key, connections) in &mut self.sidecars {
            if let Some(history) = self.histories.get(&key.workload) {
                connections.values_mut().for_each(|one| one.progress.fold(history, self.compile));
            }
        }
        self.compile += 1;
        self.histories.retain(|workload, _| workloads.contains_key(workload));
        for (workload, published) in workloads {
            let history = self.histories.entry(workload.clone()).or_default();
            history.publish(self.compile, published.encoded.id());
        }
        entered::take_over(&mut self.objects, objects, self.compile);
        self.too_old.retain(|key, _| workloads.contains_key(&key.workload));
        self.stale.all = true;
    }

    /// Something happened on one of our own streams.
    fn happened(&mut self, key: &SidecarKey, session: u64, happened: Happened<'_>) {
        self.tick += 1;
        let tick = self.tick;
        match happened {
            Happened::Connected(facts) => self.connected(key, session, facts),
            Happened::TooOld(version) => {
                if self.too_old.len() < MOST_TOO_OLD {
                    self.too_old.insert(key.clone(), version.to_owned());
                }
            }
            Happened::Offered { .. }
            | Happened::Acknowledged { .. }
            | Happened::Refused { .. }
            | Happened::Bundle(_)
            | Happened::Disconnected => {
                let (history, compile) = (self.histories.get(&key.workload), self.compile);
                let connection = self.sidecars.get_mut(key).and_then(|all| all.get_mut(&Origin::Here));
                let Some(connection) = connection.filter(|connection| connection.session == session) else {
                    return;
                };
                if let Some(history) = history {
                    connection.progress.fold(history, compile);
                }
                connection.changed = tick;
                connection.happened(happened);
            }
        }
        self.stale.workloads.insert(key.workload.clone());
    }

    fn connected(&mut self, key: &SidecarKey, session: u64, facts: &SidecarFacts) {
        self.too_old.remove(key);
        let connection = Connection {
            session,
            facts: facts.clone(),
            connected: SystemTime::now(),
            ended: None,
            progress: self.progress_of(key, Progress::starting_at(facts.held)),
            acknowledged_at: None,
            refused: None,
            bundle: None,
            changed: self.tick,
        };
        self.sidecars.entry(key.clone()).or_default().insert(Origin::Here, connection);
    }

    /// A sidecar that comes again with what it had has lost nothing, whoever it was connected to.
    fn progress_of(&self, key: &SidecarKey, told: Progress) -> Progress {
        let known = self.connection(key).filter(|known| known.progress.acknowledged == told.acknowledged);
        match known.filter(|_| told.acknowledged.is_some()) {
            Some(known) => {
                let mut progress = known.progress.clone();
                if let Some(history) = self.histories.get(&key.workload) {
                    progress.fold(history, self.compile);
                }
                progress.replace(told);
                progress
            }
            None => told,
        }
    }

    fn connection(&self, key: &SidecarKey) -> Option<&Connection> {
        self.sidecars.get(key).and_then(newest).map(|(_, connection)| connection)
    }

    fn assess_all(
        &self,
        keys: &[ObjectKey],
        cluster: &impl Cluster,
        unknown_until: Instant,
    ) -> Vec<Assessment> {
        if keys.is_empty() {
            return Vec::new();
        }
        let audit_only =
            entered::audit_only(&self.objects, |namespace| cluster.authorization_audited(namespace));
        let times = (Instant::now(), unknown_until);
        let one = |key: &ObjectKey| self.assess(key, (cluster, audit_only.contains(key)), times);
        keys.iter().filter_map(one).collect()
    }
}

impl Connection {
    fn happened(&mut self, happened: Happened<'_>) {
        match happened {
            Happened::Offered { id, version } => self.progress.offered(id, version),
            Happened::Acknowledged { id, version } => {
                self.progress.acknowledge(id, version);
                self.acknowledged_at = Some(SystemTime::now());
                self.refused = None;
            }
            Happened::Refused { version, reason } => {
                self.progress.refuse(version);
                self.refused = Some(reason.to_owned());
            }
            Happened::Bundle(outcome) => self.bundle = Some(outcome.clone()),
            Happened::Disconnected => self.ended = Some(Instant::now()),
            Happened::Connected(_) | Happened::TooOld(_) => {}
        }
    }
}

/// The stream that speaks for a sidecar: an open one before an ended one, then the one that began last.
fn newest(connections: &BTreeMap<Origin, Connection>) -> Option<(&Origin, &Connection)> {
    connections.iter().max_by_key(|(_, connection)| (connection.ended.is_none(), connection.connected))
}
