//! Version `v1alpha1` of every kind.
//!
//! Required fields are plain, optional ones are `Option`; a union is a struct of options of which the schema lets exactly
//! one be set. An omitted field never has a default in the schema: what its absence means is said at the field.

mod authentication;
mod cluster_policy;
mod connection_limit;
mod obligations;
mod permission;
mod policy;
mod reference;
mod relation;
mod relation_schema;
mod relationship;
mod role;
mod rule;
mod selector;
mod session;
mod subject;
mod target;
mod token;
mod trust_domain;

pub use authentication::{Authentication, AuthenticationSpec, Mtls, MtlsMode, MtlsPort};
pub use cluster_policy::{ClusterPolicy, ClusterPolicySpec};
pub use connection_limit::{AddressSubject, ConnectionLimit};
pub use obligations::{HeaderObligation, Obligations, RateLimit};
pub use permission::{GrpcPermission, HttpPermission, Permission, TcpPermission};
pub use policy::{Mode, Policy, PolicySpec};
pub use reference::{AuthorizerReference, Nothing, RoleReference};
pub use relation::{Relation, RelationResource, RelationSubject, SubjectSource};
pub use relation_schema::{RelationSchema, RelationSchemaSpec};
pub use relationship::{Relationship, RelationshipSpec};
pub use role::{Role, RoleSpec};
pub use rule::{Effect, PolicyRule};
pub use selector::{LabelSelector, SelectorOperator, SelectorRequirement};
pub use session::{AssuranceLevel, KratosSession, Session};
pub use subject::{
    ClaimRequirement, IpBlock, NamespaceSubject, PrincipalSubject, ServiceAccountSubject, Subject,
};
pub use target::{PodTarget, PodTargetKind, Target, TargetKind};
pub use token::{
    ClaimDeclaration, ClaimType, CredentialRequirement, IntrospectionReference, Token, TokenBinding,
    TokenForwarding, TokenKeys, TokenLocation,
};
pub use trust_domain::{
    CertManagerIssuer, ConfigMapBundle, FederatedTrustDomain, IssuerKind, IssuerReference, LeafCertificate,
    OwnTrustDomain, SecretIssuer, TrustBundle, TrustDomain, TrustDomainIssuer, TrustDomainSpec,
};
