//! Peers and subjects that nobody proved, for tests of what comes after authentication.

use bailiwick_identity::{Connection, Leaf, Peer, SpiffeId, Subject, Unproven, leaf_id};

use crate::TestAuthority;

/// A SPIFFE ID.
///
/// # Panics
/// When the text is none.
#[must_use]
#[expect(clippy::expect_used, reason = "test code: a failure is the report")]
pub fn spiffe_id(text: &str) -> SpiffeId {
    text.parse().expect("a SPIFFE ID")
}

/// What a good certificate for this identity states.
///
/// # Panics
/// When the text is no SPIFFE ID.
#[must_use]
#[expect(clippy::expect_used, reason = "test code: a failure is the report")]
pub fn leaf(id: &str) -> Leaf {
    let authority = TestAuthority::new(spiffe_id(id).trust_domain().as_str());
    leaf_id(authority.issue(id).leaf_der()).expect("the test authority makes good leaves")
}

/// A peer that claims to have proven this identity.
///
/// # Panics
/// When the text is no SPIFFE ID.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the test kit stands in for a completed handshake")]
pub fn peer(id: &str) -> Peer {
    Peer::assertion(leaf(id))
}

/// The subject of a call over mTLS by this identity, without a token.
///
/// # Panics
/// When the text is no SPIFFE ID.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the test kit stands in for authentication")]
pub fn subject(id: &str) -> Subject {
    Subject::assertion(Connection::Peer(peer(id)), None)
}

/// The subject of a call by nobody.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the test kit stands in for authentication")]
pub const fn unproven_subject(reason: Unproven) -> Subject {
    Subject::assertion(Connection::Unproven(reason), None)
}
