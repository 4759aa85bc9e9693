//! The thread of a cluster: waits for changes, puts the world together, compiles and publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use bailiwick_compile::{Diagnostic, ObjectKey};
use bailiwick_inputs::{ApiObject, world_of};
use bailiwick_policy::WorkloadKey;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::destinations::{ClusterDirectory, Configs};
use super::facts::Keep;
use super::stores::{Listed, Name, Reach as _, Store, Stores};
use crate::pipeline::{Input, Outlets, Pipeline};
use crate::rate::IssueLimits;
use crate::tell::Teller;

/// Between two looks at whether this is the end.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks at whether it is quiet.
const STEP: Duration = Duration::from_millis(5);
/// Writers touch several objects; nothing is compiled before it has been quiet for this long…
const QUIET: Duration = Duration::from_millis(25);
/// …but this long after the first change it is.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// The thread that compiles.
#[derive(Debug)]
pub(super) struct ClusterSource {
    stores: Arc<Stores>,
    pipeline: Pipeline,
    outlets: Outlets,
    limits: Arc<IssueLimits>,
    directory: Arc<ClusterDirectory>,
    teller: Teller,
    /// What each workload enforces since the last compile.
    configs: Configs,
    /// What was compiled last.
    last: Option<Read>,
}

impl ClusterSource {
    pub(super) fn new(
        stores: Arc<Stores>,
        (pipeline, outlets): (Pipeline, Outlets),
        limits: Arc<IssueLimits>,
        directory: Arc<ClusterDirectory>,
    ) -> Self {
        Self {
            stores,
            pipeline,
            outlets,
            limits,
            directory,
            teller: Teller::default(),
            configs: Configs::new(),
            last: None,
        }
    }

    /// Publishes what the stores hold, where it differs from what was compiled last, and says where addresses lead now.
    pub(super) fn publish(&mut self, started: Instant) {
        let read = Read::of(&self.stores);
        if self.last.as_ref().is_some_and(|last| last.is_same_world(&read)) {
            self.pipeline.confirm(&read.seen);
        } else {
            self.compile(&read, started);
        }
        self.directory.refresh(&self.configs);
        self.last = Some(read);
        self.tell_problems();
    }

    fn compile(&mut self, read: &Read, started: Instant) {
        let (world, diagnostics) = world_of(&read.objects);
        let input = Input {
            world,
            diagnostics,
            seen: read.seen.clone(),
            unserved: read.unserved.clone(),
            uids: read.uids.clone(),
            ..Input::default()
        };
        match self.pipeline.run(&input, started) {
            Ok(outcome) => {
                let place = |diagnostic: &Diagnostic| diagnostic.location.file.to_string();
                self.teller.tell(&outcome.diagnostics, place);
                self.configs = outcome.workloads;
            }
            // Nothing of a cluster is on disk.
            Err(error) => tracing::error!(%error, "nothing is published"),
        }
        self.limits.retain(|workload| input.world.workloads.contains_key(workload));
    }

    /// Runs until the other end of `stop` is dropped.
    pub(super) fn run(mut self, stop: &Receiver<()>, runtime: &Handle) {
        let mut changes = self.stores.subscribe();
        changes.mark_changed();
        loop {
            // Woken by a change at once, and now and then to see whether this is the end.
            let change = runtime.block_on(async { timeout(LOOK, changes.changed()).await });
            if matches!(stop.try_recv(), Err(TryRecvError::Disconnected)) {
                return;
            }
            if matches!(change, Ok(Ok(()))) {
                let started = Instant::now();
                settle(&mut changes, started);
                self.publish(started);
            }
        }
    }

    fn tell_problems(&self) {
        let problems: Vec<String> = self.stores.problems();
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        self.outlets.status.source_problem("cluster", problem);
    }
}

/// Waits until changes stop coming, or for as long as a change may wait.
fn settle(changes: &mut watch::Receiver<u64>, started: Instant) {
    let mut last = Instant::now();
    changes.mark_unchanged();
    while last.elapsed() < QUIET && started.elapsed() < LONGEST_WAIT {
        std::thread::sleep(STEP);
        if changes.has_changed().unwrap_or(false) {
            changes.mark_unchanged();
            last = Instant::now();
        }
    }
}

/// What the stores hold at one moment.
#[derive(Debug, Default)]
struct Read {
    objects: Vec<ApiObject>,
    /// How far each kind reaches.
    seen: BTreeMap<String, u64>,
    /// Pods that have no sidecar and are to have none.
    unserved: BTreeSet<WorkloadKey>,
    /// `metadata.uid` of our own objects.
    uids: BTreeMap<ObjectKey, String>,
}

impl Read {
    fn of(stores: &Stores) -> Self {
        let mut read = Self::default();
        for (kind, store) in stores.objects() {
            let items = read.take(store);
            for (Name { namespace, name }, item) in &items {
                let key = ObjectKey { kind, namespace: namespace.clone(), name: name.clone() };
                read.uids.insert(key, item.uid.clone());
            }
            read.objects.extend(items.iter().map(|(_, item)| item.content.decoded.clone()));
        }
        let namespaces = read.take(&stores.namespaces);
        read.objects.extend(namespaces.iter().map(|(_, item)| item.content.decoded.object.clone()));
        let services = read.take(&stores.services);
        read.objects.extend(services.iter().map(|(_, item)| item.content.decoded.object.clone()));
        let enrolled = namespaces.iter().filter(|(_, item)| item.content.is_enrolled());
        let enrolled: BTreeSet<&str> = enrolled.map(|(name, _)| name.name.as_str()).collect();
        let pods = read.take(&stores.pods);
        // A pod that has ended enforces nothing and is called by nobody; one that is ending still does.
        for (name, item) in pods.iter().filter(|(_, item)| item.content.is_live()) {
            read.objects.push(item.content.decoded.object.clone());
            if !enrolled.contains(name.namespace.as_str()) && !item.content.has_sidecar() {
                read.unserved.extend(key(name));
            }
        }
        read
    }

    /// INVARIANT: the revision and what is there at it are read in one step.
    fn take<T: Keep>(&mut self, store: &Store<T>) -> Listed<T> {
        let (mark, items) = store.snapshot();
        self.seen.insert(store.resource().plural.to_owned(), mark);
        items
    }

    /// True if a compile would come to the same.
    fn is_same_world(&self, other: &Self) -> bool {
        self.objects.len() == other.objects.len()
            && self.objects.iter().zip(&other.objects).all(|(one, other)| one.is(other))
            && self.unserved == other.unserved
            && self.uids == other.uids
    }
}

pub(super) fn key(name: &Name) -> Option<WorkloadKey> {
    Some(WorkloadKey { namespace: name.namespace.parse().ok()?, name: name.name.parse().ok()? })
}
