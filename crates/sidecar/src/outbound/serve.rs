//! From an accepted connection of the application to what it speaks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{FirstBytes, peek};
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
use crate::outbound::route::{Route, Way};
use crate::outbound::tcp;
use crate::shared::Worker;

/// How long a connection that leads nowhere may take to begin an HTTP request, which would be told so.
const NOWHERE: Duration = Duration::from_millis(500);

/// What one connection holds for as long as anything of it lives, an upgraded one included.
#[derive(Debug)]
pub(crate) struct Held {
    _open: OpenConnection,
    /// Tells of the drain, and delays its end.
    drain: Watch,
    heeds_drain: bool,
}

impl Held {
    /// A connection that ends early in a drain: the application outlives this process.
    pub(crate) const fn new(open: OpenConnection, drain: Watch) -> Self {
        Self { _open: open, drain, heeds_drain: true }
    }

    /// A connection that ends when the application ends it. In a pod the application stops first, and calls others until
    /// then: closing what it keeps open would lose the call that it is just making.
    pub(crate) const fn of_pod(open: OpenConnection, drain: Watch) -> Self {
        Self { _open: open, drain, heeds_drain: false }
    }

    /// The drain, for those that end early in it.
    fn heeded(&self) -> Option<Watch> {
        self.heeds_drain.then(|| self.drain.clone())
    }
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
        let held = Held::new(open, worker.shared.drain.watch());
        tokio::spawn(connection(Arc::clone(&worker), Arc::clone(&route), stream, held));
    }
}

/// Serves one connection over its route.
pub(crate) async fn connection(worker: Arc<Worker>, route: Arc<Route>, stream: TcpStream, held: Held) {
    let way = route.way(&worker.shared).await;
    match spoken(&worker, &stream, way).await {
        Spoken::Http1 => http1(worker, route, stream, held).await,
        Spoken::Http2 => http2(worker, route, stream, held).await,
        Spoken::Bytes => tcp::relay(&worker, &route, stream, held).await,
        Spoken::Nothing => worker.shared.metrics.connection_refused(Direction::Outbound, "undetected"),
    }
}

/// What the destination declares; where it declares nothing, the first bytes decide.
async fn spoken(worker: &Worker, stream: &TcpStream, way: Way) -> Spoken {
    let limits = &worker.shared.limits;
    let (limit, declared) = match way {
        Way::Bytes => return Spoken::Bytes,
        // A client may connect long before its first request.
        Way::Http => (limits.idle, true),
        Way::Undeclared => (limits.detection, false),
        Way::Nowhere => (NOWHERE.min(limits.detection), false),
    };
    match peek(stream, limit).await {
        Ok(FirstBytes::Http2) => Spoken::Http2,
        Ok(FirstBytes::Http1) => Spoken::Http1,
        // Declared HTTP is never relayed as bytes: the parser refuses what is none.
        Ok(FirstBytes::Other | FirstBytes::MeshTls | FirstBytes::OtherTls) if declared => Spoken::Http1,
        // A destination that nobody knows gets no bytes; the relay finds that out and closes.
        Ok(FirstBytes::Other | FirstBytes::MeshTls | FirstBytes::OtherTls) => Spoken::Bytes,
        Ok(FirstBytes::Unfinished | FirstBytes::Nothing) if way == Way::Nowhere => Spoken::Bytes,
        Ok(FirstBytes::Unfinished | FirstBytes::Nothing | FirstBytes::Closed) | Err(_) => Spoken::Nothing,
    }
}

async fn http1(worker: Arc<Worker>, route: Arc<Route>, stream: TcpStream, held: Held) {
    let limits = worker.shared.limits.clone();
    let (stream, timer) = with_head_deadline(stream, limits.request_header);
    let (watch, grace) = (held.heeded(), worker.shared.grace);
    let draining = watch.clone();
    let proxy = Arc::new(Proxy::new(worker, route, held));
    let service = service_fn(move |request| {
        let (proxy, draining) = (Arc::clone(&proxy), draining.clone());
        async move {
            let mut answer = call(proxy, request).await?;
            if let Some(draining) = &draining {
                drain::announce(draining, &mut answer);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection =
        http1_server(&limits, timer).serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = until(watch.as_ref().map(|watch| drain::over(watch, grace))) => {
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
    let (watch, grace) = (held.heeded(), worker.shared.grace);
    let going = until(watch.as_ref().map(|watch| drain::going_away(watch, grace)));
    let proxy = Arc::new(Proxy::new(worker, route, held));
    let service = service_fn(move |request| call(Arc::clone(&proxy), request));
    let connection = http2_server(&limits).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        // GOAWAY: open streams finish, new ones go elsewhere.
        () = going => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the application ended");
    }
}

/// Waits for something that may never be.
async fn until(end: Option<impl Future<Output = ()>>) {
    match end {
        Some(end) => end.await,
        None => std::future::pending().await,
    }
}
