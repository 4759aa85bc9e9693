//! The status that every kind has.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Condition type: the object compiles.
pub const ACCEPTED: &str = "Accepted";
/// Condition type: everything that the object names exists and is valid.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// Condition type: every targeted pod has acknowledged this generation and that of everything it depends on.
pub const ENFORCED: &str = "Enforced";

/// What became of the object. It is written by the operator alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = crate::schema::structural_status)]
pub struct ObjectStatus {
    /// The generation of the object that this status describes. While it is lower than `metadata.generation`, the
    /// operator has not seen the last change yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: the object compiles. `ResolvedRefs`: everything that it names exists and is valid. `Enforced`: every
    /// targeted pod's sidecar has acknowledged this generation and that of everything it depends on; wait for it with
    /// `kubectl wait --for=condition=Enforced`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The pods that the object reaches, counted by their sidecars' own acknowledgements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCounts>,
    /// Short texts for the columns of `kubectl get`. They may change their form; read `conditions` and `pods` in scripts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// How many pods an object reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// Running, non-terminating pods that the object selects, with or without a sidecar.
    #[schemars(transform = crate::schema::number(0, 10_000_000))]
    pub targeted: u32,
    /// Those of them whose sidecar has acknowledged the object and everything it depends on.
    #[schemars(transform = crate::schema::number(0, 10_000_000))]
    pub enforced: u32,
}

/// Short texts for the columns of `kubectl get`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// What the object selects, for example `Pod app=orders:8080`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::sentence)]
    pub targets: Option<String>,
    /// The mode in effect, for example `Enforce` where the object leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::sentence)]
    pub mode: Option<String>,
    /// Pods that enforce the object, of all that it selects, for example `6/6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::sentence)]
    pub enforced: Option<String>,
}

/// `metav1.Condition` with the bounds that its Go type declares; the derived one has none.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the object's current state.",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "type": "string", "minLength": 1, "maxLength": 316, "pattern": "^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$",
                    "description": "The aspect: `Accepted`, `ResolvedRefs` or `Enforced`."
                },
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "Whether it holds."
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0,
                    "description": "The generation of the object that the condition was computed from."
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time",
                    "description": "When the status last changed."
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    "description": "The cause as one word, for scripts, for example `NotYetSupported` or `NoWorkloads`."
                },
                "message": {
                    "type": "string", "maxLength": 32768,
                    "description": "The cause in words, for people."
                }
            }
        }
    })
}
