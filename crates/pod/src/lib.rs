//! What an injected pod is made of: the names, ports and settings that the injector writes and the sidecar reads.
//!
//! ```text
//!  injector --writes--> pod spec (containers, volume, environment) --kubelet--> sidecar, capture --read-->
//! ```
//!
//! Plain data, one place for each name. It must never decide anything, and holds nothing that only one side knows.

pub mod environment;
pub mod names;
pub mod ports;
pub mod probes;

pub use probes::{Action, Declared, Purpose};
