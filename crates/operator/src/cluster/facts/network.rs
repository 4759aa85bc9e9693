//! What is kept of Services, EndpointSlices and Nodes: where addresses lead.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Compilable, Keep, RawMetadata, lenient};

/// The label of a slice that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// A Service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    /// The virtual addresses, one of each family at most; none if it is headless.
    pub(crate) cluster_ips: Vec<IpAddr>,
    /// Other addresses that nodes lead to the Service: of its load balancer, and those that its writer names.
    pub(crate) external_ips: Vec<IpAddr>,
    /// The TCP ports: number and name.
    pub(crate) ports: Vec<(u16, String)>,
    /// `sessionAffinity: ClientIP`.
    pub(crate) sticky: bool,
    /// `internalTrafficPolicy: Local`: only endpoints of the caller's own node.
    pub(crate) local_only: bool,
    pub(crate) decoded: Compilable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawService {
    metadata: RawMetadata,
    spec: RawServiceSpec,
    status: RawServiceStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawServiceSpec {
    r#type: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<String>>,
    selector: Option<BTreeMap<String, String>>,
    ports: Option<Vec<Value>>,
    session_affinity: Option<String>,
    internal_traffic_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawServiceStatus {
    load_balancer: RawLoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawLoadBalancer {
    ingress: Option<Vec<RawIngress>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawIngress {
    ip: Option<String>,
    ip_mode: Option<String>,
}

impl Keep for Service {
    fn read(object: Value, before: Option<&Self>) -> Self {
        let RawService { metadata, spec, status } = lenient("Service", object);
        let is_external = spec.r#type.as_deref() == Some("ExternalName");
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": metadata.name, "namespace": metadata.namespace},
            "spec": {"type": spec.r#type, "selector": spec.selector, "ports": spec.ports},
        });
        let decoded = Compilable::new(&manifest, before.map(|before| &before.decoded));
        let mut texts = spec.cluster_ips.unwrap_or_default();
        if texts.is_empty() {
            texts.extend(spec.cluster_ip);
        }
        // A load balancer in proxy mode is on the way: what is sent to it leaves the cluster's own paths.
        let virtual_ip =
            |ingress: RawIngress| ingress.ip.filter(|_| ingress.ip_mode.as_deref().unwrap_or("VIP") == "VIP");
        let balanced = status.load_balancer.ingress.unwrap_or_default().into_iter().filter_map(virtual_ip);
        let external: Vec<String> =
            spec.external_ips.unwrap_or_default().into_iter().chain(balanced).collect();
        let ports = spec.ports.unwrap_or_default();
        Self {
            cluster_ips: if is_external { Vec::new() } else { addresses(&texts) },
            external_ips: if is_external { Vec::new() } else { addresses(&external) },
            ports: ports.iter().filter_map(tcp_port).collect(),
            sticky: spec.session_affinity.as_deref() == Some("ClientIP"),
            local_only: spec.internal_traffic_policy.as_deref() == Some("Local"),
            decoded,
        }
    }
}

fn addresses(texts: &[String]) -> Vec<IpAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Number and name of a TCP port of a Service or a slice.
fn tcp_port(port: &Value) -> Option<(u16, String)> {
    let text = |field: &str| port.get(field).and_then(Value::as_str);
    if text("protocol").is_some_and(|protocol| protocol != "TCP") {
        return None;
    }
    let number = u16::try_from(port.get("port")?.as_u64()?).ok()?;
    Some((number, text("name").unwrap_or_default().to_owned()))
}

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slice {
    /// The name of its Service, in its own namespace; empty if it is of none.
    pub(crate) service: String,
    /// False for names (`addressType: FQDN`).
    pub(crate) has_addresses: bool,
    /// The TCP ports: number and name, as that of the Service's port.
    pub(crate) ports: Vec<(u16, String)>,
    pub(crate) endpoints: Vec<SliceEndpoint>,
}

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SliceEndpoint {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ready: bool,
    /// True for one that is terminating and still serves.
    pub(crate) serving: bool,
    pub(crate) node: String,
    /// `hints.forZones`; empty where there are none.
    pub(crate) zones: Vec<String>,
    /// `hints.forNodes`.
    pub(crate) nodes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawSlice {
    metadata: RawMetadata,
    address_type: String,
    ports: Option<Vec<Value>>,
    endpoints: Option<Vec<RawEndpoint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawEndpoint {
    addresses: Vec<String>,
    conditions: RawConditions,
    node_name: Option<String>,
    hints: Option<RawHints>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawConditions {
    ready: Option<bool>,
    serving: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawHints {
    for_zones: Option<Vec<RawName>>,
    for_nodes: Option<Vec<RawName>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawName {
    name: String,
}

impl Keep for Slice {
    fn read(object: Value, _before: Option<&Self>) -> Self {
        let raw: RawSlice = lenient("EndpointSlice", object);
        let service = raw.metadata.labels.unwrap_or_default().remove(SERVICE_LABEL);
        Self {
            service: service.unwrap_or_default(),
            has_addresses: raw.address_type != "FQDN",
            ports: raw.ports.unwrap_or_default().iter().filter_map(tcp_port).collect(),
            endpoints: raw.endpoints.unwrap_or_default().into_iter().map(endpoint).collect(),
        }
    }
}

fn endpoint(raw: RawEndpoint) -> SliceEndpoint {
    let names =
        |list: Option<Vec<RawName>>| list.unwrap_or_default().into_iter().map(|one| one.name).collect();
    let hints = raw.hints.unwrap_or_default();
    // An omitted condition is true ("unknown" is to be read as ready); serving is as ready where it is omitted.
    let ready = raw.conditions.ready.unwrap_or(true);
    SliceEndpoint {
        addresses: addresses(&raw.addresses),
        ready,
        serving: raw.conditions.serving.unwrap_or(ready),
        node: raw.node_name.unwrap_or_default(),
        zones: names(hints.for_zones),
        nodes: names(hints.for_nodes),
    }
}

/// A node, of which its zone matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Empty where none is labelled.
    pub(crate) zone: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawNode {
    metadata: RawMetadata,
}

impl Keep for Node {
    fn read(object: Value, _before: Option<&Self>) -> Self {
        let raw: RawNode = lenient("Node", object);
        Self { zone: raw.metadata.labels.unwrap_or_default().remove(ZONE_LABEL).unwrap_or_default() }
    }
}
