//! Who follows what the board learns.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use bailiwick_policy::{SnapshotId, WorkloadKey};

use super::{ObjectRecord, SidecarFacts, SidecarKey};
use crate::publish::Published;

/// Something that happened on a sidecar's stream.
#[derive(Debug)]
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "nobody follows a folder's board"))]
pub(crate) enum Happened<'a> {
    Connected(&'a SidecarFacts),
    /// It was turned away, since it does not understand what it is to enforce; its version.
    TooOld(&'a str),
    /// A snapshot is sent to it.
    Offered {
        id: SnapshotId,
        version: u64,
    },
    Acknowledged {
        id: SnapshotId,
        version: u64,
    },
    Refused {
        version: u64,
        reason: &'a str,
    },
    Bundle(&'a Result<(), String>),
    Disconnected,
}

/// Who follows what the board learns, in its order. In a cluster that is who writes objects' `status`.
pub(crate) trait Observer: Debug + Send + Sync {
    /// A compile, before any sidecar hears of it.
    fn compiled(&self, objects: &[ObjectRecord], workloads: &BTreeMap<WorkloadKey, Arc<Published>>);
    /// Something happened to the sidecar whose stream has this number.
    fn sidecar(&self, key: &SidecarKey, session: u64, happened: Happened<'_>);
}
