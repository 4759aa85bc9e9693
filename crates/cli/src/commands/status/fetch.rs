//! One GET of the operator's admin page.

use std::time::Duration;

use http::{StatusCode, Uri};
use tokio::net::TcpStream;

use crate::exchange::{self, ExchangeError};

const WITHIN: Duration = Duration::from_secs(5);

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("`{url}` is not an address such as `http://127.0.0.1:15014`")]
    Address { url: String },
    #[error("no operator answers at `{url}`: {source} (is it running, and is this its admin address?)")]
    Unreachable { url: String, source: std::io::Error },
    #[error("`{url}` did not answer within {} s", WITHIN.as_secs())]
    Silent { url: String },
    #[error("asking `{url}` came to nothing: {source}")]
    BrokenOff { url: String, source: ExchangeError },
    #[error("`{url}` answered {status}, and its `/config` is no operator's")]
    Status { url: String, status: StatusCode },
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
    let (status, text) = exchange::get(stream, authority.as_str(), "/config")
        .await
        .map_err(|source| FetchError::BrokenOff { url: url(), source })?;
    if status != StatusCode::OK {
        return Err(FetchError::Status { url: url(), status });
    }
    Ok(text)
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
