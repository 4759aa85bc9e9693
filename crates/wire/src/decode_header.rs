//! Bytes to a header.

use std::collections::BTreeMap;

use bailiwick_identity::{InvalidAuthentication, MtlsMode, Port, PortTrust, TrustConfig};
use bailiwick_policy::{PortProtocol, PortSelection, SnapshotId, SnapshotParts, WorkloadKey};
use prost::Message as _;

use crate::decode_rule::port;
use crate::encode::content;
use crate::error::{FieldError, FieldResult, each, parse, required};
use crate::{Configuration, DecodeError, Digest, MAXIMUM_HEADER_BYTES, Position, SCHEMA_LEVEL, proto};

const WHAT: &str = "snapshot header";

/// A decoded header: everything of a configuration but the objects, which it names by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub(crate) id: SnapshotId,
    pub(crate) position: Position,
    /// Without objects.
    pub(crate) frame: Configuration,
    pub(crate) references: Vec<(Digest, PortSelection)>,
}

impl Header {
    /// The snapshot's id.
    #[must_use]
    pub const fn id(&self) -> SnapshotId {
        self.id
    }

    /// Where the snapshot stands in time.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// The workload that it is for. A sidecar refuses any other's.
    #[must_use]
    pub const fn workload(&self) -> &WorkloadKey {
        &self.frame.snapshot.workload
    }

    /// The digests of the chunks that it needs, ascending; one may come twice, with other ports.
    pub fn digests(&self) -> impl Iterator<Item = Digest> + '_ {
        self.references.iter().map(|(digest, _)| *digest)
    }
}

/// Decodes a header.
///
/// # Errors
/// When it is not canonical, needs a higher schema level than [`SCHEMA_LEVEL`], or a value is refused.
pub fn decode_header(bytes: &[u8]) -> Result<Header, DecodeError> {
    if bytes.len() > MAXIMUM_HEADER_BYTES {
        return Err(DecodeError::TooLong { what: WHAT, length: bytes.len(), limit: MAXIMUM_HEADER_BYTES });
    }
    let malformed = |source| DecodeError::Malformed { what: WHAT, source };
    let message = proto::SnapshotHeader::decode(bytes).map_err(malformed)?;
    if message.encode_to_vec() != bytes {
        return Err(DecodeError::NotCanonical { what: WHAT });
    }
    let held = proto::SnapshotContent::decode(message.content.as_slice()).map_err(malformed)?;
    // Asked first: at a higher level an unknown field is expected, and the remedy is another.
    if held.schema_level > SCHEMA_LEVEL {
        return Err(DecodeError::SchemaLevel { found: held.schema_level, supported: SCHEMA_LEVEL });
    }
    let (frame, references) = configuration(&held).map_err(|field| field.of(WHAT))?;
    // FAIL-CLOSED: an unknown field, or a list that is unsorted or repeats itself, is refused.
    let sorted = references.is_sorted_by(|left, right| left.0 <= right.0);
    if !sorted || content(&frame, &references).encode_to_vec() != message.content {
        return Err(DecodeError::NotCanonical { what: WHAT });
    }
    Ok(Header {
        id: SnapshotId(Digest::of(&message.content).0),
        position: Position { epoch: message.epoch, marks: message.marks, version: message.version },
        frame,
        references,
    })
}

type Framed = (Configuration, Vec<(Digest, PortSelection)>);

fn configuration(message: &proto::SnapshotContent) -> FieldResult<Framed> {
    if message.schema_level == 0 {
        return Err(FieldError::missing("schema_level"));
    }
    let workload = required("workload", message.workload.as_ref())?;
    let frame = Configuration {
        snapshot: SnapshotParts {
            workload: WorkloadKey {
                namespace: parse("workload.namespace", &workload.namespace)?,
                name: parse("workload.name", &workload.name)?,
            },
            trust_domain: parse("trust_domain", &message.trust_domain)?,
            authorization_audit: message.authorization_audit,
            objects: Vec::new(),
        },
        trust: trust(required("trust", message.trust.as_ref())?).map_err(|error| error.within("trust"))?,
        protocols: protocols(&message.protocols)?,
    };
    Ok((frame, each("objects", &message.objects, reference)?))
}

fn protocols(messages: &[proto::DeclaredPort]) -> FieldResult<BTreeMap<Port, PortProtocol>> {
    let entries = each("protocols", messages, |entry| {
        let protocol = port_protocol("protocol", entry.protocol)?;
        Ok((port(&entry.port).map_err(|error| error.within("port"))?, protocol))
    })?;
    Ok(entries.into_iter().collect())
}

pub(crate) fn port_protocol(path: &str, value: i32) -> FieldResult<PortProtocol> {
    match proto::PortProtocol::try_from(value) {
        Ok(proto::PortProtocol::Http) => Ok(PortProtocol::Http),
        Ok(proto::PortProtocol::Tcp) => Ok(PortProtocol::Tcp),
        Ok(proto::PortProtocol::Undeclared) => Ok(PortProtocol::Undeclared),
        Ok(proto::PortProtocol::Unspecified) | Err(_) => Err(FieldError::unknown(path, value)),
    }
}

fn trust(message: &proto::TrustConfig) -> FieldResult<TrustConfig> {
    let default = required("default", message.default.as_ref())?;
    let ports = each("ports", &message.ports, |entry| {
        let number = port(&entry.port).map_err(|error| error.within("port"))?;
        Ok((number, port_trust(required("trust", entry.trust.as_ref())?)?))
    })?;
    Ok(TrustConfig {
        default: port_trust(default).map_err(|error| error.within("default"))?,
        ports: ports.into_iter().collect(),
    })
}

fn port_trust(message: &proto::PortTrust) -> FieldResult<PortTrust> {
    Ok(PortTrust {
        mode: match proto::MtlsMode::try_from(message.mode) {
            Ok(proto::MtlsMode::Disabled) => MtlsMode::Disabled,
            Ok(proto::MtlsMode::Permissive) => MtlsMode::Permissive,
            Ok(proto::MtlsMode::Strict) => MtlsMode::Strict,
            Ok(proto::MtlsMode::Unspecified) | Err(_) => {
                return Err(FieldError::unknown("mode", message.mode));
            }
        },
        trust_domains: each("trust_domains", &message.trust_domains, |text| parse("", text))?,
        audit: message.audit,
        invalid: message.invalid.as_ref().map(|invalid| InvalidAuthentication {
            object: invalid.object.clone(),
            reason: invalid.reason.clone(),
        }),
    })
}

fn reference(message: &proto::ObjectReference) -> FieldResult<(Digest, PortSelection)> {
    use proto::port_selection::Selection;
    let digest =
        Digest::try_from(message.digest.as_slice()).map_err(|error| FieldError::invalid("digest", error))?;
    let selection = required("ports", required("ports", message.ports.as_ref())?.selection.as_ref())?;
    let ports = match selection {
        Selection::All(proto::AllPorts {}) => PortSelection::All,
        Selection::Only(some) => {
            let ports = each("ports", &some.ports, port)?;
            if !ports.is_sorted_by(|left, right| left < right) {
                return Err(FieldError::invalid("ports", "ports must be ascending, each once"));
            }
            PortSelection::Only(ports)
        }
    };
    Ok((digest, ports))
}
