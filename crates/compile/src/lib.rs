//! The whole world, compiled: roles resolved, targets linked, every invalid object turned into a denial.
//!
//! `compile(&World) -> Compiled` is pure, whole-world and deterministic: the order of objects never changes the
//! outcome, and there is no incremental index to go stale. It must never read a file, a clock or the API server.
//!
//! ```text
//!  World (decoded objects, workloads, services, namespaces)
//!    --facts-->      workloads by namespace, label, service account and Service
//!    --roles-->      what each Role grants, cycles and gaps found
//!    --selection-->  what each object selects (targets), whether it is valid
//!    --lower-->      PolicyObject per Policy / ClusterPolicy, shared by content with the last compile
//!    --link-->       SnapshotParts per workload   --authentication--> TrustConfig   --protocols, routes-->
//!    --outcomes-->   Compiled { workloads, routes, objects' outcomes, diagnostics, mesh }
//! ```
//!
//! Conditions (CEL) and relation schemas will stand beside `lower`, each in a module of its own.

mod authentication;
mod check;
pub mod codes;
mod compiler;
mod components;
mod diagnostics;
mod did_you_mean;
mod facts;
mod head;
mod link;
mod lower;
mod mesh;
mod outcomes;
mod output;
mod protocols;
mod roles;
mod routes;
mod seen;
mod selection;
mod spec;
mod suggest_allow;
mod targets;
#[cfg(test)]
mod testing;
mod world;

pub use codes::CodeInfo;
pub use compiler::{Compiler, compile};
pub use diagnostics::{Code, Diagnostic, FieldPath, ObjectKey, ObjectKind, Severity, SourceLocation};
pub use did_you_mean::{did_you_mean, edit_distance};
pub use output::{Backend, Compiled, MeshSettings, ObjectOutcome, Route, WorkloadConfig};
pub use spec::{
    AuthenticationSpec, ClusterPolicySpec, LabelSelector, MtlsSpec, NamespaceMatch, PolicySpec, Reference,
    Requirement, RoleSpec, RuleSpec, SelectorOperator, SubjectSpec, Target, TargetKind, TrustDomainSpec,
};
pub use suggest_allow::{CallShape, RefusedCall, Suggestion, suggest_allow};
pub use world::{
    ContainerPort, Decoded, FieldSpans, Invalid, NamespaceFacts, Object, Selection, Service, ServicePort,
    TargetPort, Workload, WorkloadKind, World,
};
