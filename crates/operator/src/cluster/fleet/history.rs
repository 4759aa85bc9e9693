//! How far in time what a sidecar enforces is known to reach. Time is counted in compiles of this process.
//!
//! A sidecar acknowledges content, named by its digest. While that content is what its workload is to enforce, the
//! sidecar is up to date with every compile so far; once it is not, with the last compile for which it was.

use std::collections::VecDeque;

use bailiwick_policy::SnapshotId;

/// How many snapshots of a workload are remembered. A sidecar that is further behind counts as at its last known place.
const REMEMBERED: usize = 32;
/// How many snapshots may be on their way to one sidecar; the stream holds one at a time.
const OUTSTANDING: usize = 16;

/// What one workload was to enforce, the newest last, each with the compile that began it.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<(u64, SnapshotId)>);

impl History {
    /// Compile number `compile` came to this content.
    pub(super) fn publish(&mut self, compile: u64, id: SnapshotId) {
        if self.current() == Some(id) {
            return;
        }
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((compile, id));
    }

    pub(super) fn current(&self) -> Option<SnapshotId> {
        self.0.back().map(|(_, id)| *id)
    }

    /// The last compile, up to `now`, that this content was right for. `None` if it is not known: another replica
    /// is ahead of us, or far behind.
    fn through(&self, id: SnapshotId, now: u64) -> Option<u64> {
        let place = self.0.iter().rposition(|(_, known)| *known == id)?;
        match self.0.get(place + 1) {
            Some((next, _)) => Some(next.saturating_sub(1)),
            None => Some(now),
        }
    }
}

/// What one connection of a sidecar says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) acknowledged: Option<SnapshotId>,
    /// What was sent after that, with its version: the sidecar may enforce any of it already.
    pub(crate) outstanding: Vec<(u64, SnapshotId)>,
    /// The sidecar has reached this compile. It only grows.
    floor: u64,
}

impl Progress {
    /// A sidecar says at its start what it enforces.
    pub(super) fn starting_at(held: Option<SnapshotId>) -> Self {
        Self { acknowledged: held, ..Self::default() }
    }

    /// What another replica says.
    pub(super) fn told(acknowledged: Option<SnapshotId>, outstanding: Vec<(u64, SnapshotId)>) -> Self {
        Self { acknowledged, outstanding, floor: 0 }
    }

    /// The compile that the sidecar has surely reached.
    ///
    /// INVARIANT: whatever the sidecar may enforce at this moment is at least as new. What is not known here cannot be
    /// older than what was acknowledged before, since snapshots only move forward: then the floor stands.
    pub(super) fn through(&self, history: &History, now: u64) -> u64 {
        let possible = self.acknowledged.iter().chain(self.outstanding.iter().map(|(_, id)| id));
        let known: Option<Vec<u64>> = possible.map(|id| history.through(*id, now)).collect();
        let least = known.filter(|_| self.acknowledged.is_some()).and_then(|known| known.into_iter().min());
        least.map_or(self.floor, |least| least.max(self.floor))
    }

    /// Takes up what is known now, before anything changes.
    pub(super) fn fold(&mut self, history: &History, now: u64) {
        self.floor = self.through(history, now);
    }

    pub(super) fn offered(&mut self, id: SnapshotId, version: u64) {
        if self.outstanding.len() >= OUTSTANDING {
            self.outstanding.remove(0);
        }
        self.outstanding.push((version, id));
    }

    pub(super) fn acknowledge(&mut self, id: SnapshotId, version: u64) {
        self.outstanding.retain(|(offered, _)| *offered > version);
        self.acknowledged = Some(id);
    }

    pub(super) fn refuse(&mut self, version: u64) {
        self.outstanding.retain(|(offered, _)| *offered > version);
    }

    /// The same sidecar, as another message tells it.
    pub(super) fn replace(&mut self, told: Self) {
        self.acknowledged = told.acknowledged;
        self.outstanding = told.outstanding;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> SnapshotId {
        SnapshotId([number; 32])
    }

    fn history(spans: &[(u64, u8)]) -> History {
        let mut history = History::default();
        spans.iter().for_each(|(compile, content)| history.publish(*compile, id(*content)));
        history
    }

    #[test]
    fn what_is_current_reaches_every_compile_so_far_and_what_was_current_the_last_before_its_end() {
        let history = history(&[(1, 1), (4, 2)]);
        let mut sidecar = Progress::default();
        assert_eq!(sidecar.through(&history, 9), 0);
        sidecar.acknowledge(id(1), 1);
        assert_eq!(sidecar.through(&history, 9), 3);
        sidecar.acknowledge(id(2), 2);
        assert_eq!(sidecar.through(&history, 9), 9);
    }

    #[test]
    fn what_is_on_its_way_may_be_in_force_already() {
        // Content 1 is restored, while 2 may not have been acknowledged yet.
        let history = history(&[(1, 1), (2, 2), (3, 1)]);
        let mut sidecar = Progress::default();
        sidecar.acknowledge(id(1), 1);
        sidecar.offered(id(2), 2);
        assert_eq!(sidecar.through(&history, 5), 2, "it may enforce 2");
        sidecar.offered(id(1), 3);
        assert_eq!(sidecar.through(&history, 5), 2);
        sidecar.acknowledge(id(1), 3);
        assert_eq!(sidecar.through(&history, 5), 5);
    }

    #[test]
    fn what_is_not_known_yet_takes_nothing_back_and_counts_once_it_is_known() {
        let mut history = history(&[(1, 1)]);
        let mut sidecar = Progress::default();
        sidecar.acknowledge(id(1), 1);
        sidecar.fold(&history, 6);
        sidecar.offered(id(7), 2);
        assert_eq!(sidecar.through(&history, 6), 6, "another replica is ahead");
        sidecar.acknowledge(id(7), 2);
        assert_eq!(sidecar.through(&history, 6), 6);
        sidecar.fold(&history, 6);
        history.publish(7, id(7));
        assert_eq!(sidecar.through(&history, 8), 8);
        assert_eq!(Progress::starting_at(Some(id(9))).through(&history, 8), 0);
    }

    #[test]
    fn a_refused_snapshot_is_not_in_force() {
        let history = history(&[(1, 1), (2, 2)]);
        let mut sidecar = Progress::default();
        sidecar.acknowledge(id(1), 1);
        sidecar.offered(id(2), 2);
        sidecar.refuse(2);
        assert_eq!(sidecar.through(&history, 2), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut history = History::default();
        for compile in 0..200_u8 {
            history.publish(u64::from(compile), id(compile));
        }
        assert_eq!(history.0.len(), REMEMBERED);
        let mut sidecar = Progress::default();
        (0..200).for_each(|version| sidecar.offered(id(1), version));
        assert_eq!(sidecar.outstanding.len(), OUTSTANDING);
    }
}
