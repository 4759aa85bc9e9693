//! One rule of a `Policy` or `ClusterPolicy`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AuthorizerReference, Obligations, Permission, Relation, RoleReference, Subject};
use crate::schema;

/// Who may, may not, or must be asked whether they may do what, and when. `subjects` and at least one of `roles` and
/// `permissions` are required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = schema::at_least_one(&["roles", "permissions"]),
    transform = schema::never("effect", &["Allow", "Ask"], &["exceptSubjects"]),
    transform = schema::never("effect", &["Allow", "Deny"], &["authorizer"]),
    transform = schema::never("effect", &["Deny", "Ask"], &["obligations"]),
    transform = schema::requires("effect", &["Ask"], "authorizer")
)]
pub struct PolicyRule {
    /// The rule's name, unique in its object. Decisions, events and `bailiwick why` show it.
    #[schemars(transform = schema::label_name)]
    pub name: String,
    /// What a match means. `Allow` permits the call. `Deny` refuses it, whatever any Allow says. `Ask` lets a named external
    /// authorizer refuse it too.
    pub effect: Effect,
    /// The callers that the rule is about, as alternatives.
    #[schemars(transform = schema::list(64, |_| {}))]
    pub subjects: Vec<Subject>,
    /// Callers that the rule is not about although `subjects` matches them. Only in a Deny.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub except_subjects: Option<Vec<Subject>>,
    /// Roles whose permissions the rule is about, in addition to `permissions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub roles: Option<Vec<RoleReference>>,
    /// Permissions that the rule is about, in addition to those of `roles`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub permissions: Option<Vec<Permission>>,
    /// A condition in CEL that must also hold, for example
    /// `now.getHours("UTC") >= 8 && source.namespace == request.headers["x-tenant"]`. In an Allow, a condition that cannot be
    /// evaluated does not match; in a Deny or Ask it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::expression)]
    pub when: Option<String>,
    /// A relation between the caller and an object that must also hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
    /// The rule is in effect from this instant on, for example `2026-12-01T00:00:00Z`. Omitted means it already is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// The rule is in effect until this instant, for example `2026-12-31T00:00:00Z`; calls in flight are decided again then.
    /// Omitted means it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// What is done with a call that this rule permits. Only in an Allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obligations: Option<Obligations>,
    /// The external authorizer that is asked. Required in an Ask, an error elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorizer: Option<AuthorizerReference>,
    /// A sentence for people that is given with the refusal, for example `metrics are for monitoring`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::sentence)]
    pub message: Option<String>,
}

/// What a matching rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Effect {
    /// The call is permitted unless a Deny matches or an authorizer refuses.
    Allow,
    /// The call is refused.
    Deny,
    /// A named external authorizer must also agree.
    Ask,
}
