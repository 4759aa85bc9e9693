//! What is published, and one watch for each workload: the latest wins, and a reader that is slow holds up nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bailiwick_identity::{SpiffeId, TrustDomain};
use bailiwick_policy::WorkloadKey;
use bailiwick_wire::{Encoded, Position};
use tokio::sync::watch;

use crate::destinations::DestinationTable;

/// What holds for the whole mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mesh {
    /// The mesh's own trust domain.
    pub(crate) trust_domain: TrustDomain,
    /// Why no certificate is issued; `None` while certificates are.
    pub(crate) issues_nothing: Option<String>,
    /// The life of a workload's certificate.
    pub(crate) leaf_lifetime: Duration,
}

/// What one workload is to enforce. Unchanged workloads keep theirs from one publication to the next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// The identity of the workload's service account: the only one that may ask for this.
    pub(crate) identity: SpiffeId,
    /// Header content and chunks; the chunks live as long as anybody still sends them.
    pub(crate) encoded: Encoded,
    /// Where it stands in time.
    pub(crate) position: Position,
}

/// The state of the whole mesh at one moment.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) mesh: Mesh,
    /// How far in time the world reached of which *every* snapshot here was made, also those that are as they were.
    pub(crate) position: Position,
    pub(crate) workloads: BTreeMap<WorkloadKey, Arc<Published>>,
    pub(crate) destinations: Arc<DestinationTable>,
}

impl Publication {
    /// Before the first compile: nobody is known.
    pub(crate) fn nothing(trust_domain: TrustDomain) -> Self {
        Self {
            mesh: Mesh {
                trust_domain,
                issues_nothing: Some("the first compile is not done yet".to_owned()),
                leaf_lifetime: Duration::ZERO,
            },
            position: Position::default(),
            workloads: BTreeMap::new(),
            destinations: Arc::default(),
        }
    }

    /// True if some workload has this identity.
    pub(crate) fn knows(&self, identity: &SpiffeId) -> bool {
        self.workloads.values().any(|published| published.identity == *identity)
    }
}

/// Hands publications to whoever serves them.
#[derive(Debug)]
pub(crate) struct Publisher {
    current: watch::Sender<Arc<Publication>>,
    destinations: watch::Sender<Arc<DestinationTable>>,
    bundle: watch::Sender<Arc<[u8]>>,
    channels: Mutex<HashMap<WorkloadKey, watch::Sender<Arc<Published>>>>,
    /// The highest marks of our epoch that a sidecar came with and that are above ours.
    wanted: watch::Sender<BTreeMap<String, u64>>,
}

impl Publisher {
    /// Starts with nothing but the trust bundle (its canonical encoding).
    pub(crate) fn new(trust_domain: TrustDomain, bundle: Arc<[u8]>) -> Self {
        Self {
            current: watch::Sender::new(Arc::new(Publication::nothing(trust_domain))),
            destinations: watch::Sender::default(),
            bundle: watch::Sender::new(bundle),
            channels: Mutex::default(),
            wanted: watch::Sender::default(),
        }
    }

    /// Makes a publication the current one. Only the watches of workloads that changed wake anybody; the watch of a
    /// workload that is gone is closed.
    pub(crate) fn publish(&self, publication: Publication) {
        let publication = Arc::new(publication);
        self.current.send_replace(Arc::clone(&publication));
        let mut channels = self.lock();
        channels.retain(|workload, _| publication.workloads.contains_key(workload));
        for (workload, published) in &publication.workloads {
            match channels.get(workload) {
                Some(channel) if Arc::ptr_eq(&channel.borrow(), published) => {}
                Some(channel) => drop(channel.send_replace(Arc::clone(published))),
                None => drop(channels.insert(workload.clone(), watch::Sender::new(Arc::clone(published)))),
            }
        }
        drop(channels);
        self.destinations.send_if_modified(|table| {
            let changed = *table != publication.destinations;
            *table = Arc::clone(&publication.destinations);
            changed
        });
    }

    /// The same publication, found again later in time.
    #[cfg(feature = "cluster")]
    pub(crate) fn confirm(&self, position: Position) {
        self.current.send_modify(|current| {
            *current = Arc::new(Publication {
                mesh: current.mesh.clone(),
                position,
                workloads: current.workloads.clone(),
                destinations: Arc::clone(&current.destinations),
            });
        });
    }

    /// What is published now.
    pub(crate) fn current(&self) -> Arc<Publication> {
        Arc::clone(&self.current.borrow())
    }

    /// What is published, now and whenever it changes.
    pub(crate) fn publications(&self) -> watch::Receiver<Arc<Publication>> {
        self.current.subscribe()
    }

    /// A sidecar has seen more than this operator. Returns whether somebody will see to it.
    pub(crate) fn want(&self, marks: &BTreeMap<String, u64>) -> bool {
        let ours = self.current();
        let known = |(source, _): &(&String, &u64)| ours.position.marks.contains_key(*source);
        self.wanted.send_if_modified(|wanted| {
            let mut changed = false;
            for (source, mark) in marks.iter().filter(known) {
                let known = wanted.entry(source.clone()).or_default();
                changed |= *known < *mark;
                *known = (*known).max(*mark);
            }
            changed
        });
        self.wanted.receiver_count() > 0
    }

    /// The marks that sidecars came with.
    #[cfg(feature = "cluster")]
    pub(crate) fn wanted(&self) -> watch::Receiver<BTreeMap<String, u64>> {
        self.wanted.subscribe()
    }

    /// Nothing can be later than this mark now: whoever claims to have seen more has not, and is not waited for.
    #[cfg(feature = "cluster")]
    pub(crate) fn nothing_beyond(&self, source: &str, mark: u64) {
        self.wanted.send_if_modified(|wanted| {
            if let Some(known) = wanted.get_mut(source) {
                *known = (*known).min(mark);
            }
            false
        });
    }

    /// What a workload is to enforce, now and whenever it changes; `None` if there is no such workload.
    pub(crate) fn subscribe(&self, workload: &WorkloadKey) -> Option<watch::Receiver<Arc<Published>>> {
        self.lock().get(workload).map(watch::Sender::subscribe)
    }

    /// Where services lead, now and whenever it changes.
    pub(crate) fn destinations(&self) -> watch::Receiver<Arc<DestinationTable>> {
        self.destinations.subscribe()
    }

    /// The trust bundle's canonical encoding, now and whenever it changes.
    pub(crate) fn bundle(&self) -> watch::Receiver<Arc<[u8]>> {
        self.bundle.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkloadKey, watch::Sender<Arc<Published>>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workloads whose snapshot differs between two publications, the removed ones left out.
pub(crate) fn changed(
    before: &BTreeMap<WorkloadKey, Arc<Published>>,
    after: &BTreeMap<WorkloadKey, Arc<Published>>,
) -> BTreeSet<WorkloadKey> {
    let differs = |(workload, published): &(&WorkloadKey, &Arc<Published>)| {
        before.get(*workload).is_none_or(|old| !Arc::ptr_eq(old, published))
    };
    after.iter().filter(differs).map(|(workload, _)| workload.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{publication, workload};

    #[test]
    fn only_the_workload_that_changed_is_woken_and_the_latest_wins() {
        let publisher = Publisher::new("cluster.local".parse().unwrap(), Arc::from([]));
        let first = publication(&[("shop/web", 1), ("shop/orders", 1)]);
        let web = Arc::clone(&first.workloads[&workload("shop/web")]);
        publisher.publish(first);
        let mut orders = publisher.subscribe(&workload("shop/orders")).unwrap();
        let mut quiet = publisher.subscribe(&workload("shop/web")).unwrap();
        for mark in 2..100 {
            let mut next = publication(&[("shop/orders", mark)]);
            next.workloads.insert(workload("shop/web"), Arc::clone(&web));
            publisher.publish(next);
        }
        assert!(!quiet.has_changed().unwrap());
        assert!(orders.has_changed().unwrap());
        assert_eq!(orders.borrow_and_update().position.version, 99);
        assert!(!orders.has_changed().unwrap());
        publisher.publish(publication(&[("shop/orders", 100)]));
        assert!(quiet.has_changed().is_err(), "a workload that is gone ends its readers");
        assert!(publisher.subscribe(&workload("shop/web")).is_none());
        assert_eq!(quiet.borrow_and_update().position.version, 1, "what is being sent stays whole");
    }
}
