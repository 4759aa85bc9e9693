//! A permitted call goes to the application. Nothing here decides: the permit is the key, and it is used up.

use std::sync::Arc;

use bailiwick_policy::Permit;
use http::{Request, Response, StatusCode, Uri, Version, header, request::Parts, uri};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use crate::body::{RequestBody, ResponseBody, Streamed};
use crate::inbound::attributes::HttpAttributes;
use crate::inbound::caller::Caller;
use crate::inbound::headers;
use crate::inbound::tcp;
use crate::inbound::upstream::{ForwardError, Lease};
use crate::sessions::{Registration, Waiter};

/// How forwarding a call ended before its response began.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The application could not be asked.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The call was decided again while it waited, and is denied now.
    #[error("the call is no longer permitted")]
    Cut,
    /// What is forwarded could not be written as a request target.
    #[error("the request target cannot be forwarded: {0}")]
    Target(#[from] http::Error),
}

/// Forwards a call with the canonical target and the caller's identity, and relays the response.
///
/// # Errors
/// When the application does not answer, or the call is cut first.
pub(crate) async fn forward(
    caller: &Arc<Caller>,
    permit: Permit,
    attributes: &HttpAttributes,
    request: Request<Incoming>,
    registration: Registration,
) -> Result<Response<ResponseBody>, Unanswered> {
    // One decision, one call.
    drop(permit);
    // The call lives until both of its directions have ended: an application may answer before it has read everything.
    let registration = Arc::new(registration);
    let mut request = request;
    let websocket = headers::asks_for_websocket(request.version(), request.headers());
    let client = websocket.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    let version = parts.version;
    parts.uri = forwarded_uri(&parts, attributes)?;
    headers::strip_request(&mut parts.headers, websocket);
    headers::state_caller(&mut parts.headers, &caller.connection, caller.source.ip());
    let mut upstream_request = Request::new(RequestBody::inbound(body, Arc::clone(&registration)));
    *upstream_request.method_mut() = parts.method;
    *upstream_request.uri_mut() = parts.uri;
    *upstream_request.version_mut() = version;
    *upstream_request.headers_mut() = parts.headers;

    let cut = registration.cut().clone();
    let answer = async {
        match client {
            Some(client) => Exchange::alone(caller, upstream_request, client).await,
            None => Exchange::pooled(caller, upstream_request).await,
        }
    };
    let exchange = tokio::select! {
        biased;
        () = cut.wait(Waiter::Handler) => return Err(Unanswered::Cut),
        exchange = answer => exchange?,
    };
    Ok(exchange.relay(caller, registration, attributes.is_grpc()))
}

/// What the application answered, and what hangs on it.
struct Exchange {
    response: Response<Incoming>,
    lease: Option<Lease>,
    client: Option<hyper::upgrade::OnUpgrade>,
}

impl Exchange {
    async fn pooled(caller: &Caller, request: Request<RequestBody>) -> Result<Self, ForwardError> {
        let (response, lease) = caller.upstream.send(request, &caller.http2).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ForwardError::UnaskedUpgrade);
        }
        Ok(Self { response, lease, client: None })
    }

    /// A WebSocket has a connection of its own, which nothing else ever uses (E3).
    async fn alone(
        caller: &Caller,
        request: Request<RequestBody>,
        client: hyper::upgrade::OnUpgrade,
    ) -> Result<Self, ForwardError> {
        let response = caller.upstream.send_alone(request).await?;
        Ok(Self { response, lease: None, client: Some(client) })
    }

    fn relay(
        self,
        caller: &Arc<Caller>,
        registration: Arc<Registration>,
        grpc: bool,
    ) -> Response<ResponseBody> {
        let mut response = self.response;
        let becomes_websocket = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        match self.client {
            Some(client) if becomes_websocket => {
                let application = hyper::upgrade::on(&mut response);
                relay_upgraded(Arc::clone(caller), client, application, registration);
                // The client needs `Connection` and `Upgrade` to believe the 101.
                headers::strip_identity(response.headers_mut());
                response.map(|_| ResponseBody::Empty)
            }
            Some(_) | None => {
                headers::strip_hop_by_hop(response.headers_mut());
                headers::strip_identity(response.headers_mut());
                let (parts, body) = response.into_parts();
                Response::from_parts(
                    parts,
                    ResponseBody::Streamed(Streamed::inbound(body, registration, grpc, self.lease)),
                )
            }
        }
    }
}

/// Copies a WebSocket until it ends, its call is denied, or its peer stops being valid.
fn relay_upgraded(
    caller: Arc<Caller>,
    client: hyper::upgrade::OnUpgrade,
    application: hyper::upgrade::OnUpgrade,
    registration: Arc<Registration>,
) {
    tokio::spawn(async move {
        let relayed = async {
            let (client, application) =
                tokio::try_join!(client, application).map_err(std::io::Error::other)?;
            tcp::relay(TokioIo::new(client), TokioIo::new(application), registration.cut(), false).await
        };
        let connection = &caller.id;
        tokio::select! {
            () = caller.cut().wait(Waiter::Handler) => tracing::debug!(%connection, "a WebSocket's peer stopped being valid"),
            ended = relayed => match ended {
                Ok(ended) => tracing::debug!(%connection, ?ended, "a WebSocket ended"),
                Err(error) => tracing::debug!(%connection, %error, "a WebSocket broke"),
            },
        }
    });
}

/// The canonical target, in origin form for HTTP/1 and with scheme and authority for HTTP/2.
fn forwarded_uri(parts: &Parts, attributes: &HttpAttributes) -> Result<Uri, http::Error> {
    let target = attributes.forwarded_target();
    let builder = Uri::builder().path_and_query(target);
    if parts.version != Version::HTTP_2 {
        return builder.build();
    }
    let authority = parts.uri.authority().map(uri::Authority::as_str);
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    builder.scheme(uri::Scheme::HTTP).authority(authority.or(host).unwrap_or(attributes.host())).build()
}
