//! Targets: which workloads an object is about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LabelSelector;
use crate::schema;

/// Workloads of the object's namespace: pods by label, or by the Service or ServiceAccount that they belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = schema::exactly_one(&["name", "selector"]),
    transform = schema::never("kind", &["Pod"], &["name"]),
    transform = schema::never("kind", &["Service", "ServiceAccount"], &["selector"])
)]
pub struct Target {
    /// What is selected: `Pod` (with `selector`), `Service` or `ServiceAccount` (with `name`). A Service means the pods that
    /// its selector selects, however they are reached.
    pub kind: TargetKind,
    /// The name of the Service or ServiceAccount. An error with `Pod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::object_name)]
    pub name: Option<String>,
    /// The labels of the pods. Required with `Pod`, an error with the other kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// The ports. For a Service they are the Service's ports, mapped to the pods' own; for the other kinds they are container
    /// ports. Omitted means every port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::number(1, 65535)))]
    pub ports: Option<Vec<u16>>,
}

/// What a target selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// Pods by label.
    Pod,
    /// The pods that a Service selects.
    Service,
    /// The pods that run as a service account.
    ServiceAccount,
}

/// Pods of the namespaces that a ClusterPolicy selects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTarget {
    /// What is selected. A ClusterPolicy selects only `Pod`.
    pub kind: PodTargetKind,
    /// The labels of the pods. Whoever writes pods chooses their labels, so a guardrail should rather select namespaces.
    pub selector: LabelSelector,
    /// The container ports. Omitted means every port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::number(1, 65535)))]
    pub ports: Option<Vec<u16>>,
}

/// What a target of a ClusterPolicy selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodTargetKind {
    /// Pods by label.
    Pod,
}
