//! A caller's connection, bound to a snapshot: what its identity and address decide is decided once.

use std::net::IpAddr;
use std::sync::Arc;

use bailiwick_identity::{SpiffeId, Subject};

use crate::caller_facts::{CallerFacts, fold_ip};
use crate::evaluate::{Scan, evaluate};
use crate::snapshot::CallFacts;
use crate::{Decision, RequestAttributes, Snapshot, Truth, Verdict};

/// A binding keeps the rows of its caller where they are at most this many; beyond, the index is used.
const KEPT_ROWS: usize = 1024;

/// A caller's connection bound to a snapshot, made once for each; then every call is decided without allocation.
#[derive(Debug)]
pub struct Binding {
    snapshot: Arc<Snapshot>,
    caller: Option<SpiffeId>,
    proven: bool,
    /// The address that `sets` was computed with.
    source: IpAddr,
    /// One bit for each subject set that the caller is in.
    sets: Box<[u64]>,
    /// The rows of those sets, ascending, if they are few.
    rows: Option<Box<[u32]>>,
}

impl Snapshot {
    /// Binds a connection's subject and source address.
    #[must_use]
    pub fn bind(self: &Arc<Self>, subject: &Subject, source: IpAddr) -> Binding {
        let facts = CallerFacts::new(self.trust_domain(), subject.id(), Some(source));
        let found = self.sets.of_caller(&facts);
        let mut sets = vec![0_u64; self.sets.len().div_ceil(64)].into_boxed_slice();
        for set in &found {
            if let Some(word) = sets.get_mut((*set / 64) as usize) {
                *word |= 1 << (*set % 64);
            }
        }
        let count: usize = found.iter().map(|set| self.sets.rows(*set).len()).sum();
        let rows = (count <= KEPT_ROWS).then(|| {
            let mut rows: Vec<u32> = found.iter().flat_map(|set| self.sets.rows(*set)).copied().collect();
            rows.sort_unstable();
            rows.into_boxed_slice()
        });
        Binding {
            snapshot: Arc::clone(self),
            caller: subject.id().cloned(),
            proven: is_proven(subject),
            source: fold_ip(source),
            sets,
            rows,
        }
    }
}

impl Binding {
    /// Decides a call of the connection. It never fails, never panics and does not allocate.
    pub fn authorize(&self, attributes: &RequestAttributes<'_>) -> Decision {
        let verdicts = self.verdicts(attributes);
        Decision::new(&self.snapshot, verdicts, self.proven)
    }

    fn verdicts(&self, attributes: &RequestAttributes<'_>) -> (Verdict, Option<Verdict>) {
        if self.snapshot.sets.reads_source && fold_ip(attributes.source.ip()) != self.source {
            // FAIL-CLOSED: the binding is another connection's; what it knows of the address does not hold here.
            return unbound(&self.snapshot, self.caller.as_ref(), attributes);
        }
        let call = CallFacts::new(attributes.port, Some(attributes.now), &attributes.call);
        let bound =
            |set: u32| self.sets.get((set / 64) as usize).is_some_and(|word| word & (1 << (set % 64)) != 0);
        let scan = self.rows.as_deref().map(|rows| Scan { lists: [rows] });
        evaluate(&self.snapshot, &call, scan, bound)
    }

    /// The snapshot that it is bound to.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }
}

/// Decides one call: may this subject make it. It never fails, never panics and does not allocate. For many calls of
/// one connection, [`Snapshot::bind`] gives the same answers faster.
pub fn authorize(
    snapshot: &Arc<Snapshot>,
    subject: &Subject,
    attributes: &RequestAttributes<'_>,
) -> Decision {
    let verdicts = unbound(snapshot, subject.id(), attributes);
    Decision::new(snapshot, verdicts, is_proven(subject))
}

const fn is_proven(subject: &Subject) -> bool {
    subject.peer().is_some() || subject.principal().is_some()
}

fn unbound(
    snapshot: &Snapshot,
    caller: Option<&SpiffeId>,
    attributes: &RequestAttributes<'_>,
) -> (Verdict, Option<Verdict>) {
    let facts = CallerFacts::new(snapshot.trust_domain(), caller, Some(attributes.source.ip()));
    let call = CallFacts::new(attributes.port, Some(attributes.now), &attributes.call);
    // Rows of one set often follow each other.
    let mut last = (u32::MAX, false);
    let bound = |set: u32| {
        if last.0 != set {
            last = (set, snapshot.sets.get(set).map_or(Truth::False, |set| set.holds(&facts)).is_true());
        }
        last.1
    };
    let scan = Scan { lists: snapshot.sets.rows_of_caller(&facts) };
    evaluate(snapshot, &call, Some(scan), bound)
}
