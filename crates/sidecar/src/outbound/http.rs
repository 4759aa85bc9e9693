//! One HTTP call of the application: choose an endpoint, send it there, and nowhere else once a byte was sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bailiwick_wire::Endpoint;
use http::uri::{Authority, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;

use crate::body::ResponseBody;
use crate::inbound::deny::Refusal;
use crate::inbound::headers::{asks_for_websocket, strip_hop_by_hop, strip_request};
use crate::metrics::{Direction, Protocol};
use crate::outbound::body::{AnswerBody, Held, RequestBody};
use crate::outbound::failure::{Failure, is_grpc};
use crate::outbound::route::Route;
use crate::outbound::{serve, upgrade};
use crate::shared::Worker;

/// How many endpoints a call is offered to, as long as no byte of it was sent.
const ATTEMPTS: usize = 3;
/// How many kept connections may turn out to be closed before a new one is made.
const STALE: usize = 4;

/// What the calls of one connection share.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// The thread.
    pub(crate) worker: Arc<Worker>,
    /// Where the calls lead.
    pub(crate) route: Arc<Route>,
    // Kept for as long as anything of the connection lives.
    _held: serve::Held,
}

impl Proxy {
    /// For one connection of the application.
    pub(crate) const fn new(worker: Arc<Worker>, route: Arc<Route>, held: serve::Held) -> Self {
        Self { worker, route, _held: held }
    }
}

/// Why a call got no answer, and the call itself if no byte of it was sent.
#[derive(Debug)]
struct Unanswered {
    failure: Failure,
    unsent: Option<Box<Request<RequestBody>>>,
}

/// Answers one call. Never fails: what goes wrong is an answer too.
pub(crate) async fn call(
    proxy: Arc<Proxy>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let (version, grpc) = (request.version(), is_grpc(request.headers()));
    if request.method() == Method::CONNECT {
        return Ok(Refusal::MethodNotAllowed.response(grpc, version).map(AnswerBody::Own));
    }
    let websocket = asks_for_websocket(version, request.headers());
    let protocol = match (websocket, grpc, version) {
        (true, _, _) => Protocol::WebSocket,
        (false, true, _) => Protocol::Grpc,
        (false, false, Version::HTTP_2) => Protocol::Http2,
        (false, false, _) => Protocol::Http1,
    };
    let shared = &proxy.worker.shared;
    shared.metrics.request(Direction::Outbound, protocol);
    let answered = if websocket { upgrade::call(&proxy, request).await } else { send(&proxy, request).await };
    Ok(answered.unwrap_or_else(|failure| {
        shared.metrics.outbound_failed(failure.reason());
        tracing::debug!(destination = %proxy.route, error = %failure, "an outbound call failed");
        failure.response(grpc, version).map(AnswerBody::Own)
    }))
}

async fn send(proxy: &Proxy, request: Request<Incoming>) -> Result<Response<AnswerBody>, Failure> {
    let mut request = Box::new(prepared(request, &proxy.route)?.map(RequestBody));
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut last = None;
    while tried.len() < ATTEMPTS {
        let endpoint = match proxy.route.choose(&proxy.worker, &tried).await {
            Ok(endpoint) => endpoint,
            // All were tried: the last one's reason says more than that none is left.
            Err(failure) => return Err(last.unwrap_or(failure)),
        };
        match exchange(&proxy.worker, &endpoint, request).await {
            Ok(response) => return answer(response),
            Err(Unanswered { failure, unsent: Some(unsent) }) => {
                tried.push(endpoint.address);
                request = unsent;
                last = Some(failure);
            }
            Err(Unanswered { failure, unsent: None }) => return Err(failure),
        }
    }
    Err(last.unwrap_or(Failure::NoEndpoints))
}

/// The call in the form in which it leaves: no identity headers (security case C3), no hop-by-hop headers.
fn prepared(request: Request<Incoming>, route: &Route) -> Result<Request<Incoming>, Failure> {
    let (mut parts, body) = request.into_parts();
    strip_request(&mut parts.headers, false);
    if parts.version == Version::HTTP_2 {
        parts.uri = with_authority(&parts, route)?;
    } else {
        // HTTP/1.0 is spoken to the application only: its framing cannot be relied on between sidecars.
        parts.version = Version::HTTP_11;
    }
    Ok(Request::from_parts(parts, body))
}

/// HTTP/2 needs an authority on the way out; some clients give only `host` (RFC 9113, section 8.3.1).
fn with_authority(parts: &http::request::Parts, route: &Route) -> Result<Uri, Failure> {
    if parts.uri.authority().is_some() && parts.uri.scheme().is_some() {
        return Ok(parts.uri.clone());
    }
    let mut uri = parts.uri.clone().into_parts();
    let host = parts.headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    uri.authority = uri.authority.or(host).or_else(|| route.host().parse().ok());
    uri.scheme = uri.scheme.or(Some(Scheme::HTTP));
    Uri::from_parts(uri).map_err(|_| Failure::Unknown(route.to_string()))
}

/// Sends the call to one endpoint, with the HTTP version that the application used.
async fn exchange(
    worker: &Arc<Worker>,
    endpoint: &Endpoint,
    request: Box<Request<RequestBody>>,
) -> Result<Response<(Incoming, Held)>, Unanswered> {
    if request.version() == Version::HTTP_2 {
        exchange_http2(worker, endpoint, request).await
    } else {
        exchange_http1(worker, endpoint, request).await
    }
}

async fn exchange_http1(
    worker: &Arc<Worker>,
    endpoint: &Endpoint,
    mut request: Box<Request<RequestBody>>,
) -> Result<Response<(Incoming, Held)>, Unanswered> {
    let in_flight = worker.outbound.loads().begin(endpoint.address);
    let mut stale = 0;
    loop {
        let mut lease = match worker.outbound.http1(worker, endpoint).await {
            Ok(lease) => lease,
            Err(failure) => return Err(Unanswered { failure, unsent: Some(request) }),
        };
        let Some(sender) = lease.sender() else {
            return Err(Unanswered { failure: Failure::NoEndpoints, unsent: Some(request) });
        };
        let mut error = match sender.try_send_request(*request).await {
            Ok(response) => {
                let held = Held::http1(in_flight, lease);
                return Ok(response.map(|body| (body, held)));
            }
            Err(error) => error,
        };
        let unsent = error.take_message().map(Box::new);
        let again = !lease.fresh && stale < STALE;
        lease.discard();
        match unsent {
            // A kept connection that the other side closed meanwhile says nothing about the endpoint.
            Some(unsent) if again => {
                request = unsent;
                stale += 1;
            }
            unsent => return Err(Unanswered { failure: Failure::Exchange(error.into_error()), unsent }),
        }
    }
}

async fn exchange_http2(
    worker: &Arc<Worker>,
    endpoint: &Endpoint,
    mut request: Box<Request<RequestBody>>,
) -> Result<Response<(Incoming, Held)>, Unanswered> {
    let in_flight = worker.outbound.loads().begin(endpoint.address);
    let mut stale = 0;
    loop {
        let mut lease = match worker.outbound.http2(worker, endpoint).await {
            Ok(lease) => lease,
            Err(failure) => return Err(Unanswered { failure, unsent: Some(request) }),
        };
        let mut error = match lease.sender.try_send_request(*request).await {
            Ok(response) => {
                let held = Held::http2(in_flight, lease);
                return Ok(response.map(|body| (body, held)));
            }
            Err(error) => error,
        };
        match error.take_message().map(Box::new) {
            Some(unsent) if stale < STALE => {
                lease.discard();
                request = unsent;
                stale += 1;
            }
            unsent => return Err(Unanswered { failure: Failure::Exchange(error.into_error()), unsent }),
        }
    }
}

fn answer(response: Response<(Incoming, Held)>) -> Result<Response<AnswerBody>, Failure> {
    let (mut parts, (inner, held)) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked. What follows on that connection is no answer to anybody (security case E3).
        held.discard();
        return Err(Failure::UnaskedUpgrade);
    }
    strip_hop_by_hop(&mut parts.headers);
    Ok(Response::from_parts(parts, AnswerBody::Streamed { inner, held: Some(held) }))
}

/// An answer without a body.
pub(crate) fn empty() -> AnswerBody {
    AnswerBody::Own(ResponseBody::Empty)
}
