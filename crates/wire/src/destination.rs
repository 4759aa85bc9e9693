//! Destinations: questions and answers of the pulled stream.

use std::net::{IpAddr, SocketAddr};

use bailiwick_identity::{Namespace, Port, SpiffeId};
use bailiwick_policy::{PortProtocol, WorkloadKey};

use crate::decode_header::port_protocol;
use crate::decode_rule::port;
use crate::encode;
use crate::error::{FieldError, FieldProblem, FieldResult, each, parse, required};
use crate::{DecodeError, proto};

const WHAT: &str = "destination";

/// Where does this lead?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// A Service and one of its ports.
    Service {
        /// The Service's namespace.
        namespace: Namespace,
        /// The Service's name.
        name: String,
        /// The Service port.
        port: Port,
    },
    /// An address as an application dialled it.
    Address {
        /// The address.
        ip: IpAddr,
        /// The port.
        port: Port,
    },
}

impl std::fmt::Display for Query {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service { namespace, name, port } => write!(formatter, "{namespace}/{name}:{port}"),
            Self::Address { ip, port } => SocketAddr::new(*ip, port.number()).fmt(formatter),
        }
    }
}

/// Where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To one of these ready endpoints; there may be none at the moment.
    Endpoints(Endpoints),
    /// Outside the mesh: as the application sent it.
    Outside,
    /// There is no such Service or port.
    Unknown,
}

/// Ready endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoints {
    /// All of them.
    pub ready: Vec<Endpoint>,
    /// One client stays with one of them for as long as it is there (`sessionAffinity: ClientIP`).
    pub sticky: bool,
}

impl From<Vec<Endpoint>> for Endpoints {
    /// Any of them may be called at any time.
    fn from(ready: Vec<Endpoint>) -> Self {
        Self { ready, sticky: false }
    }
}

/// One ready endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// How bytes travel to it.
    pub transport: Transport,
    /// How its port's bytes are read.
    pub protocol: PortProtocol,
    /// The workload behind it, where one is known.
    pub workload: Option<WorkloadKey>,
}

/// How bytes travel to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Mesh mTLS; the server must prove exactly this identity.
    Mesh(SpiffeId),
    /// As the application sent them.
    AsSent,
}

/// Encodes a question.
#[must_use]
pub fn encode_query(query: &Query) -> proto::LookupQuery {
    use proto::lookup_query::Target;
    let target = match query {
        Query::Service { namespace, name, port } => Target::Service(proto::ServiceTarget {
            namespace: namespace.to_string(),
            name: name.clone(),
            port: (*port).into(),
        }),
        Query::Address { ip, port } => {
            Target::Address(proto::AddressTarget { ip: ip.to_string(), port: (*port).into() })
        }
    };
    proto::LookupQuery { target: Some(target) }
}

/// Decodes a question.
///
/// # Errors
/// When a field is missing or malformed.
pub fn decode_query(message: &proto::LookupQuery) -> Result<Query, DecodeError> {
    query(message).map_err(|field| field.of("destination query"))
}

fn query(message: &proto::LookupQuery) -> FieldResult<Query> {
    use proto::lookup_query::Target;
    let in_port = |error: FieldError| error.within("port");
    match required("target", message.target.as_ref())? {
        Target::Service(service) => {
            // A Service's name is narrower than this; it only has to be safe to look up and to print.
            let name: bailiwick_identity::WorkloadName = parse("service.name", &service.name)?;
            Ok(Query::Service {
                namespace: parse("service.namespace", &service.namespace)?,
                name: name.into(),
                port: port(&service.port).map_err(in_port)?,
            })
        }
        Target::Address(address) => Ok(Query::Address {
            ip: parse("address.ip", &address.ip)?,
            port: port(&address.port).map_err(in_port)?,
        }),
    }
}

/// Encodes an answer to the question `query_id`.
#[must_use]
pub fn encode_destination(query_id: u64, version: u64, answer: &Destination) -> proto::LookupResponse {
    use proto::lookup_response::Result as Wire;
    let result = match answer {
        Destination::Endpoints(endpoints) => {
            let Endpoints { ready, sticky } = endpoints;
            Wire::Endpoints(proto::Endpoints {
                endpoints: ready.iter().map(encode_endpoint).collect(),
                sticky: *sticky,
            })
        }
        Destination::Outside => Wire::Outside(proto::Outside {}),
        Destination::Unknown => Wire::Unknown(proto::Unknown {}),
    };
    proto::LookupResponse { query_id, version, result: Some(result) }
}

fn encode_endpoint(endpoint: &Endpoint) -> proto::Endpoint {
    let (mode, spiffe_id) = match &endpoint.transport {
        Transport::Mesh(id) => (proto::TransportMode::Mesh, id.to_string()),
        Transport::AsSent => (proto::TransportMode::AsSent, String::new()),
    };
    proto::Endpoint {
        ip: endpoint.address.ip().to_string(),
        port: endpoint.address.port().into(),
        mode: mode.into(),
        spiffe_id,
        protocol: encode::port_protocol(endpoint.protocol).into(),
        workload: endpoint.workload.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// Decodes an answer.
///
/// # Errors
/// When a field is missing, malformed or unknown, or an endpoint's identity and transport contradict each other.
pub fn decode_destination(message: &proto::LookupResponse) -> Result<Destination, DecodeError> {
    answer(message).map_err(|field| field.of(WHAT))
}

fn answer(message: &proto::LookupResponse) -> FieldResult<Destination> {
    use proto::lookup_response::Result as Wire;
    match required("result", message.result.as_ref())? {
        Wire::Endpoints(endpoints) => {
            let ready = each("endpoints", &endpoints.endpoints, endpoint)?;
            Ok(Destination::Endpoints(Endpoints { ready, sticky: endpoints.sticky }))
        }
        Wire::Outside(proto::Outside {}) => Ok(Destination::Outside),
        Wire::Unknown(proto::Unknown {}) => Ok(Destination::Unknown),
    }
}

fn endpoint(message: &proto::Endpoint) -> FieldResult<Endpoint> {
    let ip: IpAddr = parse("ip", &message.ip)?;
    let port = port(&message.port).map_err(|error| error.within("port"))?;
    // FAIL-CLOSED: only an answer that says so in so many words lets bytes leave without mesh TLS.
    let transport = match proto::TransportMode::try_from(message.mode) {
        Ok(proto::TransportMode::Mesh) => Transport::Mesh(parse("spiffe_id", &message.spiffe_id)?),
        Ok(proto::TransportMode::AsSent) if message.spiffe_id.is_empty() => Transport::AsSent,
        Ok(proto::TransportMode::AsSent) => {
            return Err(FieldError::new("spiffe_id", FieldProblem::Unexpected));
        }
        Ok(proto::TransportMode::Unspecified) | Err(_) => {
            return Err(FieldError::unknown("mode", message.mode));
        }
    };
    Ok(Endpoint {
        address: SocketAddr::new(ip, port.number()),
        transport,
        protocol: port_protocol("protocol", message.protocol)?,
        workload: workload(&message.workload)?,
    })
}

fn workload(text: &str) -> FieldResult<Option<WorkloadKey>> {
    if text.is_empty() {
        return Ok(None);
    }
    let (namespace, name) = text
        .split_once('/')
        .ok_or_else(|| FieldError::invalid("workload", "a workload is written `namespace/name`"))?;
    Ok(Some(WorkloadKey { namespace: parse("workload", namespace)?, name: parse("workload", name)? }))
}
