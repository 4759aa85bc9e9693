//! Why authentication of a connection failed, in words that a user can act on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_identity::{KeyPurpose, SpiffeId, SvidError};
use rustls::{AlertDescription, CertificateError, OtherError};
use rustls_pki_types::UnixTime;

/// Why a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// The leaf is malformed, states no identity, or is not what it is used for.
    #[error("{0}")]
    Leaf(SvidError),
    /// A certificate between leaf and root is malformed or may not sign.
    #[error("an intermediate certificate is refused: {0}")]
    Intermediate(SvidError),
    /// More certificates or bytes than an honest chain has.
    #[error(
        "the certificate chain has {certificates} certificates and {bytes} bytes; at most 10 and 65536 are read"
    )]
    ChainTooLong {
        /// Certificates found.
        certificates: usize,
        /// Bytes found.
        bytes: usize,
    },
    /// The identity's trust domain is not accepted here, or no roots are known for it.
    #[error("`{id}` is of a trust domain that is not accepted here")]
    ForeignTrustDomain {
        /// The identity that the certificate states, unproven.
        id: SpiffeId,
    },
    /// No root of the identity's own trust domain vouches for the certificate.
    #[error("no root of the certificate's own trust domain vouches for it")]
    UntrustedChain,
    /// A certificate of the chain, or its root, has expired.
    #[error("the certificate, or one that vouches for it, expired at {not_after} (seconds since 1970)")]
    Expired {
        /// When it expired.
        not_after: i64,
    },
    /// A certificate of the chain, or its root, is not valid yet.
    #[error(
        "the certificate, or one that vouches for it, is only valid from {not_before} (seconds since 1970); check the clocks"
    )]
    NotYetValid {
        /// When it becomes valid.
        not_before: i64,
    },
    /// The server is somebody else.
    #[error("expected the server to be `{expected}`, but it is `{found}`")]
    UnexpectedServer {
        /// Who should have answered.
        expected: SpiffeId,
        /// Who answered.
        found: SpiffeId,
    },
}

/// Why a connection is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthnError {
    /// The caller presented no certificate.
    #[error("the caller presented no certificate")]
    NoCertificate,
    /// The other side's certificate is refused.
    #[error("the certificate is refused: {0}")]
    Certificate(#[from] CertificateRefusal),
    /// The other side does not hold the key of the certificate that it presented.
    #[error("the other side did not prove that it holds its certificate's key")]
    KeyNotProven,
    /// The other side does not speak the mesh's protocol.
    #[error("the other side does not offer the protocol `{wanted}` (ALPN)")]
    Alpn {
        /// The protocol that was required.
        wanted: &'static str,
    },
    /// The other side refused us with a TLS alert.
    #[error("the other side refused the handshake: {alert}")]
    RefusedByPeer {
        /// The alert's name (RFC 8446, section 6).
        alert: String,
    },
    /// Not TLS 1.3, or broken TLS.
    #[error("the TLS handshake failed: {0}")]
    Handshake(rustls::Error),
    /// The handshake took too long.
    #[error("the TLS handshake did not finish within {after:?}")]
    Timeout {
        /// How long it was given.
        after: Duration,
    },
    /// This workload has no certificate yet.
    #[error("this workload has no certificate yet")]
    NoCredentials,
    /// The TLS library refused our own settings.
    #[error("the TLS settings are refused: {0}")]
    Settings(rustls::Error),
    /// The connection broke.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(io::Error),
}

impl CertificateRefusal {
    /// The word used in audit events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Leaf(SvidError::Purpose(_)) => "wrong-purpose",
            Self::Leaf(SvidError::Authority | SvidError::SigningKeyUsage) => "authority",
            Self::Leaf(_) | Self::Intermediate(_) => "malformed",
            Self::ChainTooLong { .. } => "chain-too-long",
            Self::ForeignTrustDomain { .. } => "foreign-trust-domain",
            Self::UntrustedChain => "untrusted-chain",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::UnexpectedServer { .. } => "unexpected-server",
        }
    }

    /// The form in which the TLS library carries it. Where the library has a kind of its own it is used, because the
    /// alert that the other side sees is chosen by the kind.
    pub(crate) fn into_tls(self, now: UnixTime) -> rustls::Error {
        let seconds = |seconds: i64| {
            UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
        };
        rustls::Error::InvalidCertificate(match self {
            Self::Expired { not_after } => {
                CertificateError::ExpiredContext { time: now, not_after: seconds(not_after) }
            }
            Self::NotYetValid { not_before } => {
                CertificateError::NotValidYetContext { time: now, not_before: seconds(not_before) }
            }
            Self::UntrustedChain => CertificateError::UnknownIssuer,
            Self::Leaf(SvidError::Purpose(_)) => CertificateError::InvalidPurpose,
            Self::Leaf(_)
            | Self::Intermediate(_)
            | Self::ChainTooLong { .. }
            | Self::ForeignTrustDomain { .. }
            | Self::UnexpectedServer { .. } => CertificateError::Other(OtherError(Arc::new(self))),
        })
    }
}

impl AuthnError {
    /// The word used in audit events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Certificate(refusal) => refusal.reason(),
            Self::KeyNotProven => "key-not-proven",
            Self::Alpn { .. } => "alpn",
            Self::RefusedByPeer { .. } => "refused-by-peer",
            Self::Handshake(_) => "handshake",
            Self::Timeout { .. } => "timeout",
            Self::NoCredentials => "no-credentials",
            Self::Settings(_) => "settings",
            Self::Io(_) => "io",
        }
    }

    /// Finds the cause of a failed handshake in what the TLS stream returned. `verified` is what the other side's
    /// certificate was to be used for, and `alpn` the protocol that was required.
    pub(crate) fn of_handshake(error: io::Error, verified: KeyPurpose, alpn: &'static str) -> Self {
        match tls_error(&error) {
            Some(cause) => Self::of_tls(cause.clone(), verified, alpn),
            None => Self::Io(error),
        }
    }

    fn of_tls(error: rustls::Error, verified: KeyPurpose, alpn: &'static str) -> Self {
        if let rustls::Error::InvalidCertificate(certificate) = &error {
            return match refusal(certificate, verified) {
                Some(refusal) => Self::Certificate(refusal),
                None if *certificate == CertificateError::BadSignature => Self::KeyNotProven,
                None => Self::Handshake(error),
            };
        }
        if let rustls::Error::AlertReceived(alert) = &error {
            return if *alert == AlertDescription::NoApplicationProtocol {
                Self::Alpn { wanted: alpn }
            } else {
                Self::RefusedByPeer { alert: alert_name(*alert) }
            };
        }
        if error == rustls::Error::NoCertificatesPresented {
            Self::NoCertificate
        } else if error == rustls::Error::NoApplicationProtocol {
            Self::Alpn { wanted: alpn }
        } else {
            Self::Handshake(error)
        }
    }
}

/// The alert that the other side sent, if that is why reading or writing failed. In TLS 1.3 a server refuses a client
/// only after the client's side of the handshake is done, so a client learns of it from its first read.
#[must_use]
pub fn alert_received(error: &io::Error) -> Option<String> {
    if let Some(rustls::Error::AlertReceived(alert)) = tls_error(error) {
        Some(alert_name(*alert))
    } else {
        None
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>())
}

/// `CertificateExpired` becomes `certificate_expired`, as RFC 8446 writes it.
fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    let mut after_lower = false;
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && after_lower {
            name.push('_');
        }
        after_lower = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn refusal(error: &CertificateError, verified: KeyPurpose) -> Option<CertificateRefusal> {
    let seconds = |time: &UnixTime| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    if let CertificateError::Other(OtherError(cause)) = error {
        cause.downcast_ref::<CertificateRefusal>().cloned()
    } else if let CertificateError::ExpiredContext { not_after, .. } = error {
        Some(CertificateRefusal::Expired { not_after: seconds(not_after) })
    } else if let CertificateError::NotValidYetContext { not_before, .. } = error {
        Some(CertificateRefusal::NotYetValid { not_before: seconds(not_before) })
    } else if *error == CertificateError::UnknownIssuer {
        Some(CertificateRefusal::UntrustedChain)
    } else if *error == CertificateError::InvalidPurpose {
        Some(CertificateRefusal::Leaf(SvidError::Purpose(verified)))
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
