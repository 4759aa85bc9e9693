//! The YAML that would permit a refused call.

use bailiwick_identity::Port;
use bailiwick_policy::{Caller, Origin, WorkloadKey};

use crate::{Compiled, ObjectKey, World};

/// A call that was refused.
#[derive(Debug, Clone, Copy)]
pub struct RefusedCall<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// The workload that is called.
    pub target: &'a WorkloadKey,
    /// The container port.
    pub port: Port,
    /// What is called.
    pub call: CallShape<'a>,
    /// The Deny rule that refused it, as its object and name; `None` if the default did.
    pub denied_by: Option<(&'a Origin, &'a str)>,
}

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallShape<'a> {
    /// An HTTP request.
    Http {
        /// The method.
        method: &'a str,
        /// The canonical path, without the query.
        path: &'a str,
    },
    /// A gRPC call.
    Grpc {
        /// `package.Service`.
        service: &'a str,
        /// The method.
        method: &'a str,
    },
    /// A TCP connection.
    Tcp,
}

/// The change that would permit a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The object to change, or to create.
    pub object: ObjectKey,
    /// The field that `line` belongs to, such as `spec.rules`.
    pub field: String,
    /// One line of YAML to add there.
    pub line: String,
    /// The whole object, if none fits yet and it must be created.
    pub document: Option<String>,
}

/// The smallest change of an object that would permit a refused call; `None` if the workload is not known.
#[must_use]
pub fn suggest_allow(_world: &World, _compiled: &Compiled, _refused: &RefusedCall<'_>) -> Option<Suggestion> {
    None
}
