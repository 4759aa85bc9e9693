//! The hand-off: the only identity that authorization ever sees.

use crate::{Connection, Peer, SpiffeId, Unproven};

/// A request principal proven by a token or session. Nothing makes one yet: tokens are a later capability, and this
/// is their place in the hand-off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    issuer: Box<str>,
    subject: Box<str>,
}

impl Principal {
    /// The issuer that vouches for the subject.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The subject, as the issuer names it.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

/// Who makes a call: a proven peer or the reason why there is none, and at most one proven principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    connection: Connection,
    principal: Option<Principal>,
}

impl Subject {
    /// States that authentication of a request came to this subject.
    ///
    /// INVARIANT: called only by `authn::request` and the test kit; clippy's `disallowed-methods` makes any other
    /// call an error. Authorization can read a subject and can never make one.
    #[must_use]
    pub const fn assertion(connection: Connection, principal: Option<Principal>) -> Self {
        Self { connection, principal }
    }

    /// The connection it came over.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The proven peer, if there is one.
    #[must_use]
    pub const fn peer(&self) -> Option<&Peer> {
        self.connection.peer()
    }

    /// The proven peer's identity, if there is one.
    #[must_use]
    pub fn id(&self) -> Option<&SpiffeId> {
        self.peer().map(Peer::id)
    }

    /// Why there is no proven peer, if there is none.
    #[must_use]
    pub const fn unproven(&self) -> Option<Unproven> {
        match &self.connection {
            Connection::Peer(_) => None,
            Connection::Unproven(reason) => Some(*reason),
        }
    }

    /// The proven principal, if there is one.
    #[must_use]
    pub const fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }
}
