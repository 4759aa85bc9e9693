//! `Policy`: who may do what to which workloads of a namespace.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConnectionLimit, PolicyRule, Target};
use crate::schema;
use crate::status::ObjectStatus;

/// For these workloads of the Policy's namespace, these subjects may or may not do this, under these conditions. At least one
/// of `rules` and `connectionLimits` is required. Several Policies on one workload add up; a Deny always wins; what no rule
/// allows is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "Policy",
    plural = "bwpolicies",
    singular = "bwpolicy",
    shortname = "bwp",
    category = "bailiwick",
    namespaced,
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "For these workloads of the Policy's namespace, these subjects may or may not do this, under these conditions.",
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
    transform = schema::own_namespace_relations
)]
pub struct PolicySpec {
    /// The workloads that the Policy is about, as alternatives. Omitted means every workload of the namespace. A target that
    /// matches nothing is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub targets: Option<Vec<Target>>,
    /// `Enforce`: the Policy takes part in every decision. `Audit`: it takes no part; what it would have changed is reported.
    /// Omitted means `Enforce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The rules. Their order never matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::map(64, "name"))]
    pub rules: Option<Vec<PolicyRule>>,
    /// Limits of new connections, counted before the handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(16, |_| {}))]
    pub connection_limits: Option<Vec<ConnectionLimit>>,
}

/// Whether an object takes part in decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It does not; what it would have changed is reported.
    Audit,
}
