//! `Role`: a named, reusable set of permissions.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Permission, RoleReference};
use crate::schema;
use crate::status::ObjectStatus;

/// A named, reusable set of permissions. A Role grants nothing by itself: a Policy in the namespace of the workload, or a
/// ClusterPolicy, binds it to subjects. At least one of `inherits` and `permissions` is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "Role",
    plural = "bwroles",
    singular = "bwrole",
    shortname = "bwr",
    category = "bailiwick",
    namespaced,
    status = "ObjectStatus",
    derive = "PartialEq",
    doc = "A named, reusable set of permissions. A Role grants nothing by itself: a Policy in the namespace of the workload, or a ClusterPolicy, binds it to subjects.",
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Enforced","type":"string","jsonPath":".status.summary.enforced"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = schema::at_least_one(&["inherits", "permissions"]),
    transform = schema::structural_spec
)]
pub struct RoleSpec {
    /// Other Roles whose permissions this Role has too. A cycle is an error. A Role of another namespace may be named; its
    /// writers are then trusted with the content of this Role.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub inherits: Option<Vec<RoleReference>>,
    /// What can be done, as alternatives: a call that any one entry matches is in the Role.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub permissions: Option<Vec<Permission>>,
}
