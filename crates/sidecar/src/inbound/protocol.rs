//! What is spoken inside an authenticated connection, and until when it lives.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{FirstBytes, classify};
use bailiwick_policy::PortProtocol;
use bailiwick_runtime::drain::Watch;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use crate::drain;
use crate::http_settings;
use crate::inbound::caller::Caller;
use crate::inbound::http;
use crate::inbound::record;
use crate::inbound::tcp_call;
use crate::io::{PrefixedStream, with_head_deadline};
use crate::sessions::{Cut, Waiter};

/// A byte stream of a caller: plain, or decrypted.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Stream for S {}

/// An authenticated connection that is to be served.
#[derive(Debug)]
pub(crate) struct Served {
    /// The bytes.
    pub(crate) stream: Box<dyn Stream>,
    /// Who is on it.
    pub(crate) caller: Arc<Caller>,
    /// What the port declares.
    pub(crate) protocol: PortProtocol,
}

/// Serves a connection until it ends, its peer stops being valid, or the drain is over.
pub(crate) async fn serve(served: Served, watch: Watch) {
    let Served { stream, caller, protocol } = served;
    let cut = caller.cut().clone();
    let serve = async {
        match protocol {
            PortProtocol::Http => serve_http(stream, caller, watch).await,
            PortProtocol::Tcp => tcp_call::serve(stream, &caller).await,
            PortProtocol::Undeclared => serve_undeclared(stream, caller, watch).await,
        }
    };
    ended_by(&cut, serve).await;
}

async fn ended_by(cut: &Cut, serve: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = cut.wait(Waiter::Handler) => tracing::debug!("a connection was closed: its peer is no longer valid"),
        () = serve => {}
    }
}

/// The first bytes decide. L7 never degrades to L4: what could begin HTTP is parsed as HTTP, and no decision within
/// the limit closes the connection.
async fn serve_undeclared(stream: Box<dyn Stream>, caller: Arc<Caller>, watch: Watch) {
    let limit = caller.worker.shared.limits.detection;
    let Ok(Ok((first, stream))) = tokio::time::timeout(limit, detect(stream, limit)).await else {
        record::undetected(&caller);
        return;
    };
    match first {
        Version::Http2 => serve_http2(stream, caller, watch).await,
        Version::Http1 => serve_http1(stream, caller, watch).await,
        Version::None => tcp_call::serve(stream, &caller).await,
    }
}

/// Declared HTTP: the version is told by its preface, and whatever is not HTTP/2 is for the HTTP/1 parser to judge.
async fn serve_http(stream: Box<dyn Stream>, caller: Arc<Caller>, watch: Watch) {
    // A client that opens a connection ahead of need may be silent for as long as between two requests.
    let limits = &caller.worker.shared.limits;
    let waited = tokio::select! {
        // What has arrived is a call, and calls are answered.
        biased;
        detected = tokio::time::timeout(limits.idle, detect(stream, limits.request_header)) => detected,
        () = drain::over(&watch, caller.worker.shared.grace) => return,
    };
    match waited {
        Ok(Ok((Version::Http2, stream))) => serve_http2(stream, caller, watch).await,
        Ok(Ok((Version::Http1 | Version::None, stream))) => serve_http1(stream, caller, watch).await,
        Ok(Err(_)) | Err(_) => {}
    }
}

/// What the first bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
    None,
}

/// Reads until it is clear what the bytes begin, and puts them back in front. `limit` runs from the first byte: who has
/// begun to speak is not idle.
async fn detect(mut stream: Box<dyn Stream>, limit: Duration) -> std::io::Result<(Version, Box<dyn Stream>)> {
    let mut held = bytes::BytesMut::with_capacity(512);
    let mut read = stream.read_buf(&mut held).await?;
    let deadline = Instant::now() + limit;
    loop {
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let version = match classify(&held) {
            None => {
                read = timeout_at(deadline, stream.read_buf(&mut held)).await??;
                continue;
            }
            Some(FirstBytes::Http1) => Version::Http1,
            Some(FirstBytes::Http2) => Version::Http2,
            Some(
                FirstBytes::MeshTls
                | FirstBytes::OtherTls
                | FirstBytes::Other
                | FirstBytes::Unfinished
                | FirstBytes::Nothing
                | FirstBytes::Closed,
            ) => Version::None,
        };
        return Ok((version, Box::new(PrefixedStream::new(held.freeze(), stream))));
    }
}

/// HTTP/1.1. On a drain what is asked is answered, and the client is told to go elsewhere.
async fn serve_http1(stream: Box<dyn Stream>, caller: Arc<Caller>, watch: Watch) {
    let worker = Arc::clone(&caller.worker);
    let limits = &worker.shared.limits;
    let (stream, timer) = with_head_deadline(stream, limits.request_header);
    let draining = watch.clone();
    let service = service_fn(move |request| {
        let (caller, draining) = (Arc::clone(&caller), draining.clone());
        async move {
            let mut answer = http::serve(caller, request).await?;
            drain::announce(&draining, &mut answer);
            Ok::<_, Infallible>(answer)
        }
    });
    let builder = http_settings::http1_server(limits, timer);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = drain::over(&watch, worker.shared.grace) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an inbound connection ended");
    }
}

/// HTTP/2. On a drain the client gets a GOAWAY, and what it already asked is answered.
async fn serve_http2(stream: Box<dyn Stream>, caller: Arc<Caller>, watch: Watch) {
    let worker = Arc::clone(&caller.worker);
    let going = drain::going_away(&watch, worker.shared.grace);
    let service = service_fn(move |request| http::serve(Arc::clone(&caller), request));
    let builder = http_settings::http2_server(&worker.shared.limits);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = going => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an inbound connection ended");
    }
}
