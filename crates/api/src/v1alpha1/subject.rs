//! Subjects: who a rule is about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelSelector, Nothing};
use crate::schema;

/// A description of callers. The fields of one entry must all hold; several entries are alternatives. At least one field is
/// required.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::not_empty, transform = schema::exclusive("anyone"))]
pub struct Subject {
    /// A service account of the mesh's own trust domain, proven by certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountSubject>,
    /// Every workload of a namespace of the mesh's own trust domain, proven by certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceSubject>,
    /// The address of the TCP peer. Forwarding headers such as `X-Forwarded-For` never count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
    /// A SPIFFE ID of any accepted trust domain, proven by certificate, for example `spiffe://partner.example/ns/*/sa/sync`.
    /// `*` is one whole segment of the path, never the trust domain.
    #[serde(rename = "spiffeID", skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::spiffe_id)]
    pub spiffe_id: Option<String>,
    /// The user or client that a token or session proves, as believed by an Authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalSubject>,
    /// A peer of any accepted trust domain that is proven by certificate. Written `authenticated: {}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<Nothing>,
    /// A peer without a proven certificate: the complement of `authenticated`. Written `unauthenticated: {}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unauthenticated: Option<Nothing>,
    /// Every caller, proven or not. Written `anyone: {}`, alone in its entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anyone: Option<Nothing>,
}

/// A service account by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountSubject {
    /// The service account's name, for example `web`.
    #[schemars(transform = schema::object_name)]
    pub name: String,
    /// The service account's namespace. Omitted means the Policy's own; a ClusterPolicy has none and must name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::label_name)]
    pub namespace: Option<String>,
}

/// Namespaces by name or by label. Exactly one of `name` and `selector` is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::one_field)]
pub struct NamespaceSubject {
    /// The namespace's name, for example `billing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::label_name)]
    pub name: Option<String>,
    /// The namespace's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// A range of addresses with exceptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpBlock {
    /// The range in CIDR notation, for example `10.0.0.0/8` or `fd00::/8`. Bits outside the prefix must be zero.
    #[schemars(transform = schema::cidr)]
    pub cidr: String,
    /// Ranges inside `cidr` that do not match, for example `[10.1.0.0/16]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::cidr))]
    pub except: Option<Vec<String>>,
}

/// The user or client that a token or session proves. All the fields must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrincipalSubject {
    /// The issuer of the token, exactly as in its claim `iss`, for example `https://id.example/realms/shop`. A subject is
    /// unique only within its issuer, so this is required.
    #[schemars(transform = schema::issuer)]
    pub issuer: String,
    /// Values of the claim `sub` as alternatives. Omitted means any subject of the issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::claim_text))]
    pub subjects: Option<Vec<String>>,
    /// OAuth scopes that must all be there, for example `["orders:read"]`. A missing one is answered with 403 and
    /// `insufficient_scope`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::scope))]
    pub scopes: Option<Vec<String>>,
    /// Requirements on other claims; all must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub claims: Option<Vec<ClaimRequirement>>,
}

/// A requirement on one claim. Exactly one of `contains` and `equals` is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::exactly_one(&["contains", "equals"]))]
pub struct ClaimRequirement {
    /// The way to the claim, one name a level, for example `[realm_access, roles]`.
    #[schemars(transform = schema::list(16, schema::claim_name))]
    pub path: Vec<String>,
    /// The claim is this string, or a list of strings with this element, for example `ops`. It is never a substring.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::claim_text)]
    pub contains: Option<String>,
    /// The claim is exactly this string, truth value or number, for example `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::claim_value)]
    pub equals: Option<serde_json::Value>,
}
