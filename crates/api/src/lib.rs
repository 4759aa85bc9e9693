//! The custom resources of API group `bailiwick.dev` as Rust types, and the schema made from them.
//!
//! ```text
//!  v1alpha1/*.rs ──derive──> schema ──schema/structural.rs──> crds() ──crd_yaml()──> crds/*.yaml
//!  (types, docs)                      (unknown fields kept)      └────field_names()──> the strict decoder's drift test
//! ```
//!
//! The schema refuses what a schema can see: unions with none or two members, empty or unbounded lists, malformed
//! names. What it cannot see (a misspelt field, a dangling reference, a bad template) is found by the strict decoder and
//! the compiler; that is why every object node keeps unknown fields.
//!
//! What this crate must never do: hold policy logic, decide what a spec means, read a file or talk to a cluster.
//! Lenient by design: these types ignore unknown fields when they are deserialised, so nothing that decides access may
//! read a spec through them.

pub mod status;
pub mod v1alpha1;

mod crd;
mod fields;
mod schema;

pub use crd::{RenderError, crd_file_name, crd_yaml, crds};
pub use fields::{FieldNames, field_names};

/// The API group of every kind.
pub const GROUP: &str = "bailiwick.dev";

/// The version of every kind.
pub const VERSION: &str = "v1alpha1";

/// `apiVersion` of every object.
pub const API_VERSION: &str = "bailiwick.dev/v1alpha1";
