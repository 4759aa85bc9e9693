//! What a caller begins to speak, seen without taking it from the socket.
//!
//! A Permissive port decides by this whether to [`accept`](crate::accept); a Strict one, how to refuse.

use std::io;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::ALPN;

/// Enough for a ClientHello with a post-quantum key share.
const FIRST_LOOK: usize = 2048;
/// A longer ClientHello is not one of ours.
const LONGEST_LOOK: usize = 64 * 1024;
/// No method that anybody uses is longer.
const LONGEST_METHOD: usize = 32;
/// Whoever sends more blanks than this before a method means to hide it.
const MOST_BLANKS: usize = 32;
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBytes {
    /// TLS that offers the mesh's protocol name.
    MeshTls,
    /// TLS that does not, well-formed or not.
    OtherTls,
    /// They could begin an HTTP/1 request. Whether they do is for a parser to say.
    Http1,
    /// The HTTP/2 connection preface, without TLS.
    Http2,
    /// They can begin neither TLS nor HTTP.
    Other,
    /// Some came, too few to tell, within the time.
    Unfinished,
    /// None came within the time. A server-first protocol looks like this.
    Nothing,
    /// The caller closed without sending any.
    Closed,
}

/// Looks at what a caller sends first, and leaves it in the socket. Waits up to `limit` for enough bytes.
///
/// # Errors
/// When the socket cannot be read.
pub async fn peek(stream: &TcpStream, limit: Duration) -> io::Result<FirstBytes> {
    let mut came = false;
    let look = async {
        let mut buffer = vec![0; FIRST_LOOK];
        let mut pause = SHORTEST_PAUSE;
        loop {
            let count = stream.peek(&mut buffer).await?;
            came |= count > 0;
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(FirstBytes::Closed);
            }
            if let Some(found) = classify(bytes) {
                return Ok(found);
            }
            if count == LONGEST_LOOK {
                return Ok(FirstBytes::OtherTls);
            }
            if count == buffer.len() {
                buffer.resize((count * 4).min(LONGEST_LOOK), 0);
                continue;
            }
            // Bytes that were peeked stay readable, so readiness cannot say when more have come.
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    match timeout(limit, look).await {
        Ok(found) => found,
        Err(_) if came => Ok(FirstBytes::Unfinished),
        Err(_) => Ok(FirstBytes::Nothing),
    }
}

/// Says what bytes begin; `None` if more are needed to tell.
#[must_use]
pub fn classify(bytes: &[u8]) -> Option<FirstBytes> {
    match bytes {
        [] | [0x16] => None,
        [0x16, 0x03, ..] => classify_tls(bytes),
        // An empty line before a request is ignored by HTTP parsers (RFC 9112, section 2.2).
        [b'\r' | b'\n', ..] => Some(FirstBytes::Http1),
        _ if bytes.starts_with(HTTP2_PREFACE) => Some(FirstBytes::Http2),
        _ if HTTP2_PREFACE.starts_with(bytes) => None,
        _ => classify_http1(bytes),
    }
}

/// Reads the ClientHello with the same code that the handshake will.
fn classify_tls(mut bytes: &[u8]) -> Option<FirstBytes> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        match acceptor.read_tls(&mut bytes) {
            Ok(0) | Err(_) => return Some(FirstBytes::OtherTls),
            Ok(_) => {}
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let offered =
                    accepted.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == ALPN));
                return Some(if offered { FirstBytes::MeshTls } else { FirstBytes::OtherTls });
            }
            Ok(None) => {}
            Err(_) => return Some(FirstBytes::OtherTls),
        }
    }
    None
}

/// A method is a token (RFC 9110, section 5.6.2) and a blank, after blanks if any.
///
/// FAIL-CLOSED: only a space is right, but servers exist that split the request line at any blank, and skip those
/// before it. What they would execute is for the HTTP parser to refuse, never a TCP call.
fn classify_http1(bytes: &[u8]) -> Option<FirstBytes> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let blanks = bytes.iter().take_while(|byte| is_blank(**byte)).count();
    if blanks > MOST_BLANKS {
        return Some(FirstBytes::Http1);
    }
    let method = bytes.iter().skip(blanks).take_while(|byte| token(**byte)).count();
    match bytes.get(blanks + method) {
        Some(byte) if method > 0 && is_blank(*byte) => Some(FirstBytes::Http1),
        Some(_) => Some(FirstBytes::Other),
        None if method >= LONGEST_METHOD => Some(FirstBytes::Other),
        None => None,
    }
}

/// What lenient servers split a request line at (Python's `str.split` on ISO 8859-1), line ends aside.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | 0x1c..=0x1f | 0x85 | 0xa0)
}

#[cfg(test)]
mod tests;
