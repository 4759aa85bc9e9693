//! The first message of a configuration stream, checked.

use bailiwick_policy::{SnapshotId, WorkloadKey};

use crate::error::{FieldError, FieldResult, parse};
use crate::{DecodeError, Digest, Position, proto};

/// Names and versions are shown to people, and are bounded for that.
const MAXIMUM_TEXT_BYTES: usize = 253;

/// Who asks for a configuration, what it understands and what it holds. It is a claim: the server must check that the
/// workload's service account is the identity that the connection proved (L5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The highest schema level that the sidecar understands.
    pub schema_level: u32,
    /// The sidecar's version, for people.
    pub version: String,
    /// The workload that it stands before.
    pub workload: WorkloadKey,
    /// Names it among the workload's sidecars.
    pub instance: String,
    /// The snapshot that it enforces now.
    pub held: Option<(SnapshotId, Position)>,
    /// The bundle that it believes now.
    pub bundle: Option<Digest>,
}

/// Decodes the first message of a sidecar. A newer sidecar may say more than this build reads.
///
/// # Errors
/// When a field is missing or malformed.
pub fn decode_hello(hello: &proto::Hello) -> Result<Greeting, DecodeError> {
    greeting(hello).map_err(|field| field.of("hello"))
}

fn greeting(hello: &proto::Hello) -> FieldResult<Greeting> {
    if hello.schema_level == 0 {
        return Err(FieldError::missing("schema_level"));
    }
    let digest =
        |path: &str, bytes: &[u8]| Digest::try_from(bytes).map_err(|error| FieldError::invalid(path, error));
    let held = match &hello.held {
        None => None,
        Some(held) => {
            Some((SnapshotId(digest("held.snapshot_id", &held.snapshot_id)?.0), Position::from(held)))
        }
    };
    Ok(Greeting {
        schema_level: hello.schema_level,
        version: text("sidecar_version", &hello.sidecar_version)?,
        workload: WorkloadKey {
            namespace: parse("namespace", &hello.namespace)?,
            name: parse("workload", &hello.workload)?,
        },
        instance: text("instance", &hello.instance)?,
        held,
        bundle: match hello.bundle_digest.as_slice() {
            [] => None,
            bytes => Some(digest("bundle_digest", bytes)?),
        },
    })
}

fn text(path: &str, text: &str) -> FieldResult<String> {
    let printable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if printable && text.len() <= MAXIMUM_TEXT_BYTES {
        Ok(text.to_owned())
    } else {
        Err(FieldError::invalid(path, "use 1 to 253 printable ASCII characters without blanks"))
    }
}
