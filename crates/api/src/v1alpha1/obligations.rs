//! Obligations: what is done with a permitted call.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What is done with a permitted call. At least one field is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::not_empty)]
pub struct Obligations {
    /// Request headers that are removed before the call is forwarded, for example `[x-internal]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::header_name))]
    pub remove_headers: Option<Vec<String>>,
    /// Request headers that are set before the call is forwarded. Where several matching rules set the same header, its
    /// different values are sorted and joined by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::map(64, "name"))]
    pub set_headers: Option<Vec<HeaderObligation>>,
    /// How often this rule permits. Over the limit the rule does not match; if no other rule permits the call either, it is
    /// answered with 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// A header and its value. Exactly one of `value` and `valueExpression` is required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::exactly_one(&["value", "valueExpression"]))]
pub struct HeaderObligation {
    /// The header's name in lower case, for example `x-scope`. Headers of the connection, of the message's framing and
    /// `x-bailiwick-*` are errors.
    #[schemars(transform = schema::header_name)]
    pub name: String,
    /// The header's value, for example `orders:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::header_value)]
    pub value: Option<String>,
    /// A CEL expression that gives the header's value as a string, for example `principal.subject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::expression)]
    pub value_expression: Option<String>,
}

/// A bound on calls over time, counted by each sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// The number of calls, for example `50`.
    #[schemars(transform = schema::number(1, 1_000_000_000))]
    pub requests: u32,
    /// The span of time in which they may come, for example `1s`.
    #[schemars(transform = schema::duration)]
    pub per: String,
    /// A CEL expression that gives a string; calls with different strings are counted apart, for example `source.identity`.
    /// Omitted means that all calls are counted together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::expression)]
    pub key_expression: Option<String>,
}
