//! Where a snapshot stands in time.

use std::collections::BTreeMap;

use crate::proto;

/// Where a snapshot stands in time: an epoch, and for each source of objects the highest revision that went into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// Grows when the operator's state was lost or replaced, and its revisions start again.
    pub epoch: u64,
    /// For each source of objects, the highest revision that went into the snapshot.
    pub marks: BTreeMap<String, u64>,
    /// Counts the snapshots of one operator process. Other replicas count for themselves, so it is never compared.
    pub version: u64,
}

impl Position {
    /// True if a snapshot here must not replace one at `held`: its epoch is lower, or in the same epoch one of its
    /// marks is lower or gone. Equal positions are not older: a replica may send the same again.
    ///
    /// INVARIANT: snapshots only move forward, so a lagging replica cannot give back what was revoked.
    #[must_use]
    pub fn is_older_than(&self, held: &Self) -> bool {
        if self.epoch != held.epoch {
            return self.epoch < held.epoch;
        }
        held.marks.iter().any(|(source, mark)| self.marks.get(source).is_none_or(|new| new < mark))
    }

    /// What a sidecar says of the snapshot that it holds.
    #[must_use]
    pub fn to_held(&self, snapshot_id: &bailiwick_policy::SnapshotId) -> proto::Held {
        proto::Held {
            epoch: self.epoch,
            marks: self.marks.clone(),
            version: self.version,
            snapshot_id: snapshot_id.0.to_vec(),
        }
    }
}

impl From<&proto::Held> for Position {
    fn from(held: &proto::Held) -> Self {
        Self { epoch: held.epoch, marks: held.marks.clone(), version: held.version }
    }
}
