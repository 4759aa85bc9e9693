//! Admission: a pod becomes a patch, and one of our objects is judged; pure.
//!
//! ```text
//!  ConfigMap `bailiwick-injection` --Settings::read--> settings
//!  pod (JSON) --mutate--> JSON patch, nothing to do and why, or every mistake with its field and what to do
//!  object of ours (JSON) --judge--> accepted, or every mistake with its field path
//! ```
//!
//! What is injected is compared with the same ConfigMap once more by a ValidatingAdmissionPolicy in the API server, so
//! neither this code nor another webhook after it is trusted alone.
//!
//! It must never talk to a cluster, read a clock or remember anything: who calls it knows the namespace and the settings.

mod annotations;
mod containers;
mod judge;
mod mutate;
mod patch;
mod pod;
mod ports;
mod probes;
mod quantity;
mod refusal;
mod rules;
mod settings;
#[cfg(test)]
mod tests;

pub use judge::{Judgement, judge};
pub use mutate::{Outcome, Request, Untouched, mutate};
pub use patch::Operation;
pub use refusal::{AdmissionError, Problem, Refusal};
pub use settings::{Bundle, Settings, SettingsError, keys};
