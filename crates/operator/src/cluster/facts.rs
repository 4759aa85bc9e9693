//! What is kept of each object: what is read of it, and nothing else.

mod network;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

pub(crate) use network::{Node, Service, Slice, SliceEndpoint};

use bailiwick_compile::ObjectKind;
use bailiwick_inputs::ApiObject;
use bailiwick_pod::{environment, names};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::summary::Summary;

/// What a store keeps of an object of one kind.
pub(crate) trait Keep: Sized + PartialEq + Send + Sync + std::fmt::Debug + 'static {
    /// Reads the object. What cannot be read is kept empty: an object is never dropped, so that its end is seen.
    /// `before` is an earlier version of the same object: what did not change is not decoded again.
    fn read(object: Value, before: Option<&Self>) -> Self;

    /// Reads an object that nothing is known of.
    fn keep(object: Value) -> Self {
        Self::read(object, None)
    }
}

/// What the compile reads of an object.
#[derive(Debug, Clone)]
pub(crate) struct Compilable {
    manifest: Arc<str>,
    pub(crate) object: ApiObject,
}

impl Compilable {
    fn new(manifest: &Value, before: Option<&Self>) -> Self {
        let text = manifest.to_string();
        match before.filter(|before| *before.manifest == *text) {
            Some(before) => before.clone(),
            None => Self { manifest: Arc::from(text), object: ApiObject::decode(manifest) },
        }
    }
}

impl PartialEq for Compilable {
    fn eq(&self, other: &Self) -> bool {
        self.manifest == other.manifest
    }
}

/// A pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pod {
    pub(crate) labels: BTreeMap<String, String>,
    /// Those of `bailiwick.dev/` only.
    pub(crate) annotations: BTreeMap<String, String>,
    /// True once its deletion was asked for.
    pub(crate) terminating: bool,
    pub(crate) service_account: String,
    /// Empty until it is scheduled.
    pub(crate) node: String,
    pub(crate) host_network: bool,
    /// `status.phase`.
    pub(crate) phase: Phase,
    pub(crate) ready: bool,
    pub(crate) addresses: Vec<IpAddr>,
    /// The node's address.
    pub(crate) host_address: Option<IpAddr>,
    pub(crate) containers: Vec<Container>,
    /// Inbound ports that its capture leaves out, as its own spec says, where it has our sidecar.
    pub(crate) uncaptured: Vec<RangeInclusive<u16>>,
    /// What the compile reads of it.
    pub(crate) decoded: Compilable,
}

/// `status.phase` of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(crate) enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// True once nothing of the pod runs any more.
    pub(crate) const fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed => true,
            Self::Pending | Self::Running | Self::Unknown => false,
        }
    }
}

/// A container of a pod, an init container if it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) init: bool,
    /// Goes on running: a container, or an init container with `restartPolicy: Always`.
    pub(crate) keeps_running: bool,
    /// Only of our own containers; empty for others.
    pub(crate) image: String,
}

impl Pod {
    /// True if the pod's own spec has our sidecar: never a label's or an annotation's word.
    pub(crate) fn has_sidecar(&self) -> bool {
        !self.host_network && self.sidecar().is_some()
    }

    /// Our sidecar's container.
    pub(crate) fn sidecar(&self) -> Option<&Container> {
        let ours = |container: &&Container| {
            container.name == names::SIDECAR_CONTAINER && container.init && container.keeps_running
        };
        self.containers.iter().find(ours)
    }

    /// True while the pod is one: its sidecar may be there, and callers may reach it.
    pub(crate) const fn is_live(&self) -> bool {
        !self.phase.is_terminal()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPod {
    metadata: RawMetadata,
    spec: RawPodSpec,
    status: RawPodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawMetadata {
    name: String,
    namespace: String,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPodSpec {
    service_account_name: Option<String>,
    node_name: Option<String>,
    host_network: Option<bool>,
    containers: Option<Vec<RawContainer>>,
    init_containers: Option<Vec<RawContainer>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawContainer {
    name: String,
    image: Option<String>,
    restart_policy: Option<String>,
    ports: Option<Value>,
    env: Option<Vec<RawVariable>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawVariable {
    name: String,
    value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPodStatus {
    phase: Option<Phase>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<RawAddress>>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    conditions: Option<Vec<RawCondition>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawAddress {
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCondition {
    r#type: String,
    status: String,
}

impl Keep for Pod {
    fn read(object: Value, before: Option<&Self>) -> Self {
        let raw: RawPod = lenient("Pod", object);
        let manifest = manifest(&raw);
        let uncaptured = uncaptured(&raw.spec);
        let RawPod { metadata, spec, status } = raw;
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.retain(|name, _| name.starts_with(names::ANNOTATION_PREFIX));
        let mut addresses: Vec<IpAddr> =
            status.pod_ips.unwrap_or_default().iter().filter_map(|one| one.ip.parse().ok()).collect();
        if addresses.is_empty() {
            addresses.extend(status.pod_ip.and_then(|ip| ip.parse::<IpAddr>().ok()));
        }
        let is_ready = |condition: &RawCondition| condition.r#type == "Ready" && condition.status == "True";
        let of = |init: bool| move |raw: RawContainer| container(raw, init);
        Self {
            labels: metadata.labels.unwrap_or_default(),
            annotations,
            terminating: metadata.deletion_timestamp.is_some(),
            service_account: account(spec.service_account_name),
            node: spec.node_name.unwrap_or_default(),
            host_network: spec.host_network.unwrap_or(false),
            phase: status.phase.unwrap_or_default(),
            ready: status.conditions.unwrap_or_default().iter().any(is_ready),
            addresses,
            host_address: status.host_ip.and_then(|ip| ip.parse().ok()),
            uncaptured,
            containers: spec
                .init_containers
                .unwrap_or_default()
                .into_iter()
                .map(of(true))
                .chain(spec.containers.unwrap_or_default().into_iter().map(of(false)))
                .collect(),
            decoded: Compilable::new(&manifest, before.map(|before| &before.decoded)),
        }
    }
}

fn account(name: Option<String>) -> String {
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
}

/// The ports that the capture container is told to leave out. FAIL-CLOSED: what cannot be read counts as captured.
fn uncaptured(spec: &RawPodSpec) -> Vec<RangeInclusive<u16>> {
    let containers = spec.init_containers.iter().flatten();
    let capture = containers.filter(|container| container.name == names::CAPTURE_CONTAINER);
    let variables = capture.flat_map(|container| container.env.iter().flatten());
    let skipped = variables.filter(|variable| variable.name == environment::SKIP_INBOUND_PORTS);
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    skipped
        .filter_map(|variable| variable.value.as_deref())
        .flat_map(|value| value.split(','))
        .filter_map(range)
        .collect()
}

fn container(raw: RawContainer, init: bool) -> Container {
    let ours = raw.name == names::SIDECAR_CONTAINER || raw.name == names::CAPTURE_CONTAINER;
    Container {
        keeps_running: !init || raw.restart_policy.as_deref() == Some("Always"),
        image: raw.image.filter(|_| ours).unwrap_or_default(),
        name: raw.name,
        init,
    }
}

/// What the compile reads of a pod, as the manifest that a folder would hold. Our own sidecar's ports are not the
/// application's.
fn manifest(raw: &RawPod) -> Value {
    let containers = |list: &Option<Vec<RawContainer>>| -> Value {
        let of = |raw: &RawContainer| json!({"name": raw.name, "restartPolicy": raw.restart_policy, "ports": raw.ports});
        let ours = |raw: &&RawContainer| raw.name != names::SIDECAR_CONTAINER;
        list.iter().flatten().filter(ours).map(of).collect()
    };
    let opaque = raw.metadata.annotations.as_ref().and_then(|all| all.get(names::OPAQUE_PORTS));
    let annotations: Map<String, Value> =
        opaque.map(|ports| (names::OPAQUE_PORTS.to_owned(), json!(ports))).into_iter().collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": raw.metadata.name,
            "namespace": raw.metadata.namespace,
            "labels": raw.metadata.labels,
            "annotations": annotations,
        },
        "spec": {
            "serviceAccountName": account(raw.spec.service_account_name.clone()),
            "containers": containers(&raw.spec.containers),
            "initContainers": containers(&raw.spec.init_containers),
        },
    })
}

/// A namespace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamespaceFacts {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) terminating: bool,
    pub(crate) decoded: Compilable,
}

impl NamespaceFacts {
    /// True if its pods are to have a sidecar.
    pub(crate) fn is_enrolled(&self) -> bool {
        self.labels.get(names::INJECT_LABEL).is_some_and(|value| value == names::INJECT_ENABLED)
    }
}

impl Keep for NamespaceFacts {
    fn read(object: Value, before: Option<&Self>) -> Self {
        let RawPod { metadata, .. } = lenient("Namespace", object);
        let labels = metadata.labels.unwrap_or_default();
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": metadata.name, "labels": labels},
        });
        Self {
            labels,
            terminating: metadata.deletion_timestamp.is_some(),
            decoded: Compilable::new(&manifest, before.map(|before| &before.decoded)),
        }
    }
}

/// An object of `bailiwick.dev`.
#[derive(Debug, Clone)]
pub(crate) struct OwnObject {
    /// `metadata.generation`: grows with every change but those of metadata and status.
    pub(crate) generation: i64,
    /// `status` as it stands, for whoever writes it.
    pub(crate) status: Value,
    /// What the columns of `kubectl get` say of its spec.
    pub(crate) summary: Summary,
    pub(crate) decoded: ApiObject,
}

impl PartialEq for OwnObject {
    /// The generation stands for everything that is decoded (the store compares those of one uid only).
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation && self.status == other.status
    }
}

impl Keep for OwnObject {
    fn read(object: Value, before: Option<&Self>) -> Self {
        let Value::Object(mut fields) = object else {
            let (status, summary) = (Value::Null, Summary::default());
            return Self { generation: 0, status, summary, decoded: ApiObject::decode(&Value::Null) };
        };
        let status = fields.remove("status").unwrap_or_default();
        let metadata = fields.remove("metadata").unwrap_or_default();
        let field = |name: &str| metadata.get(name).cloned();
        let generation = field("generation").and_then(|value| value.as_i64()).unwrap_or(0);
        // INVARIANT: the generation grows with every change of what is decoded (the API server sees to it).
        if let Some(before) = before.filter(|before| before.generation == generation && generation > 0) {
            let summary = before.summary.clone();
            return Self { generation, status, summary, decoded: before.decoded.clone() };
        }
        let kind = fields.get("kind").and_then(Value::as_str).and_then(kind_of);
        let spec = fields.get("spec").unwrap_or(&Value::Null);
        let summary = kind.map(|kind| Summary::of(kind, spec)).unwrap_or_default();
        // Fields of the API server's own are none that a user could have misspelt.
        let mut kept = Map::new();
        for name in ["name", "namespace", "generation"] {
            if let Some(value) = field(name) {
                kept.insert(name.to_owned(), value);
            }
        }
        fields.insert("metadata".to_owned(), Value::Object(kept));
        Self { generation, status, summary, decoded: ApiObject::decode(&Value::Object(fields)) }
    }
}

fn kind_of(name: &str) -> Option<ObjectKind> {
    ObjectKind::ALL.into_iter().find(|kind| kind.as_str() == name)
}

/// Reads what is read; an object that the API server would never have let in is read as an empty one.
fn lenient<T: Default + serde::de::DeserializeOwned>(kind: &str, object: Value) -> T {
    serde_json::from_value(object).unwrap_or_else(|error| {
        tracing::error!(kind, %error, "an object of the API server cannot be read");
        T::default()
    })
}
