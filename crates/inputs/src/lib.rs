//! YAML files, or objects of the API server, to plain inputs of the compiler.
//!
//! ```text
//!  folder --list--> files --split--> documents --yaml--> Node trees <--json-- API server
//!                                                          | identify
//!                     decode (bailiwick.dev, strict)  <----+----> workloads (ordinary manifests, lenient)
//!                                         \                         /
//!                                          assemble --> World + Diagnostics + Sources
//! ```
//!
//! Every mistake of an object is collected, each with a stable [code](codes), its field path and its place. An object
//! with a mistake is invalid as a whole and keeps what it selects, so that it denies that.
//!
//! This crate reads files and nothing else. It must never resolve a reference, decide a call, know a clock or talk to a
//! cluster; it must never repair an input, or skip one silently.

pub mod codes;

mod api_objects;
mod assemble;
mod contents;
mod decode;
mod document;
mod folder;
mod workloads;

pub use api_objects::{ApiObject, ApiObjects, CLUSTER, decode_api_object, world_of};
pub use bailiwick_compile::did_you_mean;
pub use decode::{DecodedObject, KnownFields, known_fields};
pub use folder::{Folder, FolderSource, Reading, Sources, read_bytes, read_paths, read_paths_over};
