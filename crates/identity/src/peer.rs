//! Who is on the other end of a connection, or why nobody is known to be.

use std::fmt;

use crate::{Leaf, SpiffeId};

/// A peer that proved its identity: its certificate chains to a root of its own trust domain, and the completed
/// handshake proved that it holds the key. Chain-valid alone is not proven (anyone can replay a chain).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    leaf: Leaf,
}

impl Peer {
    /// States that a completed handshake proved this leaf.
    ///
    /// INVARIANT: called only by `authn`, after the handshake, and by the test kit; clippy's `disallowed-methods`
    /// makes any other call an error.
    #[must_use]
    pub const fn assertion(leaf: Leaf) -> Self {
        Self { leaf }
    }

    /// The one identity that was proven.
    #[must_use]
    pub const fn id(&self) -> &SpiffeId {
        self.leaf.id()
    }

    /// The certificate's serial number, lower-case hexadecimal without separators.
    #[must_use]
    pub fn serial(&self) -> &str {
        self.leaf.serial()
    }

    /// When the proof ends, in seconds since the Unix epoch.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.leaf.not_after()
    }

    /// The leaf that was proven.
    #[must_use]
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }
}

/// Why a connection has no proven peer. It is data for decisions, never an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unproven {
    /// The port is Permissive and the caller spoke without TLS.
    Plaintext,
    /// The port is Permissive and the caller spoke TLS of its own, which is relayed as opaque bytes.
    ForeignTls,
    /// The port has no mesh TLS (`mtls.mode: Disabled`).
    Disabled,
}

impl Unproven {
    /// The word used in audit events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::ForeignTls => "foreign-tls",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What authentication of a connection came to: a proven peer, or the reason why there is none. Never an `Option`:
/// absence always has a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// A proven peer.
    Peer(Peer),
    /// Nobody, and why. Only ports that are not Strict let it live.
    Unproven(Unproven),
}

impl Connection {
    /// The proven peer, if there is one.
    #[must_use]
    pub const fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Peer(peer) => Some(peer),
            Self::Unproven(_) => None,
        }
    }
}
