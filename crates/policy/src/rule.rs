//! The compiled form of policies: what the operator sends and a snapshot is built from.

use std::sync::Arc;

use bailiwick_identity::Port;

use crate::{HostPattern, PathTemplate, SubjectEntry};

/// Which kind of object a rule stands in; the order is the order of precedence of denials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// A `ClusterPolicy`: guardrails of the platform team.
    Cluster,
    /// A `Policy`.
    Namespace,
}

impl Layer {
    /// The kind of the object, as users write it.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Cluster => "ClusterPolicy",
            Self::Namespace => "Policy",
        }
    }
}

/// Whether an object decides calls or only reports what it would decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// It takes part in the verdict.
    Enforce,
    /// It takes no part in the verdict; events carry what it would have decided.
    Audit,
}

/// What a matching rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The call is permitted unless something denies it.
    Allow,
    /// The call is denied.
    Deny,
}

/// Where a rule comes from. The derived order (kind, namespace, name) is the order in which reasons are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// `ClusterPolicy` or `Policy`.
    pub layer: Layer,
    /// The namespace; empty for a `ClusterPolicy`.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

/// One compiled `Policy` or `ClusterPolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyObject {
    /// Where it comes from.
    pub origin: Origin,
    /// `metadata.generation` of the object; 0 where the source has none.
    pub generation: i64,
    /// Enforce or Audit.
    pub mode: Mode,
    /// Its rules, or that it could not be compiled.
    pub body: Body,
}

/// What a policy object came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Its rules.
    Rules(Vec<Rule>),
    /// FAIL-CLOSED: its own spec is invalid, so it denies every call that it selects, at its layer's deny step and
    /// never before the handshake.
    Uncompilable {
        /// What is wrong, in a sentence, shown with every denial.
        reason: Arc<str>,
    },
}

/// One rule. It matches if one (subject, permission, path template) triple does, no `except_subjects` entry does, and
/// the time lies in its window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique in its object.
    pub name: Arc<str>,
    /// Allow or Deny.
    pub effect: Effect,
    /// Alternatives; never empty in a compiled rule.
    pub subjects: Vec<SubjectEntry>,
    /// Subjects that the rule does not apply to; only of a Deny.
    pub except_subjects: Vec<SubjectEntry>,
    /// Alternatives. Empty only where every bound Role of an Allow is missing or invalid: it then matches nothing.
    pub permissions: Vec<Permission>,
    /// The rule applies from this instant on, seconds since the Unix epoch.
    pub not_before: Option<i64>,
    /// The rule applies until just before this instant, seconds since the Unix epoch.
    pub not_after: Option<i64>,
    /// Text for people, shown with a denial by this rule.
    pub message: Option<Arc<str>>,
}

/// What a subject may, or may not, do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// Every call.
    Any,
    /// HTTP calls by method, path and host.
    Http(HttpPermission),
    /// gRPC calls by service and method.
    Grpc(GrpcPermission),
    /// Every call to one of these container ports, whatever its protocol.
    Tcp(Vec<Port>),
}

/// HTTP calls by method, path and host; each list holds alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPermission {
    /// Methods, case-sensitive. GET does not imply HEAD.
    pub methods: Methods,
    /// Path templates; all that match count.
    pub paths: Vec<PathTemplate>,
    /// Hosts; `None` is any host.
    pub hosts: Option<Vec<HostPattern>>,
}

/// gRPC calls of one service. Of an Allow it needs a gRPC content type; of a Deny it ignores the content type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcPermission {
    /// The full service name, `package.Service`, exact and case-sensitive.
    pub service: Arc<str>,
    /// Methods, exact and case-sensitive.
    pub methods: Methods,
}

/// A set of method names, or any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// Written `"*"`.
    Any,
    /// These, byte for byte.
    Of(Vec<Arc<str>>),
}

impl Methods {
    /// True if a method is in the set.
    #[must_use]
    pub fn contains(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(names) => names.iter().any(|name| name.as_ref() == method),
        }
    }
}
