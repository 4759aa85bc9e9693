//! An authority out of PEM that somebody else keeps: the keys of a Kubernetes Secret as cert-manager writes them.

use std::sync::Arc;
use std::time::SystemTime;

use bailiwick_identity::{Issuer as Stated, SvidError, TrustDomain, issuer};
use rcgen::{
    Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData as _,
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::Authority;
use crate::time::seconds;

/// A longer text is no certificate chain.
const LARGEST: usize = 64 * 1024;
/// Certificates between a leaf and its root.
const LONGEST_CHAIN: usize = 4;

/// The parts of a Secret, as cert-manager writes them.
#[derive(Clone, Copy)]
pub struct GivenPem<'a> {
    /// `tls.crt`: the certificate that signs, then whatever is between it and the root.
    pub certificates: &'a [u8],
    /// `tls.key`: its private key.
    pub key: &'a [u8],
    /// `ca.crt`: the root, where `tls.crt` is not one itself.
    pub root: Option<&'a [u8]>,
}

impl std::fmt::Debug for GivenPem<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("GivenPem").finish_non_exhaustive()
    }
}

/// Why given PEM is no authority. Nothing is signed with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// Not PEM, too long, or a block that is no certificate.
    #[error("`{field}` holds something else than up to {LONGEST_CHAIN} certificates in PEM")]
    Certificates {
        /// The key of the Secret.
        field: &'static str,
    },
    /// Not one private key of a kind that signs here.
    #[error("`tls.key` is not one private key in PEM of ECDSA P-256 or P-384, Ed25519, or RSA")]
    Key,
    /// The key is another certificate's.
    #[error("`tls.key` does not belong to the first certificate of `tls.crt`")]
    KeyMismatch,
    /// A certificate cannot sign others.
    #[error("certificate {position} of `{field}` cannot be used: {source}")]
    Certificate {
        /// The key of the Secret.
        field: &'static str,
        /// Which one, counted from 1.
        position: usize,
        /// Why.
        source: SvidError,
    },
    /// The root does not name the mesh's trust domain.
    #[error(
        "the root is of trust domain `{found}`, but the mesh is `{wanted}`; give it exactly one URI, `spiffe://{wanted}` (of cert-manager: `uris: [\"spiffe://{wanted}\"]`)"
    )]
    TrustDomain {
        /// What the root says; empty if it names none.
        found: String,
        /// What is configured.
        wanted: TrustDomain,
    },
    /// A certificate is not signed by the next one.
    #[error(
        "certificate {position} of `tls.crt` is not signed by the one after it; give the chain in order, and its root in `ca.crt`"
    )]
    NotSigned {
        /// Which one, counted from 1.
        position: usize,
    },
    /// The last certificate is no root, and none was given.
    #[error("`tls.crt` does not end in a self-signed root; give the root in `ca.crt`")]
    NoRoot,
    /// A certificate limits how many authorities may follow it.
    #[error("the root or an intermediate does not allow that many authorities below it (its path length)")]
    PathLength,
    /// Out of its dates.
    #[error(
        "it is not valid now (from {not_before} to {not_after}, now {now}, in seconds since 1970); renew it, or check the clock"
    )]
    NotValid {
        /// Start of validity of the whole chain.
        not_before: i64,
        /// End of it.
        not_after: i64,
        /// The time that was given.
        now: i64,
    },
}

/// One certificate of the chain, read.
struct Link {
    der: Vec<u8>,
    stated: Stated,
}

impl Authority {
    /// Joins what a Secret holds to an authority.
    ///
    /// FAIL-CLOSED: everything that a workload would check is checked here, so a wrong authority never signs.
    ///
    /// # Errors
    /// When the parts do not belong together, are of another trust domain, cannot sign, or are not valid now.
    pub fn from_pem(
        given: GivenPem<'_>,
        trust_domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<Self, GivenError> {
        let mut chain = certificates("tls.crt", given.certificates)?;
        let key = private_key(given.key)?;
        let first = chain.first().ok_or(GivenError::Certificates { field: "tls.crt" })?;
        let signer = CertificateDer::from(first.der.clone());
        if parse("tls.crt", 1, &first.der)?.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(GivenError::KeyMismatch);
        }
        let root = take_root(&mut chain, given.root)?;
        check_domains(&chain, &root, trust_domain)?;
        check_path_lengths(&chain, &root)?;
        let all = || chain.iter().chain(std::iter::once(&root));
        let not_before = all().map(|link| link.stated.not_before()).max().unwrap_or(i64::MAX);
        let not_after = all().map(|link| link.stated.not_after()).min().unwrap_or(i64::MIN);
        let now = seconds(now);
        if now < not_before || now >= not_after {
            return Err(GivenError::NotValid { not_before, not_after, now });
        }
        let malformed =
            |_| GivenError::Certificate { field: "tls.crt", position: 1, source: SvidError::Malformed };
        let issuer = Issuer::from_ca_cert_der(&signer, key).map_err(malformed)?;
        Ok(Self {
            trust_domain: trust_domain.clone(),
            root: Arc::from(root.der),
            intermediates: chain.into_iter().map(|link| link.der).collect(),
            not_before,
            not_after,
            issuer,
        })
    }
}

fn certificates(field: &'static str, text: &[u8]) -> Result<Vec<Link>, GivenError> {
    let refused = || GivenError::Certificates { field };
    if text.len() > LARGEST {
        return Err(refused());
    }
    let mut links = Vec::new();
    for (index, block) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text).enumerate() {
        let (kind, der) = block.map_err(|_| refused())?;
        if kind != SectionKind::Certificate || index >= LONGEST_CHAIN {
            return Err(refused());
        }
        let position = index + 1;
        let stated = issuer(&der).map_err(|source| GivenError::Certificate { field, position, source })?;
        links.push(Link { der, stated });
    }
    if links.is_empty() { Err(refused()) } else { Ok(links) }
}

/// Curves of other kinds could sign, and no sidecar would believe it.
fn private_key(text: &[u8]) -> Result<KeyPair, GivenError> {
    if text.len() > LARGEST {
        return Err(GivenError::Key);
    }
    let der = PrivateKeyDer::from_pem_slice(text).map_err(|_| GivenError::Key)?;
    let key = KeyPair::try_from(&der).map_err(|_| GivenError::Key)?;
    let known = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256];
    if known.iter().any(|one| key.is_compatible(one)) { Ok(key) } else { Err(GivenError::Key) }
}

fn parse<'a>(field: &'static str, position: usize, der: &'a [u8]) -> Result<X509Certificate<'a>, GivenError> {
    let malformed = |_| GivenError::Certificate { field, position, source: SvidError::Malformed };
    X509Certificate::from_der(der).map(|(_, parsed)| parsed).map_err(malformed)
}

/// Checks that each certificate signs the one before it, and takes the root off the chain.
fn take_root(chain: &mut Vec<Link>, given: Option<&[u8]>) -> Result<Link, GivenError> {
    for (index, pair) in chain.windows(2).enumerate() {
        let [below, above] = pair else { continue };
        check_signature(index + 1, below, above)?;
    }
    let ends_in_root = match chain.last() {
        Some(last) => check_signature(chain.len(), last, last).is_ok(),
        None => false,
    };
    if ends_in_root {
        return chain.pop().ok_or(GivenError::NoRoot);
    }
    let mut roots = certificates("ca.crt", given.ok_or(GivenError::NoRoot)?)?;
    let root = roots.pop().ok_or(GivenError::NoRoot)?;
    // FAIL-CLOSED: of two roots nobody knows which one workloads are to believe.
    if !roots.is_empty() || check_signature(1, &root, &root).is_err() {
        return Err(GivenError::NoRoot);
    }
    if let Some(last) = chain.last() {
        check_signature(chain.len(), last, &root)?;
    }
    Ok(root)
}

fn check_signature(position: usize, below: &Link, above: &Link) -> Result<(), GivenError> {
    let (below, above) =
        (parse("tls.crt", position, &below.der)?, parse("tls.crt", position + 1, &above.der)?);
    let named = below.issuer().as_raw() == above.subject().as_raw();
    if named && below.verify_signature(Some(above.public_key())).is_ok() {
        Ok(())
    } else {
        Err(GivenError::NotSigned { position })
    }
}

fn check_domains(chain: &[Link], root: &Link, wanted: &TrustDomain) -> Result<(), GivenError> {
    let refused = |found: Option<&TrustDomain>| GivenError::TrustDomain {
        found: found.map(ToString::to_string).unwrap_or_default(),
        wanted: wanted.clone(),
    };
    // The bundle file says by the root's own name what it vouches for.
    if root.stated.trust_domain() != Some(wanted) {
        return Err(refused(root.stated.trust_domain()));
    }
    // An intermediate that names no domain serves its root's.
    let other = chain.iter().filter_map(|link| link.stated.trust_domain()).find(|domain| *domain != wanted);
    other.map_or(Ok(()), |found| Err(refused(Some(found))))
}

/// RFC 5280, section 4.2.1.9: the number of authorities that may follow.
fn check_path_lengths(chain: &[Link], root: &Link) -> Result<(), GivenError> {
    for (below, link) in chain.iter().chain(std::iter::once(root)).enumerate() {
        let parsed = parse("tls.crt", below + 1, &link.der)?;
        let constraints = parsed.basic_constraints().ok().flatten();
        let most = constraints.and_then(|constraints| constraints.value.path_len_constraint);
        if most.is_some_and(|most| usize::try_from(most).unwrap_or(usize::MAX) < below) {
            return Err(GivenError::PathLength);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
