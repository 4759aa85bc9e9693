//! `Relationship`: tuples (`ReBAC`).

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::status::ObjectStatus;

/// Relations between objects, as tuples of the types that the namespace's RelationSchema defines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "Relationship",
    plural = "bwrelationships",
    singular = "bwrelationship",
    shortname = "bwrel",
    category = "bailiwick",
    namespaced,
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "Relations between objects, as tuples of the types that the namespace's RelationSchema defines.",
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Enforced","type":"string","jsonPath":".status.summary.enforced"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::structural_spec)]
pub struct RelationshipSpec {
    /// The tuples in Zanzibar's notation, `<type>:<id>#<relation>@<type>:<id>`, for example `order:17#owner@user:alice` or
    /// `depot:north#staff@serviceaccount:shop/web`. Several Relationships of a namespace add up.
    // Atomic, not a set: the API server keeps an entry of `managedFields` for each member of a set, so 8,192 tuples would be
    // stored twice and pass etcd's limit of 1.5 MiB an object. The strict decoder refuses duplicates.
    #[schemars(transform = schema::list(8192, schema::tuple))]
    pub tuples: Vec<String>,
}
