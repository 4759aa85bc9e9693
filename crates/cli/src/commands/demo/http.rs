//! The application behind a calling sidecar: plain HTTP/1.1, gRPC over HTTP/2, and bytes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, TE};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long any one answer may take.
pub(super) const WITHIN: Duration = Duration::from_secs(10);
const DECISION: &str = "x-bailiwick-decision";
/// An empty message, length-prefixed (gRPC over HTTP/2).
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    /// The HTTP status, or the name of the gRPC status.
    pub(super) status: String,
    /// The id of the decision that refused the call.
    pub(super) decision: Option<String>,
    pub(super) body: String,
}

/// One HTTP/1.1 connection, kept alive between calls.
#[derive(Debug)]
pub(super) struct KeptAlive {
    sender: http1::SendRequest<Full<Bytes>>,
}

impl KeptAlive {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = connect(address).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its end is seen by whoever sends on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    /// Sends a request on this very connection.
    ///
    /// # Errors
    /// When the connection was closed, or the answer does not come.
    pub(super) async fn send(&mut self, method: &str, path: &str) -> Result<Answer> {
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes())?)
            .uri(path)
            .header(HOST, "orders.shop")
            .body(Full::default())?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status().as_str().to_owned();
            let decision = header(response.headers(), DECISION);
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok(Answer { status, decision, body: String::from_utf8_lossy(&body).into_owned() })
        };
        timeout(WITHIN, exchange).await.with_context(|| format!("no answer to {method} {path}"))?
    }
}

/// One GET on a connection of its own.
pub(super) async fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    KeptAlive::open(address).await?.send("GET", path).await
}

/// A gRPC call that is answered at once. `method` is `package.Service/Method`.
pub(super) async fn grpc(address: SocketAddr, method: &str) -> Result<Answer> {
    let exchange = async {
        let (response, _connection) = grpc_response(address, method).await?;
        let decision = header(response.headers(), DECISION);
        // A refusal is in the headers, the end of an answer in the trailers.
        let refused = header(response.headers(), "grpc-status");
        let trailers = response.into_body().collect().await?.trailers().cloned().unwrap_or_default();
        let code = refused.or_else(|| header(&trailers, "grpc-status"));
        anyhow::Ok(Answer { status: grpc_status(code.as_deref()), decision, body: String::new() })
    };
    timeout(WITHIN, exchange).await.with_context(|| format!("no answer to {method}"))?
}

/// A gRPC call that goes on. Returns the stream of messages, and what keeps its connection open.
pub(super) async fn grpc_stream(
    address: SocketAddr,
    method: &str,
) -> Result<(Incoming, http2::SendRequest<Full<Bytes>>)> {
    let (response, connection) = grpc_response(address, method).await?;
    if let Some(code) = header(response.headers(), "grpc-status") {
        bail!("{method} was refused: {}", grpc_status(Some(&code)));
    }
    Ok((response.into_body(), connection))
}

async fn grpc_response(
    address: SocketAddr,
    method: &str,
) -> Result<(Response<Incoming>, http2::SendRequest<Full<Bytes>>)> {
    let stream = TokioIo::new(connect(address).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://orders.shop/{method}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(Bytes::from_static(&EMPTY_MESSAGE)))?;
    let response = sender.send_request(request).await?;
    Ok((response, sender))
}

/// Opens a connection and reads the greeting of a server that speaks first; `None` if it is closed instead.
pub(super) async fn greeting(address: SocketAddr) -> Result<Option<(String, BufReader<TcpStream>)>> {
    let mut stream = BufReader::new(connect(address).await?);
    let mut line = String::new();
    match timeout(WITHIN, stream.read_line(&mut line)).await.context("neither a greeting nor an end")? {
        Ok(0) | Err(_) => Ok(None),
        Ok(_) => Ok(Some((line.trim_end().to_owned(), stream))),
    }
}

/// Waits for the end of a stream that says nothing of itself.
pub(super) async fn end_of(mut stream: BufReader<TcpStream>) {
    let mut byte = [0; 64];
    while stream.read(&mut byte).await.is_ok_and(|read| read > 0) {}
}

/// Connects without waiting to fill segments.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("nobody listens on {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The names of gRPC's status codes that a sidecar or the service answers with.
fn grpc_status(code: Option<&str>) -> String {
    match code {
        Some("0") => "OK".to_owned(),
        Some("7") => "PERMISSION_DENIED".to_owned(),
        Some("14") => "UNAVAILABLE".to_owned(),
        Some("16") => "UNAUTHENTICATED".to_owned(),
        Some(other) => format!("gRPC status {other}"),
        None => "no gRPC status".to_owned(),
    }
}
