//! A header and its chunks to a whole configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_identity::{Port, TrustConfig};
use bailiwick_policy::{BoundObject, PolicyObject, PortProtocol, SnapshotId, SnapshotParts};

use crate::{DecodeError, Digest, Header, Position};

/// What one workload enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The authorization half.
    pub snapshot: SnapshotParts,
    /// The authentication half.
    pub trust: TrustConfig,
    /// The protocols of the workload's container ports; a port that is not listed is undeclared.
    pub protocols: BTreeMap<Port, PortProtocol>,
}

/// A configuration, its id and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// What the workload enforces. Objects are sorted by origin.
    pub configuration: Configuration,
    /// The snapshot's id.
    pub id: SnapshotId,
    /// Where it stands in time.
    pub position: Position,
}

/// Joins a header and the objects that it names.
///
/// # Errors
/// When an object is missing: a snapshot is whole or it is nothing.
pub fn assemble(
    header: Header,
    object: &dyn Fn(Digest) -> Option<Arc<PolicyObject>>,
) -> Result<Assembled, DecodeError> {
    let mut configuration = header.frame;
    for (digest, ports) in header.references {
        let object = object(digest).ok_or(DecodeError::MissingChunk { digest })?;
        configuration.snapshot.objects.push(BoundObject { object, ports });
    }
    configuration.snapshot.objects.sort_by(|left, right| left.object.origin.cmp(&right.object.origin));
    Ok(Assembled { configuration, id: header.id, position: header.position })
}
