//! Positions that only move forward, whatever the world is read from.

use std::collections::BTreeMap;

use bailiwick_wire::Position;

use crate::state::{FolderMarks, StateFolderError};

/// Makes the positions of snapshots.
#[derive(Debug)]
pub(crate) enum Marks {
    /// One mark, counted on disk.
    Folder(FolderMarks),
    /// The API server's own revisions.
    #[cfg(feature = "cluster")]
    Cluster(crate::cluster::ClusterMarks),
}

impl Marks {
    /// The position of snapshots that differ from those before. `seen` are the revisions of the world that they were
    /// made of; a folder has none.
    pub(crate) fn advance(&mut self, seen: &BTreeMap<String, u64>) -> Result<Position, StateFolderError> {
        match self {
            Self::Folder(marks) => {
                let _none = seen;
                marks.advance()
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(marks) => Ok(marks.advance(seen)),
        }
    }

    /// The position of what was published last, when the world is as it was: later in time, the same snapshots.
    /// `None` where time is told by snapshots alone.
    pub(crate) fn confirm(&self, seen: &BTreeMap<String, u64>) -> Option<Position> {
        match self {
            Self::Folder(_) => {
                let _none = seen;
                None
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(marks) => Some(marks.confirm(seen)),
        }
    }
}
