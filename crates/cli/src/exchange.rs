//! One GET over a stream: what operators answer at their admin address.

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// A status is a few hundred bytes a workload and object.
const MAXIMUM_BYTES: usize = 256 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("it broke off: {0}")]
    BrokenOff(#[from] hyper::Error),
    #[error("it cannot be asked: {0}")]
    Request(#[from] http::Error),
    #[error("its answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// Asks for a path and its query.
pub(crate) async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    target: &str,
) -> Result<(StatusCode, String), ExchangeError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its end is seen by whoever sends on it.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::get(target).header(HOST, host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAXIMUM_BYTES).collect().await;
    let bytes = body.map_err(ExchangeError::Body)?.to_bytes();
    let text = String::from_utf8(bytes.to_vec()).map_err(|source| ExchangeError::Body(source.into()))?;
    Ok((status, text))
}
