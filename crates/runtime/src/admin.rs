//! The admin server: HTTP/1.1 for probes, scrapes and people, on loopback.
//!
//! | path | answer |
//! |---|---|
//! | `/ready` | 200, or 503 with the reasons: `{"ready":false,"reasons":["certificate"]}` |
//! | `/live` | 200 as long as the process can answer |
//! | `/metrics` | OpenMetrics text |
//! | `/config` | what the caller's closure gives, as JSON; 404 without one |
//! | what the caller adds | what its closure gives for the query, as JSON; 404 where that is nothing |
//!
//! Nothing here changes anything (security case L1): the application beside a sidecar reaches this port. Everything
//! but GET is 405. A connection carries one request and is bounded in number and time, so that a slow client costs a
//! place for seconds only.

mod config;

use std::{convert::Infallible, fmt, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

pub use self::config::{AdminConfig, RawAdmin};
use crate::{
    accept::{self, Acceptor, BindError, ReusePort},
    metrics::{self, Metrics},
    ready::Readiness,
};

/// How long a client may take to send its request's head.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may live, with its answer read.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head, in bytes; hyper's least is 8 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;

const JSON: &str = "application/json";

/// Gives the configuration as JSON text, without secrets.
type ConfigDump = dyn Fn() -> String + Send + Sync;

/// Answers a question of the caller's own as JSON text, without secrets; `None` is 404.
type Route = dyn Fn(Query<'_>) -> Option<String> + Send + Sync;

/// The query of a request, as sent: values are not decoded, so a value that needs escapes never matches anything.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// What the admin server answers from; bind it with [`Admin::bind`].
#[derive(Clone)]
pub struct Admin {
    readiness: Readiness,
    metrics: Metrics,
    config_dump: Option<Arc<ConfigDump>>,
    routes: Vec<(&'static str, Arc<Route>)>,
}

/// An admin server with its port, not answering yet.
#[derive(Debug)]
#[must_use = "an admin server answers only while `serve` runs"]
pub struct BoundAdmin {
    admin: Admin,
    acceptor: Acceptor,
    address: SocketAddr,
    max_connections: usize,
}

/// Why there is no admin server.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The address can be reached from outside, and the configuration does not say that it may.
    #[error(
        "the admin server would be reachable from outside on {0}: use a loopback address, or set `allowNonLoopback: true`"
    )]
    NotLoopback(SocketAddr),
    /// The port cannot be had.
    #[error("the admin server cannot start: {0}")]
    Bind(#[from] BindError),
    /// The listener's own address cannot be read.
    #[error("the admin server's listener has no address: {0}")]
    Address(#[source] io::Error),
}

impl Admin {
    /// One that answers from these.
    #[must_use]
    pub fn new(readiness: Readiness, metrics: Metrics) -> Self {
        Self { readiness, metrics, config_dump: None, routes: Vec::new() }
    }

    /// Answers `/config` with what `dump` gives: JSON text, and never a secret (security case L3).
    #[must_use]
    pub fn with_config(mut self, dump: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.config_dump = Some(Arc::new(dump));
        self
    }

    /// Answers one more path with what `answer` gives for the query: JSON text, and never a secret; 404 where it gives
    /// nothing. The paths above cannot be replaced.
    #[must_use]
    pub fn with_route(
        mut self,
        path: &'static str,
        answer: impl Fn(Query<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.routes.push((path, Arc::new(answer)));
        self
    }

    /// Takes the configured port. Must be called inside a runtime.
    ///
    /// # Errors
    /// [`AdminError`]; an address that is not loopback is refused before anything is bound.
    pub fn bind(self, config: &AdminConfig) -> Result<BoundAdmin, AdminError> {
        config.check_reach(config.listen)?;
        let listener = accept::listen(config.listen, ReusePort::No)?;
        self.on(listener, config)
    }

    /// Answers on a listener that exists, whose address is checked as [`Admin::bind`] does.
    ///
    /// # Errors
    /// [`AdminError::NotLoopback`], [`AdminError::Address`].
    pub fn on(self, listener: TcpListener, config: &AdminConfig) -> Result<BoundAdmin, AdminError> {
        let address = listener.local_addr().map_err(AdminError::Address)?;
        config.check_reach(address)?;
        let max_connections = config.max_connections;
        Ok(BoundAdmin { admin: self, acceptor: Acceptor::new(listener), address, max_connections })
    }

    /// Answers one request, for a server of the caller's own.
    #[must_use]
    pub fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        self.answer_query(method, path, "")
    }

    fn answer_query(&self, method: &Method, path: &str, query: &str) -> Response<Full<Bytes>> {
        let answer: fn(&Self) -> Response<Full<Bytes>> = match path {
            "/ready" => Self::ready,
            "/live" => Self::live,
            "/metrics" => Self::metrics,
            "/config" if self.config_dump.is_some() => Self::config,
            _ => match self.routes.iter().find(|(known, _)| *known == path) {
                Some((_, route)) => return routed(method, || route(Query(query))),
                None => return not_found(),
            },
        };
        if method == Method::GET { answer(self) } else { only_get() }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        ready(&self.readiness)
    }

    fn live(&self) -> Response<Full<Bytes>> {
        text(StatusCode::OK, "live\n")
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.metrics.encode() {
            Ok(encoded) => body(StatusCode::OK, metrics::CONTENT_TYPE, encoded),
            Err(error) => failed(&error),
        }
    }

    fn config(&self) -> Response<Full<Bytes>> {
        match &self.config_dump {
            Some(dump) => body(StatusCode::OK, JSON, dump()),
            None => not_found(),
        }
    }
}

fn routed(method: &Method, answer: impl Fn() -> Option<String>) -> Response<Full<Bytes>> {
    if method != Method::GET {
        return only_get();
    }
    answer().map_or_else(not_found, |json| body(StatusCode::OK, JSON, json))
}

fn not_found() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, "not found\n")
}

/// Answers `GET /ready` as the admin server does, and nothing else: for a port that shows only this.
#[must_use]
pub fn readiness_only(readiness: &Readiness, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if path != "/ready" {
        text(StatusCode::NOT_FOUND, "not found\n")
    } else if method == Method::GET {
        ready(readiness)
    } else {
        only_get()
    }
}

fn only_get() -> Response<Full<Bytes>> {
    with_header(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"), header::ALLOW, "GET")
}

fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    #[derive(Serialize)]
    struct Ready {
        ready: bool,
        reasons: Vec<String>,
    }
    // INVARIANT: one look at the reasons decides both fields and the status.
    let reasons = readiness.reasons();
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(&Ready { ready, reasons }) {
        Ok(json) => body(status, JSON, json + "\n"),
        Err(error) => failed(&error),
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Admin")
            .field("readiness", &self.readiness)
            .field("config_dump", &self.config_dump.is_some())
            .finish_non_exhaustive()
    }
}

impl BoundAdmin {
    /// The address, with the port that the system chose if the configuration said 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` completes. A draining process keeps it running to the end, so that probes see the
    /// reason; connections that are open then are cut when the runtime ends.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { admin, mut acceptor, max_connections, .. } = self;
        let places = Arc::new(Semaphore::new(max_connections));
        let accepting = async {
            // The place is taken before the connection: what is over the limit waits in the kernel's queue.
            while let Ok(place) = Arc::clone(&places).acquire_owned().await {
                let (stream, peer) = acceptor.accept().await;
                let admin = admin.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve_connection(admin, stream).await {
                        tracing::debug!(%peer, %error, "an admin connection failed");
                    }
                    drop(place);
                });
            }
        };
        tokio::select! {
            biased;
            () = shutdown => {}
            () = accepting => {}
        }
    }
}

async fn serve_connection(admin: Admin, stream: TcpStream) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = admin.answer_query(
            request.method(),
            request.uri().path(),
            request.uri().query().unwrap_or_default(),
        );
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that does not read its answer loses it.
    tokio::time::timeout(CONNECTION_TIMEOUT, connection).await.unwrap_or(Ok(()))
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    body(status, "text/plain; charset=utf-8", text)
}

fn failed(error: &dyn fmt::Display) -> Response<Full<Bytes>> {
    tracing::error!(%error, "an admin answer could not be written");
    text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written; see the log\n")
}

fn body(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let response = with_header(response, header::CONTENT_TYPE, kind);
    let response = with_header(response, header::CACHE_CONTROL, "no-store");
    with_header(response, header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

fn with_header(
    mut response: Response<Full<Bytes>>,
    name: HeaderName,
    value: &'static str,
) -> Response<Full<Bytes>> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests;
