//! What `/config` shows: enough to see what is enforced, and never a secret.

use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

use bailiwick_agent::Active;
use bailiwick_identity::PortTrust;
use bailiwick_policy::PortProtocol;
use serde_json::{Map, Value, json};

use crate::shared::Shared;

/// The state as JSON text.
pub(super) fn json(shared: &Shared) -> String {
    let texts = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<String>>();
    let value = json!({
        "workload": shared.workload.to_string(),
        "inbound": texts(&shared.own_listeners.inbound),
        "outbound": texts(&shared.own_listeners.outbound),
        "connectionsOpen": shared.connections.open(),
        "certificate": certificate(shared),
        "bundle": bundle(shared),
        "snapshot": shared.config.current().map(|active| snapshot(&active)),
        "snapshotAgeSeconds": shared.config.age().map(|age| age.as_secs()),
    });
    format!("{value:#}\n")
}

fn certificate(shared: &Shared) -> Option<Value> {
    let current = shared.credentials.current()?;
    let leaf = current.leaf();
    Some(json!({
        "id": leaf.id().as_str(),
        "serial": leaf.serial(),
        "notBefore": leaf.not_before(),
        "notAfter": leaf.not_after(),
    }))
}

/// Trust domains and how many roots each has.
fn bundle(shared: &Shared) -> Value {
    let trust = shared.trust.current();
    trust.bundle().iter().map(|(domain, roots)| (domain.to_string(), Value::from(roots.len()))).collect()
}

fn snapshot(active: &Active) -> Value {
    let snapshot = &active.snapshot;
    let rules: Vec<String> = snapshot.rules().map(|(_, rule)| rule.to_string()).collect();
    let protocols: Map<String, Value> = active
        .protocols
        .iter()
        .map(|(port, protocol)| (port.to_string(), Value::from(protocol_name(*protocol))))
        .collect();
    let ports: Map<String, Value> =
        active.trust.ports.iter().map(|(port, trust)| (port.to_string(), port_trust(trust))).collect();
    let received = active.received_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "id": active.id.to_string(),
        "epoch": active.position.epoch,
        "marks": active.position.marks,
        "version": active.position.version,
        "receivedAt": received.as_secs(),
        "trustDomain": snapshot.trust_domain().as_str(),
        "authorizationAudit": snapshot.authorization_audit(),
        "rules": rules,
        "protocols": protocols,
        "authentication": {"default": port_trust(&active.trust.default), "ports": ports},
    })
}

fn port_trust(trust: &PortTrust) -> Value {
    let domains: Vec<&str> = trust.trust_domains.iter().map(|domain| domain.as_str()).collect();
    json!({
        "mtls": trust.mode.as_str(),
        "trustDomains": domains,
        "audit": trust.audit,
        "invalid": trust.invalid.as_ref().map(|invalid| &invalid.object),
    })
}

const fn protocol_name(protocol: PortProtocol) -> &'static str {
    match protocol {
        PortProtocol::Http => "http",
        PortProtocol::Tcp => "tcp",
        PortProtocol::Undeclared => "undeclared",
    }
}
