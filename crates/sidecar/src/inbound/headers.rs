//! Headers that must not cross the sidecar as they came.

use std::net::IpAddr;

use bailiwick_identity::Connection;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Version};

/// The header in which the application finds the caller's proven identity.
pub(crate) const CLIENT_ID: HeaderName = HeaderName::from_static("x-bailiwick-client-id");
/// The header in which a proven peer finds the id of the decision that denied its call.
pub(crate) const DECISION: HeaderName = HeaderName::from_static("x-bailiwick-decision");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Names that applications read as somebody's identity, besides every name of our own prefix.
const IDENTITY: [&str; 2] = ["x-forwarded-client-cert", "l5d-client-id"];
const PREFIX: &str = "x-bailiwick-";

/// Hop-by-hop headers (RFC 9110, section 7.6.1), and what an upgrade to HTTP/2 would ride on.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("http2-settings"),
];

/// True for a name that states an identity.
pub(crate) fn states_identity(name: &HeaderName) -> bool {
    let text = name.as_str();
    begins(text, PREFIX) || IDENTITY.iter().any(|wanted| reads_as(text, wanted))
}

/// True if a name begins so. `_` counts as `-`: CGI-style backends fold the two.
fn begins(text: &str, wanted: &str) -> bool {
    let folded = text.bytes().map(|byte| if byte == b'_' { b'-' } else { byte });
    wanted.len() <= text.len() && wanted.bytes().zip(folded).all(|(want, found)| want == found)
}

fn reads_as(text: &str, wanted: &str) -> bool {
    wanted.len() == text.len() && begins(text, wanted)
}

/// True if the request asks to become a WebSocket (RFC 6455, section 4.1): the only upgrade that passes.
pub(crate) fn asks_for_websocket(version: Version, headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let only_websocket = match (upgrades.next(), upgrades.next()) {
        (Some(upgrade), None) => upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"),
        (None, _) | (Some(_), Some(_)) => false,
    };
    version == Version::HTTP_11
        && only_websocket
        && connection_tokens(headers).any(|token| token == "upgrade")
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim().to_ascii_lowercase())
}

/// Removes everything of a request that must not reach the application as it came: identity headers in every
/// spelling, hop-by-hop headers, and the headers that the client named in `Connection`. Ours are added after this
/// step, so a client cannot name them there (C2).
pub(crate) fn strip_request(headers: &mut HeaderMap, websocket: bool) {
    strip_hop_by_hop(headers);
    strip_identity(headers);
    let trailers = headers.get(header::TE).is_some_and(|te| te == "trailers");
    headers.remove(header::TE);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
}

/// Removes every header that states an identity.
pub(crate) fn strip_identity(headers: &mut HeaderMap) {
    let stated: Vec<HeaderName> = headers.keys().filter(|name| states_identity(name)).cloned().collect();
    for name in stated {
        headers.remove(name);
    }
}

/// Removes hop-by-hop headers, and those that `Connection` names as such.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = connection_tokens(headers)
        .filter(|token| !matches!(token.as_str(), "close" | "keep-alive" | "upgrade" | "te" | ""))
        .collect();
    for name in named {
        // INVARIANT: what is matched is what is forwarded. Framing, addressing and what a decision read are not the
        // sender's to remove.
        if !matches!(name.as_str(), "host" | "content-length" | "content-type" | "transfer-encoding") {
            headers.remove(name.as_str());
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes what a trailer section must not state: framing, addressing and identities (D7, C1).
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_hop_by_hop(trailers);
    strip_identity(trailers);
    for name in [header::CONTENT_LENGTH, header::HOST, header::TE, header::TRAILER, header::AUTHORIZATION] {
        trailers.remove(name);
    }
}

/// States who calls: the proven identity, if there is one, and the caller's address for applications that log it.
pub(crate) fn state_caller(headers: &mut HeaderMap, connection: &Connection, source: IpAddr) {
    if let Some(peer) = connection.peer() {
        // A SPIFFE ID has only bytes that a header value may hold; if that ever changed, the header is left out.
        if let Ok(value) = HeaderValue::from_str(peer.id().as_str()) {
            headers.insert(CLIENT_ID, value);
        }
    }
    let mut chain = String::new();
    for value in headers.get_all(&FORWARDED_FOR) {
        if let Ok(text) = value.to_str() {
            chain.push_str(text);
            chain.push_str(", ");
        }
    }
    chain.push_str(&source.to_string());
    let others: Vec<HeaderName> =
        headers.keys().filter(|name| reads_as(name.as_str(), FORWARDED_FOR.as_str())).cloned().collect();
    for name in others {
        headers.remove(name);
    }
    if let Ok(value) = HeaderValue::from_str(&chain) {
        headers.insert(FORWARDED_FOR, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn c1_identity_headers_are_removed_in_every_spelling() {
        let mut headers = map(&[
            ("x-forwarded-client-cert", "x"),
            ("X_Forwarded_Client_Cert", "x"),
            ("l5d-client-id", "x"),
            ("L5d_Client-Id", "x"),
            ("x-bailiwick-client-id", "x"),
            ("X_BAILIWICK_CLIENT_ID", "x"),
            ("x-bailiwick-anything", "x"),
            ("x-other", "kept"),
        ]);
        strip_request(&mut headers, false);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }

    #[test]
    fn c2_connection_cannot_remove_what_we_set_nor_the_host() {
        let mut headers = map(&[
            ("connection", "close, x-bailiwick-client-id, host, x-mine"),
            ("host", "a"),
            ("x-mine", "1"),
        ]);
        strip_request(&mut headers, false);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["host"]);
    }

    #[test]
    fn c1_no_spelling_of_the_callers_address_passes_but_ours() {
        for name in ["x_forwarded_for", "x-forwarded_for", "X_Forwarded-For"] {
            let mut headers = map(&[(name, "10.9.9.9")]);
            let unproven = Connection::Unproven(bailiwick_identity::Unproven::Plaintext);
            state_caller(&mut headers, &unproven, IpAddr::from([192, 0, 2, 1]));
            assert_eq!(headers.len(), 1, "{name}");
            assert_eq!(headers.get(FORWARDED_FOR).unwrap(), "192.0.2.1");
        }
    }

    #[test]
    fn e1_an_upgrade_to_http2_is_stripped_and_is_no_websocket() {
        let mut headers =
            map(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "x")]);
        assert!(!asks_for_websocket(Version::HTTP_11, &headers));
        strip_request(&mut headers, false);
        assert!(headers.is_empty());
    }

    #[test]
    fn e7_a_websocket_is_known_in_any_case() {
        let headers = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]);
        assert!(asks_for_websocket(Version::HTTP_11, &headers));
        let both = map(&[("connection", "upgrade"), ("upgrade", "websocket, h2c")]);
        assert!(!asks_for_websocket(Version::HTTP_11, &both));
    }

    #[test]
    fn d7_trailers_state_neither_framing_nor_identity() {
        let mut trailers = map(&[
            ("content-length", "1"),
            ("host", "x"),
            ("x-bailiwick-client-id", "x"),
            ("grpc-status", "0"),
        ]);
        strip_trailers(&mut trailers);
        assert_eq!(trailers.len(), 1);
    }
}
