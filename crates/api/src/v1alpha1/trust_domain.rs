//! `TrustDomain`: who vouches for identities.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Nothing;
use crate::schema;
use crate::status::ObjectStatus;

/// A trust domain by the name of the object: the mesh's own, with its issuer, or another one whose certificates may be
/// believed. Exactly one of `own` and `federated` is required. At most one TrustDomain is `own`; without one, the mesh is
/// `cluster.local` with the built-in issuer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "TrustDomain",
    plural = "bwtrustdomains",
    singular = "bwtrustdomain",
    shortname = "bwtd",
    category = "bailiwick",
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "A trust domain by the name of the object: the mesh's own, with its issuer, or another one whose certificates may be believed.",
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Enforced","type":"string","jsonPath":".status.summary.enforced"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::one_field, transform = schema::structural_spec)]
pub struct TrustDomainSpec {
    /// The mesh's own trust domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnTrustDomain>,
    /// Another trust domain. Its certificates are believed where an Authentication lists it under `trustDomains`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub federated: Option<FederatedTrustDomain>,
}

/// The mesh's own trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnTrustDomain {
    /// Who issues the certificates of the workloads.
    pub issuer: TrustDomainIssuer,
    /// The certificates of the workloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<LeafCertificate>,
}

/// An issuer of certificates. Exactly one field is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::one_field)]
pub struct TrustDomainIssuer {
    /// The operator makes and keeps a certificate authority of its own. Written `builtIn: {}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_in: Option<Nothing>,
    /// The operator uses a certificate authority that it is given in a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretIssuer>,
    /// cert-manager signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<CertManagerIssuer>,
    /// SPIRE issues, through its Workload API on each node. Written `spire: {}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spire: Option<Nothing>,
    /// The kubelet makes the key and asks the operator as a signer, by PodCertificateRequest. It needs Kubernetes 1.37. Written
    /// `podCertificate: {}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_certificate: Option<Nothing>,
}

/// A certificate authority in a Secret of the operator's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretIssuer {
    /// The name of the Secret, of type `kubernetes.io/tls`, in the operator's own namespace.
    #[schemars(transform = schema::object_name)]
    pub name: String,
}

/// cert-manager as the issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertManagerIssuer {
    /// The issuer that signs.
    pub issuer_ref: IssuerReference,
}

/// An issuer of cert-manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerReference {
    /// `ClusterIssuer`, or `Issuer` in the operator's own namespace.
    pub kind: IssuerKind,
    /// The issuer's name, for example `mesh-ca`.
    #[schemars(transform = schema::object_name)]
    pub name: String,
}

/// The kind of a cert-manager issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    /// An issuer in the operator's namespace.
    Issuer,
    /// An issuer of the cluster.
    ClusterIssuer,
}

/// The certificates of the workloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeafCertificate {
    /// How long a certificate is valid, for example `24h`; it is renewed at half of it. Omitted means `24h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub lifetime: Option<String>,
}

/// Another trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederatedTrustDomain {
    /// The roots of that trust domain. They are believed for identities of that domain only.
    pub bundle: TrustBundle,
}

/// The roots of a trust domain. Exactly one field is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::one_field)]
pub struct TrustBundle {
    /// The root certificates as PEM text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::document)]
    pub inline: Option<String>,
    /// The root certificates as PEM text in a ConfigMap of the operator's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapBundle>,
    /// The URL of a SPIFFE bundle endpoint, for example `https://partner.example/bundle`. It must be `https`, on a host that the
    /// operator's configuration allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::https_url)]
    pub endpoint: Option<String>,
}

/// A key of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapBundle {
    /// The ConfigMap's name in the operator's own namespace.
    #[schemars(transform = schema::object_name)]
    pub name: String,
    /// The key in the ConfigMap, for example `ca.crt`.
    #[schemars(transform = schema::data_key)]
    pub key: String,
}
