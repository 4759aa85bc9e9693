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
use crate::outbound::connect::Validity;
use crate::outbound::failure::Failure;
use crate::outbound::http::{Proxy, empty};
use crate::outbound::load::InFlight;
use crate::outbound::pool::dedicated;

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
    let (mut sender, validity, in_flight) = connected(proxy).await?;
    let mut response = sender.send_request(request).await.map_err(Failure::Exchange)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        strip_hop_by_hop(response.headers_mut());
        let held = Some(Held::alone(in_flight));
        return Ok(response.map(|inner| AnswerBody::Streamed { inner, held }));
    }
    let endpoint = on(&mut response);
    let proxy = Arc::clone(proxy);
    tokio::spawn(async move {
        tokio::select! {
            () = relay(application, endpoint) => {}
            () = validity.ended(&proxy.worker.shared) => {}
        }
        drop((in_flight, proxy));
    });
    Ok(response.map(|_| empty()))
}

/// A connection that is never pooled: what was upgraded once must never reach another call (security case E3).
async fn connected(proxy: &Proxy) -> Result<(SendRequest<RequestBody>, Validity, InFlight), Failure> {
    let worker = &proxy.worker;
    let mut tried: Vec<SocketAddr> = Vec::new();
    loop {
        let endpoint = proxy.route.choose(worker, &tried).await?;
        let in_flight = worker.outbound.loads().begin(endpoint.address);
        match dedicated(worker, &endpoint).await {
            Ok((sender, validity)) => return Ok((sender, validity, in_flight)),
            Err(failure) => {
                tried.push(endpoint.address);
                if tried.len() >= ATTEMPTS || !proxy.route.has_more(&tried) {
                    return Err(failure);
                }
            }
        }
    }
}

async fn relay(application: OnUpgrade, endpoint: OnUpgrade) {
    let relayed = async {
        let (application, endpoint) =
            tokio::try_join!(application, endpoint).map_err(std::io::Error::other)?;
        tokio::io::copy_bidirectional(&mut TokioIo::new(application), &mut TokioIo::new(endpoint)).await
    };
    if let Err(error) = relayed.await {
        tracing::debug!(%error, "a WebSocket of the application broke");
    }
}
