//! The thread of a cluster: waits for changes, puts the world together, compiles and publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use bailiwick_inputs::{ApiObject, world_of};
use bailiwick_policy::WorkloadKey;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::stores::{Name, Reach as _, Stores};
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
    pub(super) stores: Arc<Stores>,
    pub(super) pipeline: Pipeline,
    pub(super) outlets: Outlets,
    pub(super) limits: Arc<IssueLimits>,
    pub(super) teller: Teller,
}

impl ClusterSource {
    /// Publishes what the stores hold.
    pub(super) fn publish(&mut self, started: Instant) {
        let input = input(&self.stores);
        match self.pipeline.run(&input, started) {
            Ok(diagnostics) => {
                self.teller.tell(&diagnostics, |diagnostic| diagnostic.location.file.to_string())
            }
            // Nothing of a cluster is on disk.
            Err(error) => tracing::error!(%error, "nothing is published"),
        }
        self.limits.retain(|workload| input.world.workloads.contains_key(workload));
        self.tell_problems();
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

/// What the stores hold now.
pub(super) fn input(stores: &Stores) -> Input {
    let mut objects: Vec<ApiObject> = Vec::new();
    let mut seen = BTreeMap::new();
    let mut unserved = BTreeSet::new();
    for (_, store) in stores.objects() {
        let (mark, items) = store.snapshot();
        seen.insert(store.resource().plural.to_owned(), mark);
        objects.extend(items.iter().map(|(_, item)| item.content.decoded.clone()));
    }
    let (mark, items) = stores.namespaces.snapshot();
    seen.insert(stores.namespaces.resource().plural.to_owned(), mark);
    let enrolled: BTreeSet<&str> = items
        .iter()
        .filter(|(_, item)| item.content.is_enrolled())
        .map(|(name, _)| name.name.as_str())
        .collect();
    objects.extend(items.iter().map(|(_, item)| item.content.decoded.object.clone()));
    let (mark, services) = stores.services.snapshot();
    seen.insert(stores.services.resource().plural.to_owned(), mark);
    objects.extend(services.iter().map(|(_, item)| item.content.decoded.object.clone()));
    let (mark, pods) = stores.pods.snapshot();
    seen.insert(stores.pods.resource().plural.to_owned(), mark);
    // A pod that has ended enforces nothing and is called by nobody; one that is ending still does.
    for (name, item) in pods.iter().filter(|(_, item)| item.content.is_live()) {
        objects.push(item.content.decoded.object.clone());
        if !enrolled.contains(name.namespace.as_str()) && !item.content.has_sidecar() {
            unserved.extend(key(name));
        }
    }
    let (world, diagnostics) = world_of(&objects);
    Input { world, diagnostics, seen, unserved, ..Input::default() }
}

fn key(name: &Name) -> Option<WorkloadKey> {
    Some(WorkloadKey { namespace: name.namespace.parse().ok()?, name: name.name.parse().ok()? })
}
