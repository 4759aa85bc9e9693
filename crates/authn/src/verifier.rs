//! Which certificates are believed.
//!
//! Chain building, signatures and name constraints are webpki's. Everything that makes a certificate an identity is
//! ours, because webpki looks at no URI, takes a root's dates for granted and lets a leaf be used for anything that
//! it does not exclude.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_identity::{KeyPurpose, Leaf, SpiffeId, SvidError, TrustDomain, issuer, leaf_id};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::CertificateRefusal;
use crate::algorithms::SIGNATURES;
use crate::trust::{Root, Trust};

/// The most certificates that a chain may have, the leaf included.
const LONGEST_CHAIN: usize = 10;
/// The most bytes that a chain may have.
const LARGEST_CHAIN: usize = 64 * 1024;

/// Who is accepted on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// A caller of one of these trust domains.
    Caller { domains: Vec<TrustDomain>, certificate: CallerCertificate },
    /// Exactly this server.
    Server(SpiffeId),
}

/// Whether a caller must present a certificate. One that is presented is always verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerCertificate {
    /// Between workloads.
    Required,
    /// On the control channel, where a workload's first contact is by token.
    Optional,
}

/// The verifier of both sides.
#[derive(Debug)]
pub(crate) struct MeshVerifier {
    pub(crate) trust: Arc<Trust>,
    pub(crate) expectation: Expectation,
}

/// Verifies a chain, the leaf first, and returns what its leaf states.
///
/// INVARIANT: the roots are those of the trust domain that the leaf's own identity names, and no others, so one
/// domain's authority cannot vouch for another's identities.
pub(crate) fn verify_chain(
    trust: &Trust,
    chain: &[CertificateDer<'_>],
    purpose: KeyPurpose,
    accepts: impl FnOnce(&TrustDomain) -> bool,
    now: UnixTime,
) -> Result<Leaf, CertificateRefusal> {
    check_size(chain)?;
    let (end_entity, intermediates) =
        chain.split_first().ok_or(CertificateRefusal::Leaf(SvidError::Malformed))?;
    let leaf = leaf_id(end_entity).map_err(CertificateRefusal::Leaf)?;
    leaf.check_purpose(purpose).map_err(CertificateRefusal::Leaf)?;
    let domain = leaf.id().trust_domain();
    let foreign = || CertificateRefusal::ForeignTrustDomain { id: leaf.id().clone() };
    if !accepts(domain) {
        return Err(foreign());
    }
    let roots = trust.roots(domain).ok_or_else(foreign)?;
    for intermediate in intermediates {
        check_intermediate(intermediate, domain)?;
    }
    let end_entity = EndEntityCert::try_from(end_entity).map_err(|error| {
        let unknown = error == webpki::Error::UnsupportedCriticalExtension;
        CertificateRefusal::Leaf(if unknown { SvidError::CriticalExtension } else { SvidError::Malformed })
    })?;
    verify_path(&end_entity, intermediates, roots, purpose, now)?;
    Ok(leaf)
}

fn check_size(chain: &[CertificateDer<'_>]) -> Result<(), CertificateRefusal> {
    let bytes = chain.iter().map(|certificate| certificate.len()).sum();
    if chain.len() > LONGEST_CHAIN || bytes > LARGEST_CHAIN {
        return Err(CertificateRefusal::ChainTooLong { certificates: chain.len(), bytes });
    }
    Ok(())
}

/// Every certificate after the leaf must be an authority's, whether or not a path uses it: `issuer` refuses one that
/// names a workload, and one that names a domain must name the leaf's.
fn check_intermediate(
    certificate: &CertificateDer<'_>,
    domain: &TrustDomain,
) -> Result<(), CertificateRefusal> {
    let stated = issuer(certificate).map_err(CertificateRefusal::Intermediate)?;
    match stated.trust_domain() {
        Some(other) if other != domain => Err(CertificateRefusal::Intermediate(SvidError::AuthorityName)),
        Some(_) | None => Ok(()),
    }
}

fn verify_path(
    end_entity: &EndEntityCert<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &[Root],
    purpose: KeyPurpose,
    now: UnixTime,
) -> Result<(), CertificateRefusal> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let valid = |root: &&Root| root.not_before <= seconds && seconds <= root.not_after;
    let anchors: Vec<TrustAnchor<'static>> =
        roots.iter().filter(valid).map(|root| root.anchor.clone()).collect();
    let outcome = build_path(end_entity, intermediates, &anchors, purpose, now);
    if outcome != Err(CertificateRefusal::UntrustedChain) {
        return outcome;
    }
    // FAIL-CLOSED: the chain is refused. Trying the roots that are not valid now only finds out why.
    for root in roots.iter().filter(|root| !valid(root)) {
        if build_path(end_entity, intermediates, std::slice::from_ref(&root.anchor), purpose, now).is_ok() {
            return Err(if seconds > root.not_after {
                CertificateRefusal::Expired { not_after: root.not_after }
            } else {
                CertificateRefusal::NotYetValid { not_before: root.not_before }
            });
        }
    }
    outcome
}

fn build_path(
    end_entity: &EndEntityCert<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    purpose: KeyPurpose,
    now: UnixTime,
) -> Result<(), CertificateRefusal> {
    let usage = match purpose {
        KeyPurpose::Client => KeyUsage::client_auth(),
        KeyPurpose::Server => KeyUsage::server_auth(),
    };
    end_entity
        .verify_for_usage(SIGNATURES.all, anchors, intermediates, now, usage, None, None)
        .map(|_| ())
        .map_err(|error| refusal(&error, purpose))
}

fn refusal(error: &webpki::Error, purpose: KeyPurpose) -> CertificateRefusal {
    let seconds = |time: &UnixTime| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    if let webpki::Error::CertExpired { not_after, .. } = error {
        CertificateRefusal::Expired { not_after: seconds(not_after) }
    } else if let webpki::Error::CertNotValidYet { not_before, .. } = error {
        CertificateRefusal::NotYetValid { not_before: seconds(not_before) }
    } else if let webpki::Error::CaUsedAsEndEntity = error {
        CertificateRefusal::Leaf(SvidError::Authority)
    } else if let webpki::Error::RequiredEkuNotFoundContext(_) = error {
        CertificateRefusal::Leaf(SvidError::Purpose(purpose))
    } else if let webpki::Error::UnsupportedCriticalExtension = error {
        CertificateRefusal::Leaf(SvidError::CriticalExtension)
    } else {
        // Whatever else is wrong (signatures, constraints, path length): no root vouches for this leaf.
        CertificateRefusal::UntrustedChain
    }
}

impl MeshVerifier {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        // Borrowed again, in one slice: nothing is copied.
        let mut chain = Vec::with_capacity(intermediates.len() + 1);
        chain.push(CertificateDer::from(end_entity.as_ref()));
        chain.extend(intermediates.iter().map(|certificate| CertificateDer::from(certificate.as_ref())));
        let outcome = match &self.expectation {
            Expectation::Caller { domains, .. } => {
                let accepts = |domain: &TrustDomain| domains.contains(domain);
                verify_chain(&self.trust, &chain, KeyPurpose::Client, accepts, now).map(|_| ())
            }
            Expectation::Server(expected) => self.verify_server(&chain, expected, now),
        };
        outcome.map_err(|refusal| refusal.into_tls(now))
    }

    fn verify_server(
        &self,
        chain: &[CertificateDer<'_>],
        expected: &SpiffeId,
        now: UnixTime,
    ) -> Result<(), CertificateRefusal> {
        // Any domain with roots is verified first, so that a wrong server is only ever named after it proved its name.
        let leaf = verify_chain(&self.trust, chain, KeyPurpose::Server, |_| true, now)?;
        if leaf.id() == expected {
            Ok(())
        } else {
            Err(CertificateRefusal::UnexpectedServer { expected: expected.clone(), found: leaf.id().clone() })
        }
    }
}

impl ClientCertVerifier for MeshVerifier {
    fn client_auth_mandatory(&self) -> bool {
        match self.expectation {
            Expectation::Caller { certificate: CallerCertificate::Optional, .. } => false,
            Expectation::Caller { certificate: CallerCertificate::Required, .. } | Expectation::Server(_) => {
                true
            }
        }
    }

    /// Empty, so that a caller presents the one certificate it has, and learns nothing of our roots.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &SIGNATURES)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

impl ServerCertVerifier for MeshVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &SIGNATURES)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

/// The clock, as certificates count it.
pub(crate) fn unix_time(time: std::time::SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
