//! Making leaf certificates.

use std::time::{Duration, SystemTime};

use bailiwick_identity::{SpiffeId, SvidError, TrustDomain, leaf_id};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::Authority;
use crate::request::{RequestError, public_key};
use crate::time::{BACKDATE, duration_seconds, seconds, set_validity};

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// DER certificates, the leaf first; the root is not among them.
    pub chain: Vec<Vec<u8>>,
    /// When it ends, seconds since the Unix epoch.
    pub not_after: i64,
    /// Its serial number, lower-case hexadecimal.
    pub serial: Box<str>,
}

/// A certificate of our own process, with its key, which was made here and exists only in memory.
#[derive(Debug)]
pub struct Own {
    /// The certificate.
    pub issued: Issued,
    /// The private key, PKCS#8 DER; it is wiped by whoever drops it last. `Debug` does not show it.
    pub key: PrivatePkcs8KeyDer<'static>,
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The signing request is refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The identity belongs to another trust domain.
    #[error("`{id}` is not of this authority's trust domain `{own}`")]
    TrustDomain {
        /// The identity that was to be certified.
        id: SpiffeId,
        /// The domain that this authority vouches for.
        own: TrustDomain,
    },
    /// The root is not valid now, so nothing that it signed would be believed.
    #[error(
        "the root certificate is not valid now (from {not_before} to {not_after}, now {now}, in seconds since 1970); check the clock, or start with a new root"
    )]
    RootNotValid {
        /// Start of the root's validity.
        not_before: i64,
        /// End of the root's validity.
        not_after: i64,
        /// The time that was given.
        now: i64,
    },
    /// A lifetime of less than one second.
    #[error("a certificate must live for at least one second")]
    Lifetime,
    /// The library could not make the certificate.
    #[error("the certificate could not be made: {source}")]
    Make {
        /// What the library said.
        source: rcgen::Error,
    },
    /// What was made would be refused by our own verifier. A defect: nothing leaves.
    #[error("the certificate that was made would not be believed: {source}")]
    NotBelievable {
        /// Why.
        source: SvidError,
    },
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandomness,
}

impl Authority {
    /// Issues a certificate for a proven identity and the key of a signing request (DER).
    ///
    /// It is valid from ten minutes ago until `now + lifetime`, but never longer than the root.
    ///
    /// # Errors
    /// When the request is refused, the identity is of another trust domain, or the root is not valid now.
    pub fn issue(
        &self,
        request: &[u8],
        id: &SpiffeId,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        let key = public_key(request, id)?;
        self.certify(&key, id, lifetime, now)
    }

    /// Issues a certificate for this process itself (the control plane's server), with a new key in memory.
    ///
    /// # Errors
    /// When the identity is of another trust domain, or the root is not valid now.
    pub fn issue_own(&self, id: &SpiffeId, lifetime: Duration, now: SystemTime) -> Result<Own, IssueError> {
        let key =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|source| IssueError::Make { source })?;
        let issued = self.certify(&key, id, lifetime, now)?;
        Ok(Own { issued, key: PrivatePkcs8KeyDer::from(key.serialize_der()) })
    }

    fn certify(
        &self,
        key: &impl PublicKeyData,
        id: &SpiffeId,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        if *id.trust_domain() != self.trust_domain {
            return Err(IssueError::TrustDomain { id: id.clone(), own: self.trust_domain.clone() });
        }
        let now = seconds(now);
        let (not_before, not_after) = (self.not_before(), self.not_after());
        if now < not_before || now >= not_after {
            return Err(IssueError::RootNotValid { not_before, not_after, now });
        }
        let lifetime = duration_seconds(lifetime);
        if lifetime < 1 {
            return Err(IssueError::Lifetime);
        }
        let mut params = leaf_params(id)?;
        let until = now.saturating_add(lifetime).min(not_after);
        set_validity(&mut params, (now - BACKDATE).max(not_before), until);
        let certificate =
            params.signed_by(key, &self.issuer).map_err(|source| IssueError::Make { source })?;
        let leaf = leaf_id(certificate.der()).map_err(|source| IssueError::NotBelievable { source })?;
        let mut chain = vec![certificate.der().to_vec()];
        chain.extend(self.intermediates.iter().cloned());
        Ok(Issued { chain, not_after: leaf.not_after(), serial: leaf.serial().into() })
    }
}

fn leaf_params(id: &SpiffeId) -> Result<CertificateParams, IssueError> {
    let failed = |source| IssueError::Make { source };
    let mut params = CertificateParams::default();
    params.serial_number = Some(random_serial().ok_or(IssueError::NoRandomness)?);
    // The subject is decoration: the URI is the identity (X.509-SVID specification, section 2).
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Bailiwick");
    params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().map_err(failed)?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 128 bits, of which the first two are `01`: positive, and always of the same length.
pub(crate) fn random_serial() -> Option<SerialNumber> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    Some(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests;
