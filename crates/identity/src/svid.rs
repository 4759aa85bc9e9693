//! A leaf certificate becomes the one identity that it states.
//!
//! INVARIANT: the verifier and the code that makes a `Peer` both call [`leaf_id`], so the identity that was verified
//! is the identity that is used. Nothing else in Bailiwick reads an identity out of a certificate.

use std::fmt;

use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::key::check_key;
use crate::{SpiffeId, SpiffeIdError};

/// What a certificate may be used for on a connection (RFC 5280, section 4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// To prove who calls: `id-kp-clientAuth`.
    Client,
    /// To prove who is called: `id-kp-serverAuth`.
    Server,
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// What a leaf certificate states. Reading it proves nothing: the chain and the handshake do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    id: SpiffeId,
    serial: Box<str>,
    not_before: i64,
    not_after: i64,
    client: bool,
    server: bool,
}

/// Why a certificate is not a leaf that Bailiwick believes (X.509-SVID specification, sections 2 to 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SvidError {
    /// Not a DER certificate, or bytes follow it.
    #[error("the certificate is malformed")]
    Malformed,
    /// No URI subject alternative name. Common names, DNS names and other names are no identity.
    #[error("the certificate has no URI subject alternative name")]
    NoUri,
    /// More than one URI subject alternative name, whatever they say.
    #[error("the certificate has {count} URI subject alternative names; exactly one is allowed")]
    ManyUris {
        /// How many were found.
        count: usize,
    },
    /// The URI is not a SPIFFE ID.
    #[error("the certificate's URI is refused: {0}")]
    Id(#[from] SpiffeIdError),
    /// The certificate says that it is an authority.
    #[error("the certificate is an authority's, not a workload's")]
    Authority,
    /// The certificate may sign certificates or revocation lists.
    #[error("the certificate's key usage allows signing certificates or revocation lists")]
    SigningKeyUsage,
    /// The key usage extension is missing or does not allow digital signatures.
    #[error("the certificate's key usage does not allow digital signatures")]
    NoDigitalSignature,
    /// The extended key usage does not name what the certificate is used for here.
    #[error("the certificate's extended key usage does not allow it to be used as a {0}")]
    Purpose(KeyPurpose),
    /// The key is of a kind that is too weak, too costly to check, or unknown.
    #[error(
        "the certificate's key is refused: use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits"
    )]
    Key,
    /// A certificate that should sign others is not allowed to.
    #[error("the certificate is not an authority's")]
    NotAuthority,
    /// An authority's certificate names a workload or something that is no trust domain.
    #[error(
        "an authority's certificate may only name a trust domain: `spiffe://<trust domain>` without a path"
    )]
    AuthorityName,
    /// An extension is marked critical, and we do not know what it says.
    #[error("the certificate has a critical extension that is not understood")]
    CriticalExtension,
}

impl Leaf {
    /// The one identity.
    #[must_use]
    pub const fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The serial number, lower-case hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Start of validity, seconds since the Unix epoch.
    #[must_use]
    pub const fn not_before(&self) -> i64 {
        self.not_before
    }

    /// End of validity, seconds since the Unix epoch.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Checks that the certificate may be used for a purpose. `anyExtendedKeyUsage` and an absent extension do not
    /// count: a workload's certificate names what it is for.
    ///
    /// # Errors
    /// When the extended key usage does not name the purpose.
    pub const fn check_purpose(&self, purpose: KeyPurpose) -> Result<(), SvidError> {
        let allowed = match purpose {
            KeyPurpose::Client => self.client,
            KeyPurpose::Server => self.server,
        };
        if allowed { Ok(()) } else { Err(SvidError::Purpose(purpose)) }
    }
}

/// Reads the one identity that a DER leaf certificate states.
///
/// # Errors
/// When the certificate is malformed, has not exactly one URI subject alternative name, that URI is not a SPIFFE ID,
/// or the certificate could sign other certificates.
pub fn leaf_id(der: &[u8]) -> Result<Leaf, SvidError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| SvidError::Malformed)?;
    if !rest.is_empty() {
        return Err(SvidError::Malformed);
    }
    // An extension that occurs twice could say two things (RFC 5280, section 4.2).
    certificate.extensions_map().map_err(|_| SvidError::Malformed)?;
    check_key(certificate.public_key())?;
    let usage = read_usage(&certificate)?;
    let id = one_uri(&certificate)?.parse()?;
    let serial = certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(Leaf {
        id,
        serial: serial.into_boxed_str(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        client: usage.client,
        server: usage.server,
    })
}

fn one_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, SvidError> {
    let mut uris = Vec::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            for name in &names.general_names {
                if let GeneralName::URI(uri) = name {
                    uris.push(*uri);
                }
            }
        }
    }
    match uris.as_slice() {
        [] => Err(SvidError::NoUri),
        [uri] => Ok(uri),
        many => Err(SvidError::ManyUris { count: many.len() }),
    }
}

#[derive(Default)]
struct Usage {
    client: bool,
    server: bool,
}

fn read_usage(certificate: &X509Certificate<'_>) -> Result<Usage, SvidError> {
    let mut usage = Usage::default();
    let mut signs = false;
    for extension in certificate.extensions() {
        let parsed = extension.parsed_extension();
        if let ParsedExtension::BasicConstraints(constraints) = parsed {
            if constraints.ca {
                return Err(SvidError::Authority);
            }
        } else if let ParsedExtension::KeyUsage(key_usage) = parsed {
            if key_usage.key_cert_sign() || key_usage.crl_sign() {
                return Err(SvidError::SigningKeyUsage);
            }
            signs = key_usage.digital_signature();
        } else if let ParsedExtension::ExtendedKeyUsage(extended) = parsed {
            usage = Usage { client: extended.client_auth, server: extended.server_auth };
        } else if let ParsedExtension::ParseError { .. } = parsed {
            return Err(SvidError::Malformed);
        }
    }
    // FAIL-CLOSED: an absent key usage allows everything in RFC 5280, and nothing in an X.509-SVID (section 4.3).
    if signs { Ok(usage) } else { Err(SvidError::NoDigitalSignature) }
}

#[cfg(test)]
mod tests;
