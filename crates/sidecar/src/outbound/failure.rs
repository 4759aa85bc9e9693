//! Why an outbound call reached no endpoint, and how the application is told.

use bailiwick_authn::{AuthnError, CertificateRefusal};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, Version};

use crate::body::ResponseBody;
use crate::inbound::deny::Refusal;

/// Why a call reached no endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The control plane did not say in time where the call leads. FAIL-CLOSED: it is never guessed.
    #[error("no answer where `{0}` leads")]
    NoAnswer(String),
    /// There is no such Service or port.
    #[error("destination unknown: `{0}`")]
    Unknown(String),
    /// The Service has no ready endpoint.
    #[error("no endpoints")]
    NoEndpoints,
    /// The call would come back to this sidecar.
    #[error("the call leads back to this sidecar")]
    Loop,
    /// Nobody listens at the endpoint, or not in time.
    #[error("the endpoint cannot be reached: {0}")]
    Connect(#[source] std::io::Error),
    /// Who listens did not prove to be the one expected.
    #[error("{}", handshake_text(.0))]
    Handshake(#[from] AuthnError),
    /// The connection broke, or what came back is not HTTP.
    #[error("{}", exchange_text(.0))]
    Exchange(#[source] hyper::Error),
    /// The peer switched protocols without being asked.
    #[error("the endpoint switched protocols without being asked")]
    UnaskedUpgrade,
}

impl Failure {
    /// The word used in metrics.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::NoAnswer(_) => "no-answer",
            Self::Unknown(_) => "unknown",
            Self::NoEndpoints => "no-endpoints",
            Self::Loop => "loop",
            Self::Connect(_) => "connect",
            Self::Handshake(error) => error.reason(),
            Self::Exchange(_) => "exchange",
            Self::UnaskedUpgrade => "unasked-upgrade",
        }
    }

    /// 503 with the reason as text, or for gRPC a trailers-only `UNAVAILABLE`.
    pub(crate) fn response(&self, grpc: bool, version: Version) -> Response<ResponseBody> {
        Refusal::Unavailable(&self.to_string()).response(grpc, version)
    }
}

/// True for a gRPC request.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn handshake_text(error: &AuthnError) -> String {
    if let AuthnError::Certificate(CertificateRefusal::UnexpectedServer { .. }) = error {
        return format!("peer has unexpected identity: {error}");
    }
    format!("no mTLS with the endpoint: {error}")
}

/// A peer that refuses our certificate says so in a TLS alert, which arrives with the first bytes of its answer.
fn exchange_text(error: &hyper::Error) -> String {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(alert) = cause.downcast_ref().and_then(bailiwick_authn::alert_received) {
            return format!("the endpoint refused this workload's certificate: {alert}");
        }
        source = cause.source();
    }
    format!("the endpoint did not answer: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unexpected_identity_is_named() {
        let refusal = CertificateRefusal::UnexpectedServer {
            expected: "spiffe://a/ns/x/sa/y".parse().unwrap(),
            found: "spiffe://a/ns/x/sa/z".parse().unwrap(),
        };
        let failure = Failure::from(AuthnError::from(refusal));
        let text = failure.to_string();
        assert!(
            text.starts_with("peer has unexpected identity") && text.contains("spiffe://a/ns/x/sa/z"),
            "{text}"
        );
        assert_eq!(failure.reason(), "unexpected-server");
    }

    #[test]
    fn grpc_is_told_in_its_own_words() {
        let answer = Failure::NoEndpoints.response(true, Version::HTTP_2);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers().get("grpc-status").unwrap(), "14");
        assert_eq!(answer.headers().get("grpc-message").unwrap(), "unavailable: no endpoints");
        assert_eq!(Failure::NoEndpoints.response(false, Version::HTTP_11).status(), 503);
    }
}
