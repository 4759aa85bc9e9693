//! What a handshake proved, kept for as long as the connection lives.

use std::sync::Arc;
use std::time::SystemTime;

use bailiwick_identity::{KeyPurpose, Leaf, SvidError, TrustDomain, leaf_id};
use rustls::{CommonState, HandshakeKind};
use rustls_pki_types::CertificateDer;

use crate::trust::Trust;
use crate::verifier::{unix_time, verify_chain};
use crate::{AuthnError, CertificateRefusal};

/// The chain that the other side proved, so that it can be verified again when time or trust change.
#[derive(Debug, Clone)]
pub struct Evidence {
    chain: Arc<[CertificateDer<'static>]>,
    leaf: Leaf,
    purpose: KeyPurpose,
}

impl Evidence {
    /// Takes the chain of a completed handshake; `None` if the other side presented no certificate.
    ///
    /// FAIL-CLOSED: a resumed session is refused, because its certificate was not verified again. Both sides have
    /// resumption off; this is the second lock on that door.
    pub(crate) fn of(state: &CommonState, purpose: KeyPurpose) -> Result<Option<Self>, AuthnError> {
        if state.handshake_kind() == Some(HandshakeKind::Resumed) {
            return Err(AuthnError::KeyNotProven);
        }
        let Some(chain) = state.peer_certificates() else { return Ok(None) };
        let first = chain.first().ok_or(CertificateRefusal::Leaf(SvidError::Malformed))?;
        let leaf = leaf_id(first).map_err(CertificateRefusal::Leaf)?;
        Ok(Some(Self { chain: Arc::from(chain), leaf, purpose }))
    }

    /// What the leaf states.
    #[must_use]
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// When the connection must end, in seconds since the Unix epoch: the end of the leaf's validity.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.leaf.not_after()
    }

    /// Verifies the same chain again, under the trust and the time of now. An error means that the connection must
    /// be closed: its certificate expired, its root was withdrawn, or its trust domain is no longer accepted.
    ///
    /// # Errors
    /// As for a new handshake.
    pub fn still_trusted(
        &self,
        trust: &Trust,
        accepted: &[TrustDomain],
        now: SystemTime,
    ) -> Result<(), AuthnError> {
        let accepts = |domain: &TrustDomain| accepted.contains(domain);
        verify_chain(trust, &self.chain, self.purpose, accepts, unix_time(now))?;
        Ok(())
    }
}
