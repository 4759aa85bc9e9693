//! HTTP/1.1, HTTP/2 with prior knowledge, gRPC and WebSocket on one port.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt, stream};
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

type Body = BoxBody<Bytes, Infallible>;

const CLIENT_ID: &str = "x-bailiwick-client-id";
/// The method of the standard health service, and its answer: `HealthCheckResponse {status: SERVING}`.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SERVING: &[u8] = &[0x08, 0x01];
const TICK: Duration = Duration::from_millis(100);

/// Answers every request with what was asked and by whom.
pub async fn serve_http(listener: TcpListener, name: String) {
    serve_logged(listener, name, false).await;
}

pub(crate) async fn serve_logged(listener: TcpListener, name: String, log: bool) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // A response that waits for more bytes to fill a segment would slow every measurement.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let name = name.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, name.clone(), log));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).http2().timer(TokioTimer::new());
            // A client that leaves is no news.
            drop(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, name: String, log: bool) -> Result<Response<Body>, Infallible> {
    if log {
        println!("{} {}", request.method(), request.uri());
    }
    let grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    Ok(if grpc {
        answer_grpc(request).await
    } else if request.headers().contains_key(SEC_WEBSOCKET_KEY) {
        answer_websocket(request)
    } else if request.uri().path().ends_with("/stream") {
        Response::new(ticks())
    } else if request.uri().path().ends_with("/upload") {
        count(request).await
    } else {
        let mut response = describe(&request, &name);
        *response.status_mut() = wanted_status(request.uri().path());
        response
    })
}

/// `/…/status/503` is answered with that status, everything else with 200: a probe that fails can be declared.
fn wanted_status(path: &str) -> StatusCode {
    let wanted =
        path.rsplit_once("/status/").and_then(|(_, code)| StatusCode::from_bytes(code.as_bytes()).ok());
    wanted.filter(|code| code.as_u16() >= 200).unwrap_or(StatusCode::OK)
}

fn describe(request: &Request<Incoming>, name: &str) -> Response<Body> {
    let caller = request.headers().get(CLIENT_ID).and_then(|value| value.to_str().ok());
    let text = serde_json::json!({
        "service": name,
        "method": request.method().as_str(),
        "path": request.uri().path_and_query().map(http::uri::PathAndQuery::as_str),
        "caller": caller,
    });
    let mut response = Response::new(whole(text.to_string() + "\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Reads a body to its end and answers its length.
async fn count(request: Request<Incoming>) -> Response<Body> {
    let mut body = request.into_body();
    let mut length = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    Response::new(whole(format!("{length}\n")))
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).boxed()
}

/// A response that goes on until somebody ends it.
fn ticks() -> Body {
    let lines = stream::unfold(0_u64, |count| async move {
        tokio::time::sleep(TICK).await;
        Some((Ok(Frame::data(Bytes::from(format!("tick {count}\n")))), count + 1))
    });
    BodyExt::boxed(StreamBody::new(lines))
}

/// One length-prefixed message (gRPC over HTTP/2, "Length-Prefixed-Message").
pub(crate) fn message(payload: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(payload.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    framed.put_slice(payload);
    framed.freeze()
}

/// A method named `Watch…` streams messages until somebody ends it; health is good; every other one echoes its message.
async fn answer_grpc(request: Request<Incoming>) -> Response<Body> {
    let health = request.uri().path() == HEALTH;
    let streams = request.uri().path().rsplit('/').next().is_some_and(|method| method.starts_with("Watch"));
    let body = if streams {
        let messages = stream::unfold(0_u64, |count| async move {
            tokio::time::sleep(TICK).await;
            Some((Ok(Frame::data(message(format!("tick {count}").as_bytes()))), count + 1))
        });
        BodyExt::boxed(StreamBody::new(messages))
    } else {
        let asked =
            request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let asked = if health { message(SERVING) } else { asked };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let frames = [Ok(Frame::data(asked)), Ok(Frame::trailers(trailers))];
        BodyExt::boxed(StreamBody::new(stream::iter(frames)))
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Becomes a WebSocket that echoes (RFC 6455).
fn answer_websocket(mut request: Request<Incoming>) -> Response<Body> {
    let accept = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(frame)) = socket.next().await {
            if (frame.is_text() || frame.is_binary()) && socket.send(frame).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(whole(String::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Some(value) = accept.and_then(|accept| HeaderValue::from_str(&accept).ok()) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, value);
    }
    response
}
