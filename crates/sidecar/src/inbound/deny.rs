//! Refusals, as each protocol expects them. 401 is not 403: the first says "prove who you are", the second "you may
//! not", and 503 says "not known yet".

use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode, Version};

use crate::body::ResponseBody;
use crate::inbound::headers::DECISION;

/// Why a request is answered by the sidecar itself.
#[derive(Debug)]
pub(crate) enum Refusal<'a> {
    /// The request has no single reading.
    BadRequest(&'a str),
    /// CONNECT.
    MethodNotAllowed,
    /// Who calls is not proven; the challenge says how it could be.
    Unauthenticated(&'a str),
    /// The caller may not do this.
    PermissionDenied {
        /// The decision's id, told to proven peers only.
        decision: Option<&'a str>,
        /// The deciding rule's own text, if it has one.
        message: Option<&'a str>,
    },
    /// Something that is needed to answer is not there yet, or the application cannot be reached.
    Unavailable(&'a str),
}

impl Refusal<'_> {
    /// The HTTP status (for gRPC: what the status would be over plain HTTP).
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied { .. } => StatusCode::FORBIDDEN,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn grpc_status(&self) -> &'static str {
        match self {
            // INTERNAL, as gRPC's own mapping of HTTP 400 says.
            Self::BadRequest(_) | Self::MethodNotAllowed => "13",
            Self::Unauthenticated(_) => "16",
            Self::PermissionDenied { .. } => "7",
            Self::Unavailable(_) => "14",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::BadRequest(reason) => format!("refused: {reason}"),
            Self::MethodNotAllowed => "refused: CONNECT is not served".to_owned(),
            Self::Unauthenticated(_) => "unauthenticated: prove who you are".to_owned(),
            Self::PermissionDenied { message: Some(message), .. } => format!("denied: {message}"),
            Self::PermissionDenied { message: None, .. } => "denied by policy".to_owned(),
            Self::Unavailable(reason) => format!("unavailable: {reason}"),
        }
    }

    /// The answer. After a request that has more than one reading an HTTP/1 connection is closed: what follows on it
    /// could be part of that request.
    pub(crate) fn response(&self, grpc: bool, version: Version) -> Response<ResponseBody> {
        let mut response = if grpc { self.grpc_response() } else { self.http_response() };
        let headers = response.headers_mut();
        match self {
            Self::BadRequest(_) | Self::MethodNotAllowed => {
                if version == Version::HTTP_11 {
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
            }
            Self::Unauthenticated(challenge) => {
                let value = HeaderValue::from_str(challenge);
                headers.insert(WWW_AUTHENTICATE, value.unwrap_or(HeaderValue::from_static("Mutual")));
            }
            Self::PermissionDenied { decision: Some(decision), .. } => {
                if let Ok(value) = HeaderValue::from_str(decision) {
                    headers.insert(DECISION, value);
                }
            }
            Self::PermissionDenied { decision: None, .. } => {}
            Self::Unavailable(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
        }
        response
    }

    fn http_response(&self) -> Response<ResponseBody> {
        let mut text = self.text();
        text.push('\n');
        let mut response = Response::new(ResponseBody::text(text));
        *response.status_mut() = self.status();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }

    /// A trailers-only response (gRPC over HTTP/2, "Responses").
    fn grpc_response(&self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::Empty);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(self.grpc_status()));
        if let Ok(message) = HeaderValue::from_str(&percent_encode(&self.text())) {
            headers.insert("grpc-message", message);
        }
        response
    }
}

/// `grpc-message` is percent-encoded: bytes outside of 0x20 to 0x7E, and `%`.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            0x20..=0x7e => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The answer to plaintext HTTP on a port that takes mesh TLS only. Written as bytes: the request was never parsed.
pub(crate) const PLAINTEXT_ON_STRICT: &[u8] = b"HTTP/1.1 401 Unauthorized\r\n\
www-authenticate: Mutual realm=\"bailiwick\"\r\n\
content-type: text/plain; charset=utf-8\r\n\
content-length: 53\r\n\
connection: close\r\n\r\n\
unauthenticated: this port takes mesh TLS (mTLS) only";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_answer_states_its_own_length() {
        let text = std::str::from_utf8(PLAINTEXT_ON_STRICT).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{} bytes", body.len());
    }

    #[test]
    fn every_401_has_a_challenge_and_no_403_has_one() {
        let answer = Refusal::Unauthenticated("Mutual realm=\"bailiwick\"").response(false, Version::HTTP_11);
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert!(answer.headers().contains_key(WWW_AUTHENTICATE));
        let denied = Refusal::PermissionDenied { decision: Some("d1"), message: None };
        let answer = denied.response(false, Version::HTTP_2);
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(!answer.headers().contains_key(WWW_AUTHENTICATE));
        assert_eq!(answer.headers().get(DECISION).unwrap(), "d1");
    }

    #[test]
    fn grpc_refusals_are_trailers_only() {
        let answer = Refusal::PermissionDenied { decision: None, message: Some("a\u{e9}%") }
            .response(true, Version::HTTP_2);
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers().get("grpc-status").unwrap(), "7");
        assert_eq!(answer.headers().get("grpc-message").unwrap(), "denied: a%C3%A9%25");
    }
}
