//! How a port's bytes are read: a fact of the workload, from Services and container ports, never from a policy.

use std::collections::BTreeMap;

use bailiwick_identity::Port;
use bailiwick_policy::PortProtocol;

use crate::facts::{Facts, WorkloadIndex, workload_warning};
use crate::targets::container_port;
use crate::{Diagnostic, ServicePort, codes};

/// HTTP of any version; gRPC and WebSocket are HTTP.
const HTTP: &[&str] = &["grpc", "h2c", "http", "http2", "ws"];

/// Opaque bytes: TCP, TLS of the application, and protocols in which the server speaks first or that are known not
/// to be HTTP.
const TCP: &[&str] = &[
    "amqp",
    "amqps",
    "cassandra",
    "ftp",
    "ftps",
    "https",
    "imap",
    "imaps",
    "kafka",
    "ldap",
    "ldaps",
    "mariadb",
    "memcache",
    "memcached",
    "mongo",
    "mongodb",
    "mqtt",
    "mssql",
    "mysql",
    "nats",
    "oracle",
    "pop3",
    "pop3s",
    "postgres",
    "postgresql",
    "rabbitmq",
    "redis",
    "rediss",
    "sftp",
    "smtp",
    "smtps",
    "ssh",
    "tcp",
    "telnet",
    "tls",
    "wss",
    "zookeeper",
];

/// The protocols of every port that is declared or that a Service leads to, by workload.
#[derive(Debug, Default)]
pub(crate) struct Protocols {
    pub(crate) by_workload: BTreeMap<WorkloadIndex, BTreeMap<Port, PortProtocol>>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// What is said of one container port.
#[derive(Debug, Default)]
struct Said<'a> {
    app_protocols: Vec<(&'a str, PortProtocol)>,
    container: Option<PortProtocol>,
    port_names: Vec<(&'a str, PortProtocol)>,
}

/// Settles the protocol of every port.
pub(crate) fn settle(facts: &Facts<'_>) -> Protocols {
    let mut said: BTreeMap<(WorkloadIndex, Port), Said<'_>> = BTreeMap::new();
    for (index, (_, workload)) in facts.workloads.iter().enumerate() {
        for port in &workload.ports {
            let entry = said.entry((index, port.port)).or_default();
            // The same port twice is the API server's business; what says something counts.
            entry.container = entry.container.or(port.name.as_deref().and_then(word));
        }
    }
    for (name, service) in facts.namespaces.values().flat_map(|namespace| &namespace.services) {
        for index in &service.workloads {
            let Some((_, workload)) = facts.workloads.get(*index) else { continue };
            for port in &service.service.ports {
                if let Some(container) = container_port(workload, &port.target) {
                    hear(said.entry((*index, container)).or_default(), name, port);
                }
            }
        }
    }
    let mut protocols = Protocols::default();
    for ((index, port), said) in said {
        let (protocol, disagree) = said.settle();
        protocols.by_workload.entry(index).or_default().insert(port, protocol);
        if let (Some((one, other)), Some((key, workload))) = (disagree, facts.workloads.get(index)) {
            let services = if one == other {
                format!("two ports of Service `{one}`")
            } else {
                format!("Services `{one}` and `{other}`")
            };
            let message = format!(
                "{services} disagree on the protocol of port {port} of workload `{key}`, so it is undeclared"
            );
            let help = "give the ports the same `appProtocol`";
            protocols.warnings.push(workload_warning(codes::PROTOCOLS_DISAGREE, workload, message, help));
        }
    }
    for (index, (_, workload)) in facts.workloads.iter().enumerate() {
        for port in &workload.opaque_ports {
            protocols.by_workload.entry(index).or_default().insert(*port, PortProtocol::Tcp);
        }
    }
    protocols
}

fn hear<'a>(said: &mut Said<'a>, service: &'a str, port: &ServicePort) {
    if let Some(protocol) = port.app_protocol.as_deref().and_then(app_protocol) {
        said.app_protocols.push((service, protocol));
    }
    if let Some(protocol) = port.name.as_deref().and_then(word) {
        said.port_names.push((service, protocol));
    }
}

impl<'a> Said<'a> {
    /// The protocol, and two Services that disagree on it.
    fn settle(&self) -> (PortProtocol, Option<(&'a str, &'a str)>) {
        if let Some(settled) = agreement(&self.app_protocols) {
            return settled;
        }
        if let Some(container) = self.container {
            return (container, None);
        }
        agreement(&self.port_names).unwrap_or((PortProtocol::Undeclared, None))
    }
}

/// `None` if nothing is said.
fn agreement<'a>(said: &[(&'a str, PortProtocol)]) -> Option<(PortProtocol, Option<(&'a str, &'a str)>)> {
    let ((service, protocol), rest) = said.split_first()?;
    match rest.iter().find(|(_, other)| other != protocol) {
        Some((other, _)) => Some((PortProtocol::Undeclared, Some((service, other)))),
        None => Some((*protocol, None)),
    }
}

/// The protocol of an `appProtocol`: a word of ours, or one that Kubernetes has defined with its prefix.
fn app_protocol(text: &str) -> Option<PortProtocol> {
    let text = text.to_ascii_lowercase();
    word(text.strip_prefix("kubernetes.io/").unwrap_or(&text))
}

/// The protocol of a word, or of a name that starts with one and `-`.
fn word(name: &str) -> Option<PortProtocol> {
    let word = name.split('-').next().unwrap_or(name);
    if HTTP.contains(&word) {
        Some(PortProtocol::Http)
    } else if TCP.contains(&word) {
        Some(PortProtocol::Tcp)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
