//! One GET of the operator's admin page.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const WITHIN: Duration = Duration::from_secs(5);
/// A status is a few hundred bytes a workload and object.
const MAXIMUM_BYTES: usize = 256 * 1024 * 1024;

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("`{url}` is not an address such as `http://127.0.0.1:15014`")]
    Address { url: String },
    #[error("no operator answers at `{url}`: {source} (is it running, and is this its admin address?)")]
    Unreachable { url: String, source: std::io::Error },
    #[error("`{url}` did not answer within {} s", WITHIN.as_secs())]
    Silent { url: String },
    #[error("`{url}` broke off: {source}")]
    BrokenOff { url: String, source: hyper::Error },
    #[error("`{url}` answered {status}, and its `/config` is no operator's")]
    Status { url: String, status: StatusCode },
    #[error("the answer of `{url}` cannot be read: {source}")]
    Body { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("what answers at `{url}` is no operator: {source}")]
    NotAnOperator { url: String, source: serde_json::Error },
}

/// The operator's configuration and status, as JSON.
pub(super) async fn config(url: &str) -> Result<String, FetchError> {
    let fetched = tokio::time::timeout(WITHIN, get(url)).await;
    fetched.map_err(|_| FetchError::Silent { url: url.to_owned() })?
}

async fn get(text: &str) -> Result<String, FetchError> {
    let url = || text.to_owned();
    let address = || FetchError::Address { url: url() };
    let with_scheme = if text.contains("://") { url() } else { format!("http://{text}") };
    let uri: Uri = with_scheme.parse().map_err(|_| address())?;
    let is_http = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
    let authority = uri.authority().filter(|_| is_http).ok_or_else(address)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(80);
    let unreachable = |source| FetchError::Unreachable { url: url(), source };
    let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    let broken = |source| FetchError::BrokenOff { url: url(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Its end is seen by whoever sends on it.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::get("/config").header(HOST, authority.as_str()).body(Empty::<Bytes>::new());
    let response = sender.send_request(request.map_err(|_| address())?).await.map_err(broken)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status { url: url(), status: response.status() });
    }
    let body = Limited::new(response.into_body(), MAXIMUM_BYTES).collect().await;
    let bytes = body.map_err(|source| FetchError::Body { url: url(), source })?.to_bytes();
    String::from_utf8(bytes.to_vec()).map_err(|source| FetchError::Body { url: url(), source: source.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_there_is_said_so() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = config(&format!("http://127.0.0.1:{port}")).await.unwrap_err();
        assert!(error.to_string().starts_with("no operator answers at `http://127.0.0.1:"), "{error}");
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_said_so() {
        for text in ["https://127.0.0.1:1", "http://127.0.0.1:1/x", "::", ""] {
            assert!(matches!(config(text).await.unwrap_err(), FetchError::Address { .. }), "{text}");
        }
    }
}
