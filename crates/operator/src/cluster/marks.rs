//! Positions in a cluster: the API server's revisions, within an epoch.

use std::collections::BTreeMap;

use bailiwick_wire::Position;

/// Makes positions out of revisions.
#[derive(Debug)]
pub(crate) struct ClusterMarks {
    epoch: u64,
    version: u64,
}

impl ClusterMarks {
    pub(crate) const fn new(epoch: u64) -> Self {
        Self { epoch, version: 0 }
    }

    /// The position of snapshots that differ from those before.
    pub(crate) fn advance(&mut self, seen: &BTreeMap<String, u64>) -> Position {
        self.version += 1;
        self.confirm(seen)
    }

    /// The position of the same snapshots, found again at a later revision.
    pub(crate) fn confirm(&self, seen: &BTreeMap<String, u64>) -> Position {
        Position { epoch: self.epoch, marks: seen.clone(), version: self.version }
    }
}
