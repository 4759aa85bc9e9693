//! From an accepted connection of the application to what it speaks.

use std::convert::Infallible;
use std::sync::Arc;

use bailiwick_authn::{FirstBytes, peek};
use bailiwick_policy::PortProtocol;
use bailiwick_runtime::accept::Acceptor;
use bailiwick_runtime::drain::Watch;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::config::OutboundService;
use crate::connections::OpenConnection;
use crate::drain;
use crate::http_settings::{http1_server, http2_server};
use crate::io::with_head_deadline;
use crate::metrics::Direction;
use crate::outbound::http::{Proxy, call};
use crate::outbound::route::Route;
use crate::outbound::tcp;
use crate::shared::Worker;

/// What one connection holds for as long as anything of it lives, an upgraded one included.
#[derive(Debug)]
pub(crate) struct Held {
    _open: OpenConnection,
    /// Tells of the drain, and delays its end.
    pub(crate) drain: Watch,
}

/// How a connection of the application is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
    Bytes,
    Nothing,
}

/// Serves the connections that the application makes to one Service, each in a task of its own, until it is dropped.
pub(crate) async fn run(worker: Arc<Worker>, listener: TcpListener, service: OutboundService) {
    serve(worker, listener, Arc::new(Route::new(service.service))).await;
}

/// As [`run`], over a way that is known.
pub(crate) async fn serve(worker: Arc<Worker>, listener: TcpListener, route: Arc<Route>) {
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (stream, _) = acceptor.accept().await;
        // Full: closed at once, so that those who are served are not disturbed and the application learns of it.
        let Some(open) = worker.shared.connections.enter(Direction::Outbound) else {
            worker.shared.metrics.connection_refused(Direction::Outbound, "limit");
            continue;
        };
        let held = Held { _open: open, drain: worker.shared.drain.watch() };
        tokio::spawn(connection(Arc::clone(&worker), Arc::clone(&route), stream, held));
    }
}

async fn connection(worker: Arc<Worker>, route: Arc<Route>, stream: TcpStream, held: Held) {
    let protocol = route.protocol(&worker.shared).await;
    match spoken(&worker, &stream, protocol).await {
        Spoken::Http1 => http1(worker, route, stream, held).await,
        Spoken::Http2 => http2(worker, route, stream, held).await,
        Spoken::Bytes => tcp::relay(&worker, &route, stream, held).await,
        Spoken::Nothing => worker.shared.metrics.connection_refused(Direction::Outbound, "undetected"),
    }
}

/// What the destination declares; where it declares nothing, the first bytes decide.
async fn spoken(worker: &Worker, stream: &TcpStream, protocol: Option<PortProtocol>) -> Spoken {
    let limits = &worker.shared.limits;
    let (limit, declared) = match protocol {
        // The server may speak first: nothing is waited for.
        Some(PortProtocol::Tcp) => return Spoken::Bytes,
        // A client may connect long before its first request.
        Some(PortProtocol::Http) => (limits.idle, true),
        Some(PortProtocol::Undeclared) | None => (limits.detection, false),
    };
    match peek(stream, limit).await {
        Ok(FirstBytes::Http2) => Spoken::Http2,
        Ok(FirstBytes::Http1) => Spoken::Http1,
        // Declared HTTP is never relayed as bytes: the parser refuses what is none.
        Ok(FirstBytes::Other | FirstBytes::MeshTls | FirstBytes::OtherTls) if declared => Spoken::Http1,
        // A destination that nobody knows gets no bytes; the relay finds that out and closes.
        Ok(FirstBytes::Other | FirstBytes::MeshTls | FirstBytes::OtherTls) => Spoken::Bytes,
        Ok(FirstBytes::Unfinished | FirstBytes::Nothing | FirstBytes::Closed) | Err(_) => Spoken::Nothing,
    }
}

async fn http1(worker: Arc<Worker>, route: Arc<Route>, stream: TcpStream, held: Held) {
    let limits = worker.shared.limits.clone();
    let (stream, timer) = with_head_deadline(stream, limits.request_header);
    let (watch, grace) = (held.drain.clone(), worker.shared.grace);
    let draining = watch.clone();
    let proxy = Arc::new(Proxy::new(worker, route, held));
    let service = service_fn(move |request| {
        let (proxy, draining) = (Arc::clone(&proxy), draining.clone());
        async move {
            let mut answer = call(proxy, request).await?;
            drain::announce(&draining, &mut answer);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection =
        http1_server(&limits, timer).serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = drain::over(&watch, grace) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the application ended");
    }
}

async fn http2(worker: Arc<Worker>, route: Arc<Route>, stream: TcpStream, held: Held) {
    let limits = worker.shared.limits.clone();
    let drain = held.drain.clone();
    let proxy = Arc::new(Proxy::new(worker, route, held));
    let service = service_fn(move |request| call(Arc::clone(&proxy), request));
    let connection = http2_server(&limits).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        // GOAWAY: open streams finish, new ones go elsewhere.
        () = drain.signaled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the application ended");
    }
}
