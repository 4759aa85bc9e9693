//! `grpc`: one call of the standard health service (grpc/doc/health-checking.md), written by hand: one field in the
//! request, one number in the answer.

use std::net::SocketAddr;

use ::http::header::{CONTENT_TYPE, TE, USER_AGENT};
use ::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::probe::Outcome;
use crate::http_settings;

/// The service's one method.
const PATH: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;
/// The largest answer that is read; a right one has seven bytes.
const ANSWER: usize = 4 * 1024;
/// A message's prefix: one byte whether it is compressed, four for its length.
const PREFIX: usize = 5;

/// Asks the server, or one of its services, whether it serves.
pub(super) async fn check(target: SocketAddr, service: &str) -> Outcome {
    let Ok(stream) = TcpStream::connect(target).await else { return Outcome::Unreachable };
    let settings = http_settings::http2_client();
    let Ok((mut sender, connection)) = settings.handshake(TokioIo::new(stream)).await else {
        return Outcome::Unreachable;
    };
    let Some(request) = request(target, service) else { return Outcome::Refused };
    let asking = async {
        let response = sender.send_request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.ok()?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Some((head.status, head.headers, trailers, body.to_bytes()))
    };
    let driven = tokio::spawn(connection);
    let answer = asking.await;
    driven.abort();
    match answer {
        Some((StatusCode::OK, head, trailers, body)) if is_ok(&head, &trailers) && serves(&body) => {
            Outcome::Success
        }
        Some(_) | None => Outcome::Refused,
    }
}

fn request(target: SocketAddr, service: &str) -> Option<Request<Full<Bytes>>> {
    let uri =
        Uri::builder().scheme("http").authority(target.to_string()).path_and_query(PATH).build().ok()?;
    let mut request = Request::new(Full::new(question(service)?));
    *request.method_mut() = ::http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("kube-probe/1.0"));
    Some(request)
}

/// `HealthCheckRequest { string service = 1; }` with its prefix.
fn question(service: &str) -> Option<Bytes> {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(u8::try_from(length & 0x7f).ok()? | 0x80);
            length >>= 7;
        }
        message.put_u8(u8::try_from(length).ok()?);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).ok()?);
    framed.put(message);
    Some(framed.freeze())
}

/// The status is in the trailers, or in the head where there is nothing else.
fn is_ok(head: &HeaderMap, trailers: &HeaderMap) -> bool {
    let status = trailers.get("grpc-status").or_else(|| head.get("grpc-status"));
    status.is_some_and(|status| status == "0")
}

/// `HealthCheckResponse { ServingStatus status = 1; }`: the last value of the field counts, other fields are skipped.
fn serves(body: &[u8]) -> bool {
    let Some((&[0, a, b, c, d], message)) = body.split_first_chunk::<PREFIX>() else { return false };
    if usize::try_from(u32::from_be_bytes([a, b, c, d])) != Ok(message.len()) {
        return false;
    }
    status(message) == Some(SERVING)
}

fn status(mut message: &[u8]) -> Option<u64> {
    let mut found = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => found = varint(&mut message)?,
            (_, 0) => drop(varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            (_, _) => return None,
        }
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_the_service() {
        assert_eq!(question("").unwrap()[..], [0, 0, 0, 0, 0]);
        assert_eq!(question("ab").unwrap()[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = question(&"s".repeat(300)).unwrap();
        assert_eq!(long[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2]);
    }

    #[test]
    fn only_serving_is_serving() {
        assert!(serves(&[0, 0, 0, 0, 2, 8, 1]));
        assert!(serves(&[0, 0, 0, 0, 5, 0x12, 1, 9, 8, 1]), "a field of later versions is skipped");
        for body in [
            &[][..],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 2],
            &[0, 0, 0, 0, 2, 8, 3],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 2, 0x0b, 1],
            &[0, 0, 0, 0, 4, 8, 1, 8, 2],
            &[0, 0, 0, 0, 2, 0x12, 9],
            &[0, 0, 0, 0, 1, 8],
        ] {
            assert!(!serves(body), "{body:?}");
        }
    }
}
