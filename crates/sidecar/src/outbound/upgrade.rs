//! A WebSocket: a connection of its own on both sides, bytes both ways once the endpoint has agreed.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;

use crate::inbound::headers::{strip_hop_by_hop, strip_request};
use crate::outbound::body::{AnswerBody, Held, RequestBody};
use crate::outbound::failure::Failure;
use crate::outbound::http::{Proxy, empty};
use crate::outbound::load::InFlight;
use crate::outbound::pool::dedicated;
use crate::outbound::serve;

const ATTEMPTS: usize = 3;

/// Answers a request for a WebSocket. An endpoint that does not agree answers as to any other call.
pub(crate) async fn call(
    proxy: &Arc<Proxy>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Failure> {
    let application = on(&mut request);
    let (mut parts, body) = request.into_parts();
    strip_request(&mut parts.headers, true);
    parts.version = Version::HTTP_11;
    let request = Request::from_parts(parts, RequestBody(body));
    let (mut sender, in_flight) = connected(proxy).await?;
    let mut response = sender.send_request(request).await.map_err(Failure::Exchange)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        strip_hop_by_hop(response.headers_mut());
        let held = Some(Held::alone(in_flight));
        return Ok(response.map(|inner| AnswerBody::Streamed { inner, held }));
    }
    let endpoint = on(&mut response);
    tokio::spawn(relay(application, endpoint, in_flight, Arc::clone(&proxy.held)));
    Ok(response.map(|_| empty()))
}

/// A connection that is never pooled: what was upgraded once must never reach another call (security case E3).
async fn connected(proxy: &Proxy) -> Result<(SendRequest<RequestBody>, InFlight), Failure> {
    let worker = &proxy.worker;
    let mut tried: Vec<SocketAddr> = Vec::new();
    loop {
        let endpoint = proxy.route.choose(worker, &tried).await?;
        let in_flight = worker.outbound.loads().begin(endpoint.address);
        match dedicated(&worker.shared, &endpoint).await {
            Ok(sender) => return Ok((sender, in_flight)),
            Err(failure) => {
                tried.push(endpoint.address);
                if tried.len() >= ATTEMPTS || !proxy.route.has_more(&tried) {
                    return Err(failure);
                }
            }
        }
    }
}

async fn relay(application: OnUpgrade, endpoint: OnUpgrade, in_flight: InFlight, held: Arc<serve::Held>) {
    let relayed = async {
        let (application, endpoint) =
            tokio::try_join!(application, endpoint).map_err(std::io::Error::other)?;
        tokio::io::copy_bidirectional(&mut TokioIo::new(application), &mut TokioIo::new(endpoint)).await
    };
    if let Err(error) = relayed.await {
        tracing::debug!(%error, "a WebSocket of the application broke");
    }
    drop((in_flight, held));
}
