//! The credentials of a request become a subject.
//!
//! Today a request has no credentials of its own: its subject is its connection's. Tokens and sessions will be read
//! here, and nowhere else.

use bailiwick_identity::{
    Connection, InvalidAuthentication, MtlsMode, PortTrust, Subject, TrustDomain, Unproven,
};
use http::HeaderMap;

/// Headers that carry credentials. Conditions cannot read them, and no external authorizer is sent them.
pub const CREDENTIAL_HEADERS: [http::HeaderName; 3] =
    [http::header::AUTHORIZATION, http::header::COOKIE, http::header::PROXY_AUTHORIZATION];

/// Why a request has no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// The caller did not prove who it is: 401, `UNAUTHENTICATED`.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// What the port believes is not known, because an Authentication is invalid: 503, `UNAVAILABLE`.
    #[error("the Authentication `{}` that selects this port is invalid: {}", .0.object, .0.reason)]
    Unavailable(InvalidAuthentication),
}

/// Why the caller is not proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// The port is Strict, and the connection has no proven peer.
    #[error("this port requires a client certificate of the mesh (the connection is {0})")]
    Unproven(Unproven),
    /// The connection was accepted, and then its trust domain was not any more.
    #[error("trust domain `{0}` is not accepted on this port")]
    ForeignTrustDomain(TrustDomain),
}

impl Unauthenticated {
    /// The word used in audit events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unproven(_) => "no-certificate",
            Self::ForeignTrustDomain(_) => "foreign-trust-domain",
        }
    }

    /// The value of `WWW-Authenticate` that every 401 carries (RFC 9110, section 11.6.1).
    #[must_use]
    pub const fn challenge(&self) -> &'static str {
        match self {
            Self::Unproven(_) => r#"ClientCertificate alpn="bailiwick/1", error="certificate_required""#,
            Self::ForeignTrustDomain(_) => {
                r#"ClientCertificate alpn="bailiwick/1", error="trust_domain_not_accepted""#
            }
        }
    }
}

/// Makes the subject of a request: the one hand-off to authorization. Called for every request, with the trust in
/// force at that moment, so that a change is obeyed on connections that are already open.
///
/// # Errors
/// When the port requires a proof that the connection does not have, or an invalid Authentication selects the port.
#[expect(clippy::disallowed_methods, reason = "the one place where authentication hands a subject over")]
pub fn request(
    connection: &Connection,
    _headers: &HeaderMap,
    trust: &PortTrust,
) -> Result<Subject, RequestRefusal> {
    // FAIL-CLOSED: before anything else, since nothing is known about what this port should believe.
    if let Some(invalid) = &trust.invalid {
        return Err(RequestRefusal::Unavailable(invalid.clone()));
    }
    match connection {
        Connection::Peer(peer) => {
            let domain = peer.id().trust_domain();
            if !trust.trust_domains.contains(domain) {
                return Err(Unauthenticated::ForeignTrustDomain(domain.clone()).into());
            }
        }
        Connection::Unproven(reason) => match trust.mode {
            MtlsMode::Strict => return Err(Unauthenticated::Unproven(*reason).into()),
            MtlsMode::Permissive | MtlsMode::Disabled => {}
        },
    }
    Ok(Subject::assertion(connection.clone(), None))
}

/// In authentication audit, the refusal that a subject would have met if its port were Strict. It is reported, never
/// enforced.
#[must_use]
pub fn would_refuse(subject: &Subject, trust: &PortTrust) -> Option<Unauthenticated> {
    match trust.mode {
        MtlsMode::Permissive if trust.audit => subject.unproven().map(Unauthenticated::Unproven),
        MtlsMode::Strict | MtlsMode::Permissive | MtlsMode::Disabled => None,
    }
}

#[cfg(test)]
mod tests;
