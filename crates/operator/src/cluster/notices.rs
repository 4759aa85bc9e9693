//! What is told beside objects and pods for people (`kubectl describe`): never of a decision. The leader alone tells;
//! every replica counts the pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_pod::names;
use bailiwick_runtime::drain;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::events::{Events, Reason, pod};
use super::fleet::{Fleet, Injected};
use super::lease::Leadership;
use super::live::{Live, counts};
use super::source::key;
use super::status_writer::Fell;
use super::stores::own;
use crate::metrics::ClusterMetrics;

/// Between two looks at the pods.
const LOOK: Duration = Duration::from_secs(5);
/// The same is not told again of the same pod before this.
const AGAIN: Duration = Duration::from_secs(60 * 60);
/// Notices of one look; the others come with the next.
const MOST_AT_ONCE: usize = 20;

const EXEMPT: &str = "the installation exempts the pod from injection: it has no identity, and nothing decides the calls to it";

/// Tells.
pub(super) struct Notices {
    pub(super) events: Events,
    pub(super) live: Live,
    pub(super) fleet: Arc<Fleet>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) metrics: ClusterMetrics,
}

/// What was told, by the pod's uid and the reason, and when.
type Told = BTreeMap<(String, &'static str), Instant>;

/// Something to tell of a pod.
struct Notice {
    about: ObjectReference,
    reason: Reason,
    note: String,
}

impl Notices {
    pub(super) async fn run(self, mut falls: mpsc::Receiver<Fell>, drain: drain::Watch) {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Told::new();
        loop {
            tokio::select! {
                biased;
                () = drain.signaled() => return,
                Some(fell) = falls.recv() => self.of_object(&fell),
                _ = tick.tick() => self.look(&mut told),
            }
        }
    }

    fn of_object(&self, fell: &Fell) {
        let resource = own(fell.key.kind);
        let about = ObjectReference {
            api_version: Some(format!("{}/{}", resource.group, resource.version)),
            kind: Some(resource.kind.to_owned()),
            namespace: Some(fell.key.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            name: Some(fell.key.name.clone()),
            uid: Some(fell.uid.clone()),
            ..ObjectReference::default()
        };
        self.events.warn(about, fell.reason, &fell.message);
    }

    fn look(&self, told: &mut Told) {
        let found = self.pods();
        let leads = self.leadership.borrow().leads();
        self.metrics.leads.set(i64::from(leads));
        if !leads {
            told.clear();
            return;
        }
        told.retain(|_, at| at.elapsed() < AGAIN);
        let mut left = MOST_AT_ONCE;
        for Notice { about, reason, note } in found {
            let key = (about.uid.clone().unwrap_or_default(), reason.as_str());
            if left > 0 && !told.contains_key(&key) {
                left -= 1;
                told.insert(key, Instant::now());
                self.events.warn(about, reason, &note);
            }
        }
    }

    /// What there is to tell of pods; and counts them.
    fn pods(&self) -> Vec<Notice> {
        let mut found = Vec::new();
        let (mut authentication, mut authorization) = (0, 0);
        for (name, item) in self.live.stores.pods.list() {
            let Some(workload) = key(&name).filter(|_| counts(&item.content)) else { continue };
            let notice = |reason, note: &str| {
                let about = pod(&workload, &item.uid);
                Notice { about, reason, note: note.to_owned() }
            };
            match self.live.injected(&name.namespace, &item.content) {
                Injected::Yes => {
                    let audits = |label| i64::from(self.live.audits(&name.namespace, label));
                    authentication += audits(names::AUTHENTICATION_LABEL);
                    authorization += audits(names::AUTHORIZATION_LABEL);
                }
                // Told by `uninjected`.
                Injected::NotEnrolled | Injected::Missing => {}
                Injected::Exempt => found.push(notice(Reason::Exempt, EXEMPT)),
            }
        }
        self.metrics.in_audit("authentication", authentication);
        self.metrics.in_audit("authorization", authorization);
        for (key, _, connection, _) in self.fleet.sidecars() {
            if let Some(why) = connection.refused {
                let about = pod(&key.workload, &key.instance);
                let note = format!("the sidecar keeps what it enforced before: {why}");
                found.push(Notice { about, reason: Reason::SidecarRefusedSnapshot, note });
            }
        }
        found
    }
}
