//! `RelationSchema`: object types, relations and permissions (`ReBAC`).

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::status::ObjectStatus;

/// The object types of a namespace, the relations between them and the permissions that follow. There is at most one
/// RelationSchema in a namespace. Who may write Relationships cannot change what they mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "RelationSchema",
    plural = "bwrelationschemas",
    singular = "bwrelationschema",
    shortname = "bwrs",
    category = "bailiwick",
    namespaced,
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "The object types of a namespace, the relations between them and the permissions that follow.",
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Enforced","type":"string","jsonPath":".status.summary.enforced"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::structural_spec)]
pub struct RelationSchemaSpec {
    /// The definitions in SpiceDB's schema language, for example
    /// `definition order { relation owner: user permission viewer = owner }`.
    #[schemars(transform = schema::document)]
    pub schema: String,
    /// The issuer whose subjects are the objects of type `user`, exactly as in the claim `iss` of its tokens, for example
    /// `https://id.example/realms/shop`. Omitted means that no token's subject is a `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::issuer)]
    pub user_issuer: Option<String>,
}
