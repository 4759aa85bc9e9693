//! References to other objects and to the operator's configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A Role by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleReference {
    /// The Role's name, for example `order-reader`.
    #[schemars(transform = schema::object_name)]
    pub name: String,
    /// The Role's namespace. Omitted means the namespace of the object that holds this reference; a ClusterPolicy has none
    /// and must name it. Whoever may write Roles in that namespace decides what this reference grants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::label_name)]
    pub namespace: Option<String>,
}

/// An external authorizer of the operator's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizerReference {
    /// The authorizer's name in the operator's configuration, for example `opa`. An object never holds an address itself.
    #[schemars(transform = schema::configured_name)]
    pub name: String,
    /// How long to wait for the answer, for example `200ms`. Without a permit in time the call is refused. Omitted means
    /// the time in the operator's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<String>,
}

/// Written `{}`: the field says all it has to say by being there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = schema::no_fields)]
pub struct Nothing {}
