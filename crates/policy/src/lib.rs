//! What a snapshot means: may this subject make this call, and why.
//!
//! The crate evaluates and explains; it never does input or output, reads a clock or the environment, parses a
//! policy document, or knows Kubernetes, TLS or an async runtime. It reads a [`bailiwick_identity::Subject`] and can
//! never make one; it makes a [`Permit`] and nothing else can.
//!
//! ```text
//!  SnapshotParts --Snapshot::build--> Snapshot --bind(Subject, source)--> Binding
//!                                                                            |  RequestAttributes
//!                                                                            v
//!                                        explain <--(Hypothesis)-- rows --> Decision = Permit | Denied
//! ```
//!
//! The normative text is `docs/policy-semantics.md`.

mod admit;
mod binding;
mod caller_facts;
mod decision;
mod evaluate;
mod explain;
mod host;
mod method;
mod path;
mod path_template;
mod request;
mod rule;
mod snapshot;
mod snapshot_parts;
mod subject_entry;
mod truth;

pub use admit::{Admission, ConnectionAttributes, admit};
pub use binding::{Binding, authorize};
pub use decision::{Decision, Denied, Outcome, Permit, Reasons, RuleIndex, Verdict};
pub use explain::{
    Answer, Caller, DecidingRule, Dependency, ExplainedVerdict, Explanation, Hypothesis, Mismatch, NearMiss,
    RuleTrace, explain,
};
pub use host::{HostError, HostPattern, canonical_host};
pub use method::{registered_methods, registered_variant};
pub use path::{CanonicalPath, PathError};
pub use path_template::{PathTemplate, PathTemplateError, Segment};
pub use request::{Call, HttpCall, OwnedAttributes, RequestAttributes, RequestTarget, Timestamp, fold};
pub use rule::{
    Body, Effect, GrpcPermission, HttpPermission, Layer, Methods, Mode, Origin, Permission, PolicyObject,
    Rule,
};
pub use snapshot::{RuleInfo, Snapshot, SnapshotError};
pub use snapshot_parts::{BoundObject, PortProtocol, PortSelection, SnapshotId, SnapshotParts, WorkloadKey};
pub use subject_entry::{
    IpBlock, IpBlockError, SpiffePattern, SpiffePatternError, SubjectClass, SubjectEntry,
};
pub use truth::Truth;
