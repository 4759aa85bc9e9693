//! Label selectors. Kubernetes' own type lets an empty selector mean everything; here it is an error.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Selects by labels; all requirements must hold. At least one of `matchLabels` and `matchExpressions` is required: an
/// empty selector is an error and never means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::not_empty)]
pub struct LabelSelector {
    /// Labels that must be there with exactly these values, for example `{app: orders}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::labels)]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Requirements on labels; all must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::list(64, |_| {}))]
    pub match_expressions: Option<Vec<SelectorRequirement>>,
}

/// A requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    transform = schema::requires("operator", &["In", "NotIn"], "values"),
    transform = schema::never("operator", &["Exists", "DoesNotExist"], &["values"])
)]
pub struct SelectorRequirement {
    /// The label's name, for example `app.kubernetes.io/part-of`.
    #[schemars(transform = schema::label_key)]
    pub key: String,
    /// How the label relates to `values`: `In` (it is there with one of them), `NotIn` (it is absent or has another value),
    /// `Exists` or `DoesNotExist`.
    pub operator: SelectorOperator,
    /// The values. Required with `In` and `NotIn`, an error with the other operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::set(64, schema::label_value))]
    pub values: Option<Vec<String>>,
}

/// How a label relates to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectorOperator {
    /// The label is there and has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}
