//! What is known of objects, workloads and sidecars right now. In a cluster it becomes the objects' `status`; here it
//! is read at the admin server's `GET /config`.

mod observer;
mod report;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use bailiwick_compile::ObjectKey;
use bailiwick_identity::SpiffeId;
use bailiwick_policy::{SnapshotId, WorkloadKey};
use tokio_util::sync::CancellationToken;

pub(crate) use observer::{Happened, Observer};

use crate::metrics::OperatorMetrics;
use crate::publish::{Mesh, Published};
use crate::state::unix_millis;

/// How many publications are remembered.
const REMEMBERED: usize = 64;
/// Sidecars of one workload.
const MOST_SIDECARS: usize = 10_000;

/// One sidecar: the workload, and its name among those of the workload. It outlives a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SidecarKey {
    pub(crate) workload: WorkloadKey,
    pub(crate) instance: String,
}

/// What a sidecar said at its start, and what its certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SidecarFacts {
    pub(crate) version: String,
    pub(crate) schema_level: u32,
    pub(crate) identity: SpiffeId,
    /// The certificate's, lower-case hexadecimal.
    pub(crate) certificate_serial: String,
    /// Seconds since the Unix epoch.
    pub(crate) certificate_not_after: i64,
    /// The snapshot that it enforced when it came.
    pub(crate) held: Option<SnapshotId>,
}

impl SidecarFacts {
    /// An identity's serial numbers are unique: one authority gives them.
    fn same_certificate(&self, other: &Self) -> bool {
        self.identity == other.identity && self.certificate_serial == other.certificate_serial
    }
}

/// Why a sidecar's stream is not counted, and so is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectRefusal {
    #[error("this instance is connected already, under another certificate")]
    InstanceTaken,
    #[error("this certificate is in use by another instance of the workload")]
    CertificateInUse,
    #[error("the workload has {MOST_SIDECARS} sidecars connected already")]
    TooMany,
}

/// What became of an object in the compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectRecord {
    pub(crate) key: ObjectKey,
    /// Tells an object from one of the same name before it; empty where the source has none.
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// `Accepted`.
    pub(crate) accepted: Verdict,
    /// `ResolvedRefs`.
    pub(crate) resolved: Verdict,
    /// True if the object takes no part in verdicts (`mode: Audit`).
    pub(crate) audit: bool,
    /// The workloads whose snapshot the object is part of, by itself or through objects that depend on it.
    pub(crate) workloads: BTreeSet<WorkloadKey>,
    /// The objects whose content it depends on.
    pub(crate) depends_on: Vec<ObjectKey>,
}

/// A condition's value, reason and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Fails {
        /// One word, for scripts.
        reason: String,
        /// A sentence, for people.
        message: String,
    },
}

/// Everything that is known, behind one lock that is held for moments.
#[derive(Debug)]
pub(crate) struct StatusBoard {
    inner: Mutex<Inner>,
    observer: OnceLock<Arc<dyn Observer>>,
    metrics: OperatorMetrics,
}

#[derive(Debug, Default)]
struct Inner {
    source: BTreeMap<&'static str, String>,
    diagnostics: Vec<String>,
    mesh: Option<Mesh>,
    objects: Vec<ObjectRecord>,
    workloads: BTreeMap<WorkloadKey, Arc<Published>>,
    sidecars: BTreeMap<SidecarKey, Sidecar>,
    publications: VecDeque<PublicationRecord>,
}

#[derive(Debug)]
struct Sidecar {
    session: u64,
    replaced: CancellationToken,
    facts: SidecarFacts,
    connected: SystemTime,
    acknowledged: Option<Acknowledged>,
    refused: Option<Refused>,
    bundle: Option<Result<(), String>>,
}

#[derive(Debug, Clone)]
struct Acknowledged {
    id: SnapshotId,
    version: u64,
    at: SystemTime,
}

#[derive(Debug, Clone)]
struct Refused {
    version: u64,
    reason: String,
}

#[derive(Debug)]
struct PublicationRecord {
    version: u64,
    at: SystemTime,
    started: Instant,
    changed: usize,
    /// Connected sidecars of the workloads that changed.
    of: usize,
    waiting: BTreeSet<SidecarKey>,
    acknowledgements: Vec<(SidecarKey, f64)>,
}

/// What a compile came to.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) mesh: Mesh,
    pub(crate) objects: Vec<ObjectRecord>,
    pub(crate) workloads: BTreeMap<WorkloadKey, Arc<Published>>,
    pub(crate) diagnostics: Vec<String>,
}

impl StatusBoard {
    pub(crate) fn new(metrics: OperatorMetrics) -> Self {
        Self { inner: Mutex::default(), observer: OnceLock::new(), metrics }
    }

    /// Names the one who follows from now on; the first one stays.
    #[cfg(feature = "cluster")]
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) {
        if self.observer.set(observer).is_err() {
            tracing::error!("the status has an observer already");
        }
    }

    /// Told while the board is locked, so that the order is the board's.
    fn tell(&self, key: &SidecarKey, session: u64, happened: Happened<'_>) {
        if let Some(observer) = self.observer.get() {
            observer.sidecar(key, session, happened);
        }
    }

    /// States, or with `None` withdraws, what is wrong with a part of the source.
    pub(crate) fn source_problem(&self, part: &'static str, problem: Option<String>) {
        let mut inner = self.lock();
        match problem {
            Some(problem) => drop(inner.source.insert(part, problem)),
            None => drop(inner.source.remove(part)),
        }
    }

    /// Takes over a compile. `version` is that of the publication that follows, if any snapshot changed; `changed`
    /// are the workloads that it concerns, and `started` is when the change was seen.
    pub(crate) fn compiled(
        &self,
        compiled: Compiled,
        version: Option<u64>,
        changed: &BTreeSet<WorkloadKey>,
        started: Instant,
    ) {
        let mut inner = self.lock();
        if let Some(observer) = self.observer.get() {
            observer.compiled(&compiled.objects, &compiled.workloads);
        }
        inner.mesh = Some(compiled.mesh);
        inner.objects = compiled.objects;
        inner.workloads = compiled.workloads;
        inner.diagnostics = compiled.diagnostics;
        let Some(version) = version else { return };
        let waiting: BTreeSet<_> =
            inner.sidecars.keys().filter(|key| changed.contains(&key.workload)).cloned().collect();
        if inner.publications.len() >= REMEMBERED {
            inner.publications.pop_front();
        }
        inner.publications.push_back(PublicationRecord {
            version,
            at: SystemTime::now(),
            started,
            changed: changed.len(),
            of: waiting.len(),
            waiting,
            acknowledgements: Vec::new(),
        });
    }

    /// A sidecar's stream begins. Another stream of the same sidecar (half-open, most likely) is told to end; the
    /// token is cancelled when that happens to this one.
    ///
    /// INVARIANT: a certificate stands for one sidecar of a workload, so that nobody raises `Enforced` or ends the
    /// stream of another.
    ///
    /// # Errors
    /// See [`ConnectRefusal`]. Nothing has changed then.
    pub(crate) fn connected(
        &self,
        key: SidecarKey,
        session: u64,
        facts: SidecarFacts,
    ) -> Result<CancellationToken, ConnectRefusal> {
        let mut inner = self.lock();
        inner.admits(&key, &facts)?;
        self.tell(&key, session, Happened::Connected(&facts));
        let replaced = CancellationToken::new();
        let sidecar = Sidecar {
            session,
            replaced: replaced.clone(),
            facts,
            connected: SystemTime::now(),
            acknowledged: None,
            refused: None,
            bundle: None,
        };
        if let Some(old) = inner.sidecars.insert(key, sidecar) {
            old.replaced.cancel();
        }
        self.count(&inner);
        Ok(replaced)
    }

    /// A sidecar's stream has ended.
    pub(crate) fn disconnected(&self, key: &SidecarKey, session: u64) {
        let mut inner = self.lock();
        if inner.sidecars.get(key).is_some_and(|sidecar| sidecar.session == session) {
            inner.sidecars.remove(key);
            self.tell(key, session, Happened::Disconnected);
        }
        self.count(&inner);
    }

    /// A sidecar was turned away, since it does not understand what it is to enforce.
    pub(crate) fn too_old(&self, key: &SidecarKey, version: &str) {
        let _ordered = self.lock();
        self.tell(key, 0, Happened::TooOld(version));
    }

    /// A snapshot is about to be sent to a sidecar.
    pub(crate) fn offered(&self, key: &SidecarKey, session: u64, id: SnapshotId, version: u64) {
        let _ordered = self.lock();
        self.tell(key, session, Happened::Offered { id, version });
    }

    fn count(&self, inner: &Inner) {
        self.metrics.sidecars_connected.set(i64::try_from(inner.sidecars.len()).unwrap_or(i64::MAX));
    }

    /// A sidecar enforces a snapshot that was offered to it.
    pub(crate) fn acknowledged(&self, key: &SidecarKey, session: u64, id: SnapshotId, version: u64) {
        let mut inner = self.lock();
        let Some(sidecar) = inner.sidecars.get_mut(key).filter(|sidecar| sidecar.session == session) else {
            return;
        };
        // Acknowledgements may overtake each other; one of an older snapshot says nothing new.
        if sidecar.acknowledged.as_ref().is_none_or(|last| last.version <= version) {
            sidecar.acknowledged = Some(Acknowledged { id, version, at: SystemTime::now() });
            self.tell(key, session, Happened::Acknowledged { id, version });
        }
        sidecar.refused.take_if(|refused| refused.version <= version);
        self.metrics.acknowledged.inc();
        for publication in inner.publications.iter_mut().filter(|publication| publication.version <= version)
        {
            if publication.waiting.remove(key) {
                let lag = publication.started.elapsed().as_secs_f64();
                publication.acknowledgements.push((key.clone(), lag));
                self.metrics.publication_lag_seconds.observe(lag);
            }
        }
    }

    /// A sidecar keeps its last good snapshot.
    pub(crate) fn refused(&self, key: &SidecarKey, session: u64, version: u64, reason: String) {
        let mut inner = self.lock();
        if let Some(sidecar) = inner.sidecars.get_mut(key).filter(|sidecar| sidecar.session == session) {
            self.tell(key, session, Happened::Refused { version, reason: &reason });
            sidecar.refused = Some(Refused { version, reason });
            self.metrics.not_acknowledged.inc();
        }
    }

    /// A sidecar believes the bundle, or says why it does not.
    pub(crate) fn bundle(&self, key: &SidecarKey, session: u64, outcome: Result<(), String>) {
        let mut inner = self.lock();
        if let Some(sidecar) = inner.sidecars.get_mut(key).filter(|sidecar| sidecar.session == session) {
            self.tell(key, session, Happened::Bundle(&outcome));
            sidecar.bundle = Some(outcome);
        }
    }

    /// Everything as one JSON object.
    pub(crate) fn to_json(&self) -> String {
        let report = report::Report::of(&self.lock());
        serde_json::to_string(&report).unwrap_or_else(|error| {
            tracing::error!(%error, "the status could not be written");
            "{}".to_owned()
        }) + "\n"
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn admits(&self, key: &SidecarKey, facts: &SidecarFacts) -> Result<(), ConnectRefusal> {
        if let Some(old) = self.sidecars.get(key) {
            // Under another identity it is what remains from before the workload changed its service account.
            let reconnect = old.facts.same_certificate(facts) || old.facts.identity != facts.identity;
            if !reconnect {
                return Err(ConnectRefusal::InstanceTaken);
            }
        }
        let mut others = 0_usize;
        for (_, other) in self.of_workload(&key.workload).filter(|(other, _)| *other != key) {
            if other.facts.same_certificate(facts) {
                return Err(ConnectRefusal::CertificateInUse);
            }
            others += 1;
        }
        if others >= MOST_SIDECARS { Err(ConnectRefusal::TooMany) } else { Ok(()) }
    }

    fn of_workload<'a>(
        &'a self,
        workload: &'a WorkloadKey,
    ) -> impl Iterator<Item = (&'a SidecarKey, &'a Sidecar)> {
        // The empty name is the least, so this is the range of one workload.
        let first = SidecarKey { workload: workload.clone(), instance: String::new() };
        self.sidecars.range(first..).take_while(move |(key, _)| key.workload == *workload)
    }

    /// True if the sidecar has acknowledged what its workload is to enforce now.
    fn enforces(&self, key: &SidecarKey, sidecar: &Sidecar) -> bool {
        let current = self.workloads.get(&key.workload).map(|published| published.encoded.id());
        current.is_some() && sidecar.acknowledged.as_ref().map(|acknowledged| acknowledged.id) == current
    }
}

fn millis(time: SystemTime) -> u64 {
    unix_millis(time)
}

#[cfg(test)]
mod tests;
