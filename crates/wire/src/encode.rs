//! A workload's configuration to bytes, canonically.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_identity::{MtlsMode, Port, PortTrust, TrustConfig};
use bailiwick_policy::{Origin, PortProtocol, PortSelection, SnapshotId};
use prost::Message as _;

use crate::{ChunkCache, Configuration, Digest, Position, SCHEMA_LEVEL, proto};

/// A workload's configuration as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    id: SnapshotId,
    content: Vec<u8>,
    chunks: BTreeMap<Digest, Arc<[u8]>>,
    replaced: Vec<Origin>,
}

impl Encoded {
    /// The SHA-256 of the content. Equal ids decide alike; compare them to know whether there is anything to send.
    #[must_use]
    pub const fn id(&self) -> SnapshotId {
        self.id
    }

    /// The header to send, at a position. The id does not depend on it.
    #[must_use]
    pub fn header(&self, position: &Position) -> Vec<u8> {
        proto::SnapshotHeader {
            epoch: position.epoch,
            marks: position.marks.clone(),
            version: position.version,
            content: self.content.clone(),
        }
        .encode_to_vec()
    }

    /// Every chunk that the header names, by digest. The bytes are shared with other workloads' by the cache.
    #[must_use]
    pub const fn chunks(&self) -> &BTreeMap<Digest, Arc<[u8]>> {
        &self.chunks
    }

    /// The objects that were longer than a chunk may be, and were replaced by deny. To be reported in their status.
    #[must_use]
    pub fn replaced(&self) -> &[Origin] {
        &self.replaced
    }
}

/// Encodes a workload's configuration. The same configuration, with its objects in any order, gives the same bytes.
///
/// FAIL-CLOSED: an object that is longer than [`MAXIMUM_CHUNK_BYTES`](crate::MAXIMUM_CHUNK_BYTES) is sent as one that
/// denies all that it selects, and is listed in [`Encoded::replaced`].
#[must_use]
pub fn encode(configuration: &Configuration, cache: &mut ChunkCache) -> Encoded {
    let parts = &configuration.snapshot;
    let mut chunks = BTreeMap::new();
    let mut replaced = Vec::new();
    let mut references: Vec<(Digest, PortSelection)> = Vec::with_capacity(parts.objects.len());
    for bound in &parts.objects {
        let chunk = cache.chunk(&bound.object);
        if chunk.replaced {
            replaced.push(bound.object.origin.clone());
        }
        references.push((chunk.digest, sorted(&bound.ports)));
        chunks.insert(chunk.digest, chunk.bytes);
    }
    references.sort_by_cached_key(|(digest, ports)| (*digest, selection(ports).encode_to_vec()));
    references.dedup();
    let content = content(configuration, &references).encode_to_vec();
    replaced.sort();
    Encoded { id: SnapshotId(Digest::of(&content).0), content, chunks, replaced }
}

pub(crate) fn content(
    configuration: &Configuration,
    references: &[(Digest, PortSelection)],
) -> proto::SnapshotContent {
    let parts = &configuration.snapshot;
    proto::SnapshotContent {
        schema_level: SCHEMA_LEVEL,
        workload: Some(proto::WorkloadKey {
            namespace: parts.workload.namespace.to_string(),
            name: parts.workload.name.to_string(),
        }),
        trust_domain: parts.trust_domain.to_string(),
        authorization_audit: parts.authorization_audit,
        trust: Some(trust(&configuration.trust)),
        protocols: configuration
            .protocols
            .iter()
            .map(|(port, protocol)| declared_port(*port, *protocol))
            .collect(),
        objects: references
            .iter()
            .map(|(digest, ports)| proto::ObjectReference {
                digest: digest.to_vec(),
                ports: Some(selection(ports)),
            })
            .collect(),
    }
}

fn declared_port(port: Port, protocol: PortProtocol) -> proto::DeclaredPort {
    proto::DeclaredPort { port: port.into(), protocol: port_protocol(protocol).into() }
}

pub(crate) const fn port_protocol(protocol: PortProtocol) -> proto::PortProtocol {
    match protocol {
        PortProtocol::Http => proto::PortProtocol::Http,
        PortProtocol::Tcp => proto::PortProtocol::Tcp,
        PortProtocol::Undeclared => proto::PortProtocol::Undeclared,
    }
}

fn trust(trust: &TrustConfig) -> proto::TrustConfig {
    proto::TrustConfig {
        default: Some(port_trust(&trust.default)),
        ports: trust
            .ports
            .iter()
            .map(|(port, trust)| proto::PortTrustEntry {
                port: (*port).into(),
                trust: Some(port_trust(trust)),
            })
            .collect(),
    }
}

fn port_trust(trust: &PortTrust) -> proto::PortTrust {
    proto::PortTrust {
        mode: match trust.mode {
            MtlsMode::Disabled => proto::MtlsMode::Disabled,
            MtlsMode::Permissive => proto::MtlsMode::Permissive,
            MtlsMode::Strict => proto::MtlsMode::Strict,
        }
        .into(),
        trust_domains: trust.trust_domains.iter().map(ToString::to_string).collect(),
        audit: trust.audit,
        invalid: trust.invalid.as_ref().map(|invalid| proto::InvalidAuthentication {
            object: invalid.object.clone(),
            reason: invalid.reason.clone(),
        }),
    }
}

fn sorted(ports: &PortSelection) -> PortSelection {
    match ports {
        PortSelection::All => PortSelection::All,
        PortSelection::Only(ports) => {
            let mut ports = ports.clone();
            ports.sort_unstable();
            ports.dedup();
            PortSelection::Only(ports)
        }
    }
}

fn selection(ports: &PortSelection) -> proto::PortSelection {
    use proto::port_selection::Selection;
    let selection = match ports {
        PortSelection::All => Selection::All(proto::AllPorts {}),
        PortSelection::Only(ports) => {
            Selection::Only(proto::SomePorts { ports: ports.iter().map(|port| u32::from(*port)).collect() })
        }
    };
    proto::PortSelection { selection: Some(selection) }
}
