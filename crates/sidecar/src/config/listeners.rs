//! The ports that the data plane listens on, and where each leads.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use bailiwick_identity::{NameError, Namespace, Port, PortError, WorkloadName};
use bailiwick_runtime::config::{Collector, parse};
use serde::Deserialize;

/// An item of `inbound`, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawInbound {
    listen: Option<String>,
    port: Option<String>,
    forward: Option<String>,
}

/// An item of `outbound`, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawOutbound {
    listen: Option<String>,
    service: Option<String>,
}

/// One port of the workload.
#[derive(Debug, Clone)]
pub(crate) struct InboundPort {
    /// Where callers connect to.
    pub(crate) listen: SocketAddr,
    /// The container port that it stands for: what policies mean by a port.
    pub(crate) port: Port,
    /// Where the application listens.
    pub(crate) forward: SocketAddr,
}

/// A Service that the application calls.
#[derive(Debug, Clone)]
pub(crate) struct OutboundService {
    /// Where the application connects to.
    pub(crate) listen: SocketAddr,
    /// The Service that it reaches there.
    pub(crate) service: ServicePort,
}

/// A Service and one of its ports, `namespace/name:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ServicePort {
    /// The Service's namespace.
    pub(crate) namespace: Namespace,
    /// Its name.
    pub(crate) name: WorkloadName,
    /// The Service's port, not the container's.
    pub(crate) port: Port,
}

/// Why a text does not name a Service's port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServicePortError {
    /// It is not of the form.
    #[error("`{0}` is not a Service: write its namespace, name and port, such as `shop/orders:8080`")]
    Form(String),
    /// One of the two is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The port is none.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl FromStr for ServicePort {
    type Err = ServicePortError;

    fn from_str(text: &str) -> Result<Self, ServicePortError> {
        let form = || ServicePortError::Form(text.to_owned());
        let (service, port) = text.rsplit_once(':').ok_or_else(form)?;
        let (namespace, name) = service.split_once('/').ok_or_else(form)?;
        Ok(Self { namespace: namespace.parse()?, name: name.parse()?, port: port.parse()? })
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}:{}", self.namespace, self.name, self.port)
    }
}

/// All inbound ports, or `None` with every mistake recorded.
pub(super) fn inbound(collector: &mut Collector, raw: Vec<RawInbound>) -> Option<Vec<InboundPort>> {
    let mut ports = Vec::with_capacity(raw.len());
    let count = raw.len();
    for (index, item) in raw.into_iter().enumerate() {
        let path = |field: &str| format!("inbound[{index}].{field}");
        let listen =
            collector.parsed_required(&path("listen"), item.listen.as_deref(), parse::socket_address);
        let port = collector.parsed_required(&path("port"), item.port.as_deref(), str::parse);
        let forward =
            collector.parsed_required(&path("forward"), item.forward.as_deref(), parse::socket_address);
        if let (Some(listen), Some(port), Some(forward)) = (listen, port, forward) {
            ports.push(InboundPort { listen, port, forward });
        }
    }
    (ports.len() == count).then_some(ports)
}

/// All outbound services, or `None` with every mistake recorded.
pub(super) fn outbound(collector: &mut Collector, raw: Vec<RawOutbound>) -> Option<Vec<OutboundService>> {
    let mut services = Vec::with_capacity(raw.len());
    let count = raw.len();
    for (index, item) in raw.into_iter().enumerate() {
        let path = |field: &str| format!("outbound[{index}].{field}");
        let listen =
            collector.parsed_required(&path("listen"), item.listen.as_deref(), parse::socket_address);
        let service = collector.parsed_required(&path("service"), item.service.as_deref(), str::parse);
        if let (Some(listen), Some(service)) = (listen, service) {
            services.push(OutboundService { listen, service });
        }
    }
    (services.len() == count).then_some(services)
}

/// What only all listeners together can get wrong.
pub(super) fn check_together(
    collector: &mut Collector,
    (inbound, outbound): (&[InboundPort], &[OutboundService]),
    admin: Option<SocketAddr>,
) {
    if inbound.is_empty() && outbound.is_empty() {
        collector
            .mistake("inbound", "there is nothing to do: write at least one item of `inbound` or `outbound`");
    }
    let mut listeners: Vec<_> = admin.map(|admin| ("admin.listen".to_owned(), admin)).into_iter().collect();
    listeners.extend(
        inbound.iter().enumerate().map(|(index, port)| (format!("inbound[{index}].listen"), port.listen)),
    );
    listeners.extend(
        outbound.iter().enumerate().map(|(index, item)| (format!("outbound[{index}].listen"), item.listen)),
    );
    for (index, (path, address)) in listeners.iter().enumerate() {
        let earlier = listeners.iter().take(index).find(|(_, earlier)| reaches(*address, *earlier));
        if let Some((earlier, _)) = earlier {
            collector.mistake(path, format_args!("`{address}` is also `{earlier}`"));
        }
    }
    for (index, port) in inbound.iter().enumerate() {
        // A sidecar that forwards to itself would call itself until nothing is left (security case J4).
        if port.forward.port() == 0 {
            collector.mistake(&format!("inbound[{index}].forward"), "port 0 cannot be connected to");
        } else if let Some((path, _)) =
            listeners.iter().find(|(_, listener)| reaches(port.forward, *listener))
        {
            let text = format_args!("`{}` leads back to this sidecar: it is `{path}`", port.forward);
            collector.mistake(&format!("inbound[{index}].forward"), text);
        }
    }
}

/// True if a connection to `address` ends at what listens on `listener`.
fn reaches(address: SocketAddr, listener: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    let (to, at) = (address.ip().to_canonical(), listener.ip().to_canonical());
    address.port() == listener.port() && address.port() != 0 && (to == at || any(at) || any(to))
}
