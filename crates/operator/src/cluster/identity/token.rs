//! What a token says of itself, before anybody verified it: enough to refuse what could never be good.

use serde::Deserialize;

use bailiwick_pod::names::TOKEN_AUDIENCE;

/// The API server's tokens have between one and two KiB.
const LONGEST: usize = 16 * 1024;

/// Why a token is not worth a review, or the review refused it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenRefusal {
    #[error("no token was given")]
    Empty,
    #[error("the token is longer than any token of a service account")]
    TooLong,
    #[error("the token is not a service account's token")]
    Malformed,
    #[error(
        "the token is not for the audience `{TOKEN_AUDIENCE}` alone; use the projected token of the sidecar"
    )]
    Audience,
    #[error("the token is not bound to a pod; use the projected token of the sidecar")]
    NotPodBound,
    #[error("the API server does not believe the token: {said}")]
    NotAuthenticated { said: String },
    #[error("the token is not a service account's: its user is `{username}`")]
    Username { username: String },
    #[error("the review says no uid of the service account")]
    NoAccountUid,
}

impl TokenRefusal {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "token-empty",
            Self::TooLong => "token-too-long",
            Self::Malformed => "token-malformed",
            Self::Audience => "token-audience",
            Self::NotPodBound => "token-not-pod-bound",
            Self::NotAuthenticated { .. } => "token-not-authenticated",
            Self::Username { .. } => "token-user",
            Self::NoAccountUid => "token-account-uid",
        }
    }
}

#[derive(Deserialize)]
struct Payload {
    aud: Audiences,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Kubernetes {
    pod: Option<serde::de::IgnoredAny>,
}

/// Reads a token's own word, and gives it as text.
///
/// FAIL-CLOSED: a token for two audiences could have been handed over by the other one. The review does not tell: it
/// answers with what the question and the token have in common.
pub(super) fn peek(token: &[u8]) -> Result<&str, TokenRefusal> {
    let token = token.trim_ascii();
    if token.is_empty() {
        return Err(TokenRefusal::Empty);
    }
    if token.len() > LONGEST {
        return Err(TokenRefusal::TooLong);
    }
    let text = std::str::from_utf8(token).map_err(|_| TokenRefusal::Malformed)?;
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenRefusal::Malformed);
    };
    let decoded = |part| base64url(part).ok_or(TokenRefusal::Malformed);
    decoded(header)?;
    decoded(signature)?;
    let payload: Payload = serde_json::from_slice(&decoded(payload)?).map_err(|_| TokenRefusal::Malformed)?;
    let ours = match &payload.aud {
        Audiences::One(one) => one == TOKEN_AUDIENCE,
        Audiences::Many(many) => matches!(many.as_slice(), [one] if one == TOKEN_AUDIENCE),
    };
    if !ours {
        return Err(TokenRefusal::Audience);
    }
    if payload.kubernetes.and_then(|claims| claims.pod).is_none() {
        return Err(TokenRefusal::NotPodBound);
    }
    Ok(text)
}

/// Base64 for URLs without padding (RFC 4648, section 5; RFC 7515, section 2). Empty is not a part of a token.
fn base64url(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            bits = (bits << 6) | u32::from(sextet(*byte)?);
        }
        bits <<= 6 * (4 - group.len());
        let whole = bits.to_be_bytes();
        bytes.extend(whole.iter().skip(1).take(group.len() - 1));
    }
    Some(bytes)
}

const fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}
