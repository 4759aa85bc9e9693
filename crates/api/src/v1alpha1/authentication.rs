//! `Authentication`: which credentials are believed.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Session, Target, Token};
use crate::schema;
use crate::status::ObjectStatus;

/// For these workloads of the Authentication's namespace, which credentials are believed. An omitted field has no opinion.
/// Where no Authentication has one, mTLS is `Strict`, only the mesh's own trust domain is accepted, and no token is believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "Authentication",
    plural = "bwauthentications",
    singular = "bwauthentication",
    shortname = "bwan",
    category = "bailiwick",
    namespaced,
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "For these workloads of the Authentication's namespace, which credentials are believed.",
    printcolumn = r#"{"name":"Targets","type":"string","jsonPath":".status.summary.targets"}"#,
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".status.summary.mode"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Enforced","type":"string","jsonPath":".status.summary.enforced"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::structural_spec)]
pub struct AuthenticationSpec {
    /// The workloads that the Authentication is about, as alternatives. Omitted means every workload of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub targets: Option<Vec<Target>>,
    /// Whether callers must prove themselves by certificate. Omitted has no opinion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls: Option<Mtls>,
    /// The trust domains whose certificates are believed, for example `[cluster.local, partner.example]`. Each of them but the
    /// mesh's own needs a TrustDomain. Several Authentications on one port accept what all of them accept. Omitted has no
    /// opinion.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::trust_domain))]
    pub trust_domains: Option<Vec<String>>,
    /// The tokens that are believed, by issuer. Several Authentications on one port add up. Omitted has no opinion.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(16, |_| {}))]
    pub tokens: Option<Vec<Token>>,
    /// The browser sessions that are believed, by provider. Several Authentications on one port add up. Omitted has no opinion.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(16, |_| {}))]
    pub sessions: Option<Vec<Session>>,
}

/// Whether callers must prove themselves by certificate. At least one field is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::not_empty)]
pub struct Mtls {
    /// The mode of every selected port that `ports` does not name. `Strict`: a caller without a valid certificate is refused.
    /// `Permissive`: plaintext is accepted, from an unproven subject. `Disabled`: the mesh's TLS is not used; policies still
    /// decide. Where several Authentications differ, `Strict` wins over `Permissive` and `Permissive` over `Disabled`. Omitted
    /// has no opinion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<MtlsMode>,
    /// Ports with a mode of their own, which replaces `mode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::map(64, "port"))]
    pub ports: Option<Vec<MtlsPort>>,
}

/// The mode of one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MtlsPort {
    /// The container port, for example `9187`.
    #[schemars(transform = schema::number(1, 65535))]
    pub port: u16,
    /// The mode of this port: `Strict`, `Permissive` or `Disabled`.
    pub mode: MtlsMode,
}

/// Whether a port demands certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MtlsMode {
    /// A caller without a valid certificate is refused.
    Strict,
    /// Plaintext is accepted, from an unproven subject.
    Permissive,
    /// The mesh's TLS is not used; policies still decide.
    Disabled,
}
