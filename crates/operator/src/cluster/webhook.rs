//! The admission webhooks: HTTPS for the API server, and for nobody else that matters.
//!
//! ```text
//!  API server --TLS 1.3--> one connection, few requests --bounded body--> review --parse--> answer
//!                             /inject   a new pod of an enrolled namespace -> its patch, or why not
//!                             /validate an object of ours -> accepted, or every mistake
//! ```
//!
//! Anybody who reaches the port may ask: an answer tells nothing that the question did not hold, changes nothing, and
//! costs little. `webhook.clientRoots` makes the API server's certificate a condition.

mod answer;
mod certificate;
mod keep;
mod references;
mod registration;
mod review;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick_authn::{AdmissionError, AdmissionTls};
use bailiwick_runtime::accept::Acceptor;
use bailiwick_runtime::drain;
use bailiwick_runtime::metrics::Metrics;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::answer::{Answerer, Webhook, WebhookMetrics};
use self::keep::Keeper;
use self::review::Malformed;
use super::bundles::Leads;
use super::context::ClusterContext;
use super::events::Events;
use super::injection::Injection;

/// The API server's own limit for an object, and the same again for the old one.
const LARGEST_BODY: usize = 3 * 1024 * 1024;
/// Less than the API server waits (5 s).
const DEADLINE: Duration = Duration::from_secs(4);
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Connections at once; API servers keep a few.
const MOST_CONNECTIONS: usize = 256;
/// Bodies in memory at once; the rest waits.
const MOST_BODIES: usize = 24;
/// Objects of a whole body cost ten times its length.
const MOST_PARSES: usize = 2;
const MOST_STREAMS: u32 = 64;
const LARGEST_HEADERS: u32 = 16 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);

/// Serves both webhooks, and keeps their certificate and what the API server believes of it, until the drain begins.
///
/// # Errors
/// When the roots of the callers cannot be used.
pub(super) fn start(
    context: &ClusterContext,
    (acceptor, client_roots): (Acceptor, Option<&[u8]>),
    injection: Injection,
    metrics: &Metrics,
    (leads, events): (&Leads, &Events),
) -> Result<(), AdmissionError> {
    let tls = Arc::new(AdmissionTls::new(client_roots)?);
    let (bundle, told) = tokio::sync::watch::channel(None);
    for configuration in registration::configurations() {
        let kept = registration::keep(context.clone(), configuration, told.clone(), Arc::clone(leads));
        tokio::spawn(kept);
    }
    let keeper = Keeper {
        context: context.clone(),
        tls: Arc::clone(&tls),
        bundle,
        leads: Arc::clone(leads),
        events: events.clone(),
        blocker: Some(context.readiness.block("the webhooks have no certificate yet")),
    };
    tokio::spawn(keeper.run());
    let answerer = Answerer::new(context, injection, WebhookMetrics::register(metrics));
    let server = Server::new(tls, Arc::new(answerer));
    let drain = context.drain.clone();
    tokio::spawn(context.drain.clone().hold(server.serve(acceptor, drain)));
    Ok(())
}

/// Serves both webhooks.
#[derive(Clone)]
struct Server {
    tls: Arc<AdmissionTls>,
    answerer: Arc<Answerer>,
    bodies: Arc<Semaphore>,
    parses: Arc<Semaphore>,
}

/// Why a request is no admission review.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there is nothing at this path")]
    Path,
    #[error("send it by POST")]
    Method,
    #[error("send `application/json`")]
    ContentType,
    #[error("the body has more than {LARGEST_BODY} bytes")]
    TooLarge,
    #[error("the body did not come in time")]
    Slow,
    #[error("the body ended early")]
    Body,
    #[error("the body is no admission review: {0}")]
    Malformed(#[from] Malformed),
}

impl Refused {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Body | Self::Malformed(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl Server {
    fn new(tls: Arc<AdmissionTls>, answerer: Arc<Answerer>) -> Self {
        let (bodies, parses) = (Arc::new(Semaphore::new(MOST_BODIES)), Arc::new(Semaphore::new(MOST_PARSES)));
        Self { tls, answerer, bodies, parses }
    }

    /// Accepts until the drain begins; calls that are open then are answered.
    async fn serve(self, mut acceptor: Acceptor, drain: drain::Watch) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (stream, address) = tokio::select! {
                biased;
                () = drain.signaled() => return,
                accepted = acceptor.accept() => accepted,
            };
            let (server, drain) = (self.clone(), drain.clone());
            tokio::spawn(async move {
                server.connection(stream, address, &drain).await;
                drop(place);
            });
        }
    }

    async fn connection(&self, stream: TcpStream, address: SocketAddr, drain: &drain::Watch) {
        let stream = match self.tls.accept(stream, HANDSHAKE).await {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%address, %error, "a webhook connection was not accepted"),
        };
        let server = self.clone();
        let service = service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.respond(request).await) }
        });
        let settings = settings();
        let served = settings.serve_connection(TokioIo::new(stream), service);
        let mut served = std::pin::pin!(served);
        let ended = tokio::select! {
            biased;
            ended = served.as_mut() => ended,
            () = drain.signaled() => {
                served.as_mut().graceful_shutdown();
                timeout(GRACE, served).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%address, %error, "a webhook connection ended");
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let answered = match timeout(DEADLINE, self.answer(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(Refused::Slow),
        };
        match answered {
            Ok((webhook, answer)) => {
                self.answerer.metrics().observe(webhook, started.elapsed());
                response(StatusCode::OK, "application/json", answer)
            }
            Err(refused) => {
                self.answerer.metrics().refused();
                response(refused.status(), "text/plain", refused.to_string().into_bytes())
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<(Webhook, Vec<u8>), Refused> {
        let webhook = Webhook::at(request.uri().path()).ok_or(Refused::Path)?;
        if request.method() != Method::POST {
            return Err(Refused::Method);
        }
        let content_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes());
        if !content_type.is_some_and(|value| value.starts_with(b"application/json")) {
            return Err(Refused::ContentType);
        }
        // Never closed.
        let _body = self.bodies.acquire().await;
        let collected = Limited::new(request.into_body(), LARGEST_BODY).collect().await;
        let body = collected.map_err(|error| {
            if error.is::<LengthLimitError>() { Refused::TooLarge } else { Refused::Body }
        })?;
        let body = body.to_bytes();
        let _parse = self.parses.acquire().await;
        let review = tokio::task::spawn_blocking(move || review::read(&body)).await;
        let review = review.map_err(|_| Refused::Body)??;
        Ok((webhook, self.answerer.answer(webhook, review).await))
    }
}

fn settings() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .max_buf_size(64 * 1024)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(LARGEST_HEADERS)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(HANDSHAKE);
    builder
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
