//! `ClusterPolicy`: guardrails of the platform team.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConnectionLimit, LabelSelector, Mode, PodTarget, PolicyRule};
use crate::schema;
use crate::status::ObjectStatus;

/// A guardrail of the platform team over the workloads of many namespaces: no Policy can override its Deny. At least one of
/// `rules` and `connectionLimits` is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "ClusterPolicy",
    plural = "bwclusterpolicies",
    singular = "bwclusterpolicy",
    shortname = "bwcp",
    category = "bailiwick",
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "A guardrail of the platform team over the workloads of many namespaces: no Policy can override its Deny.",
    selectable = ".spec.mode",
    printcolumn = r#"{"name":"Targets","type":"string","jsonPath":".status.summary.targets"}"#,
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".status.summary.mode"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Enforced","type":"string","jsonPath":".status.summary.enforced"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = schema::at_least_one(&["rules", "connectionLimits"]),
    transform = schema::structural_spec,
    transform = schema::qualified_references
)]
pub struct ClusterPolicySpec {
    /// The labels of the namespaces that the ClusterPolicy is about. Omitted means every enrolled namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The pods of those namespaces that the ClusterPolicy is about, as alternatives. Omitted means all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub targets: Option<Vec<PodTarget>>,
    /// `Enforce`: the ClusterPolicy takes part in every decision. `Audit`: it takes no part; what it would have changed is
    /// reported. Omitted means `Enforce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The rules. Their order never matters. A ClusterPolicy has no namespace, so `namespace` is required on every service
    /// account, role and relation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::map(64, "name"))]
    pub rules: Option<Vec<PolicyRule>>,
    /// Limits of new connections, counted before the handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(16, |_| {}))]
    pub connection_limits: Option<Vec<ConnectionLimit>>,
}
