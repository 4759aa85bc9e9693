//! The relation that a rule may require (`ReBAC`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AuthorizerReference;
use crate::schema;

/// A relation between a subject and an object, as the RelationSchema and the Relationships of a namespace define it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Relation {
    /// The namespace whose RelationSchema and Relationships are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::label_name)]
    pub namespace: Option<String>,
    /// The object that the call is about.
    pub resource: RelationResource,
    /// The permission or relation that the subject must have on the object, for example `viewer`.
    #[schemars(transform = schema::relation_name)]
    pub permission: String,
    /// Who must have it. Omitted means the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<RelationSubject>,
    /// An external service that holds the tuples, for graphs that are too large for a sidecar. Omitted means that the
    /// Relationships of the namespace are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorizer: Option<AuthorizerReference>,
}

/// An object of a RelationSchema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RelationResource {
    /// The object's type in the RelationSchema, for example `order`.
    #[serde(rename = "type")]
    #[schemars(transform = schema::object_type)]
    pub object_type: String,
    /// A CEL expression that gives the object's id as a string, for example `path.id`.
    #[schemars(transform = schema::expression)]
    pub id_expression: String,
}

/// The subject of a relation: `from`, or `type` and `idExpression` together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = schema::exactly_one(&["from", "idExpression"]),
    transform = schema::together("type", "idExpression")
)]
pub struct RelationSubject {
    /// `Peer` is the caller that its certificate proves, `serviceaccount:<namespace>/<name>`, or `spiffe:<id>` for one of
    /// another trust domain. `Principal` is the user that a token or session of the RelationSchema's `userIssuer` proves,
    /// `user:<subject>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<SubjectSource>,
    /// The subject's type in the RelationSchema, for example `device`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::object_type)]
    pub object_type: Option<String>,
    /// A CEL expression that gives the subject's id as a string, for example `principal.claims.device`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::expression)]
    pub id_expression: Option<String>,
}

/// Which proven identity is the subject of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SubjectSource {
    /// The peer that its certificate proves.
    Peer,
    /// The principal that a token or session proves.
    Principal,
}
