//! Why a pod is not admitted: what `kubectl` prints and an event says.

use std::fmt;

use thiserror::Error;

/// A pod is refused. Every mistake that was found, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct AdmissionError {
    /// The mistakes, in the order in which they were found.
    pub refusals: Vec<Refusal>,
}

impl fmt::Display for AdmissionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not injected by bailiwick: ")?;
        for (index, refusal) in self.refusals.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{refusal}")?;
        }
        Ok(())
    }
}

/// One mistake: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {message}; {help}")]
pub struct Refusal {
    /// What kind of mistake.
    pub problem: Problem,
    /// The field of the pod, `spec.containers[1].securityContext.runAsUser`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Refusal {
    pub(crate) fn new(
        problem: Problem,
        field: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { problem, field: field.into(), message: message.into(), help: help.into() }
    }
}

/// The kinds of mistakes, for events and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Problem {
    /// The pod is not an object as the API server sends it.
    MalformedPod,
    /// An annotation of ours that does not exist.
    UnknownAnnotation,
    /// An annotation's value cannot be read or is out of bounds.
    InvalidAnnotation,
    /// The annotation is not permitted in this namespace.
    AnnotationNotPermitted,
    /// A container or volume has one of our names and is not ours.
    ReservedName,
    /// A container would run as the sidecar's user.
    ReservedUser,
    /// A container declares or probes one of the sidecar's ports.
    ReservedPort,
    /// A volume asks for the sidecar's token, or a container mounts it.
    ReservedToken,
    /// A namespace of the node or of the whole pod would be shared.
    SharedNamespace,
    /// A container could change the network or read the sidecar's memory.
    ForbiddenPrivilege,
    /// The namespace's Pod Security level forbids the capture container.
    PodSecurity,
    /// The pod does not run Linux.
    UnsupportedSystem,
}

impl Problem {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::MalformedPod,
        Self::UnknownAnnotation,
        Self::InvalidAnnotation,
        Self::AnnotationNotPermitted,
        Self::ReservedName,
        Self::ReservedUser,
        Self::ReservedPort,
        Self::ReservedToken,
        Self::SharedNamespace,
        Self::ForbiddenPrivilege,
        Self::PodSecurity,
        Self::UnsupportedSystem,
    ];

    /// The name in events and metrics, CamelCase.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MalformedPod => "MalformedPod",
            Self::UnknownAnnotation => "UnknownAnnotation",
            Self::InvalidAnnotation => "InvalidAnnotation",
            Self::AnnotationNotPermitted => "AnnotationNotPermitted",
            Self::ReservedName => "ReservedName",
            Self::ReservedUser => "ReservedUser",
            Self::ReservedPort => "ReservedPort",
            Self::ReservedToken => "ReservedToken",
            Self::SharedNamespace => "SharedNamespace",
            Self::ForbiddenPrivilege => "ForbiddenPrivilege",
            Self::PodSecurity => "PodSecurity",
            Self::UnsupportedSystem => "UnsupportedSystem",
        }
    }
}
