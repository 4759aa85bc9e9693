//! One call, by each of the protocols.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONTENT_TYPE, HOST, TE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Outcome;
use super::target::{Scheme, Target};
use crate::http::message;

/// For a connection, and for its first answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two messages on a connection that is held.
const BEAT: Duration = Duration::from_millis(200);
/// The header in which a refusal carries the id of its decision.
const DECISION: &str = "x-bailiwick-decision";

type Exchanged = Result<Outcome, Broken>;

/// There is no connection, or it ended before its answer.
struct Broken(String);

impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn outcome(word: impl ToString, detail: impl Into<String>) -> Outcome {
    Outcome { word: word.to_string(), detail: detail.into() }
}

/// Makes one call.
pub(super) async fn exchange(target: &Target, method: &Method, hold: Duration) -> Outcome {
    let stream = match timeout(PATIENCE, TcpStream::connect(&target.authority)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return outcome("unreachable", error.to_string()),
        Err(_) => return outcome("unreachable", "no answer"),
    };
    let exchanged = match target.scheme {
        Scheme::Http => timeout(PATIENCE, over_http(stream, target, method)).await,
        Scheme::Grpc | Scheme::GrpcStream => timeout(PATIENCE + hold, over_grpc(stream, target, hold)).await,
        Scheme::WebSocket => timeout(PATIENCE + hold, over_websocket(stream, target, hold)).await,
        Scheme::Tcp => timeout(PATIENCE + hold, over_tcp(stream, hold)).await,
    };
    match exchanged {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(Broken(why))) => outcome("closed", why),
        Err(_) => outcome("closed", "no answer in time"),
    }
}

async fn over_http(stream: TcpStream, target: &Target, method: &Method) -> Exchanged {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(&target.path)
        .header(HOST, &target.authority)
        .body(Full::new(Bytes::new()))?;
    let response = sender.send_request(request).await?;
    let (status, decision) = (response.status(), decision_of(response.headers()));
    let detail = first_line(response).await + &decision;
    Ok(outcome(status.as_u16(), detail))
}

/// The id that `bailiwick why` explains.
fn decision_of(headers: &HeaderMap) -> String {
    let id = headers.get(DECISION).and_then(|value| value.to_str().ok());
    id.map(|id| format!("  (decision {id})")).unwrap_or_default()
}

/// The first line of an answer; nothing of one that may not end.
async fn first_line(response: Response<Incoming>) -> String {
    if response.body().size_hint().exact().is_none() {
        return String::new();
    }
    let body =
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    String::from_utf8_lossy(&body).lines().next().unwrap_or_default().to_owned()
}

async fn over_grpc(stream: TcpStream, target: &Target, hold: Duration) -> Exchanged {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("http://{}{}", target.authority, target.path))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(message(b"demo")))?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Ok(outcome(response.status().as_u16(), first_line(response).await));
    }
    if let Some(status) = response.headers().get("grpc-status") {
        let told = response.headers().get("grpc-message").and_then(|value| value.to_str().ok());
        let detail = told.unwrap_or_default().to_owned() + &decision_of(response.headers());
        return Ok(outcome(status.to_str()?, detail));
    }
    match target.scheme {
        Scheme::GrpcStream => held_stream(response.into_body(), hold).await,
        Scheme::Http | Scheme::Grpc | Scheme::WebSocket | Scheme::Tcp => {
            let collected = response.into_body().collect().await?;
            let status = collected.trailers().and_then(|trailers| trailers.get("grpc-status"));
            Ok(outcome(status.map_or(Ok("none"), |value| value.to_str())?, ""))
        }
    }
}

/// Reads messages for as long as it is held; `open` where it is not held and one message came.
async fn held_stream(mut body: Incoming, hold: Duration) -> Exchanged {
    let end = Instant::now() + hold;
    match body.frame().await {
        Some(Ok(frame)) if frame.is_data() => {}
        Some(_) | None => return Ok(outcome("closed", "before the first message")),
    }
    if hold.is_zero() {
        return Ok(outcome("open", ""));
    }
    loop {
        match timeout_at(end, body.frame()).await {
            Ok(Some(Ok(frame))) if frame.is_data() => {}
            Ok(_) => return Ok(outcome("cut", "")),
            Err(_) => return Ok(outcome("held", "")),
        }
    }
}

async fn over_websocket(stream: TcpStream, target: &Target, hold: Duration) -> Exchanged {
    let url = format!("ws://{}{}", target.authority, target.path);
    let mut socket = match tokio_tungstenite::client_async(url, stream).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(response)) => {
            return Ok(outcome(response.status().as_u16(), decision_of(response.headers())));
        }
        Err(error) => return Err(error.into()),
    };
    let end = Instant::now() + hold;
    loop {
        let echoed = match socket.send(Message::text("beat")).await {
            Ok(()) => socket.next().await.is_some_and(|frame| frame.is_ok_and(|frame| frame.is_text())),
            Err(_) => false,
        };
        if let Some(outcome) = after_beat(echoed, hold, end) {
            return Ok(outcome);
        }
        sleep(BEAT).await;
    }
}

async fn over_tcp(mut stream: TcpStream, hold: Duration) -> Exchanged {
    let mut buffer = [0; 256];
    if stream.read(&mut buffer).await? == 0 {
        return Ok(outcome("closed", "before the greeting"));
    }
    let end = Instant::now() + hold;
    loop {
        let echoed = match stream.write_all(b"beat\n").await {
            Ok(()) => stream.read(&mut buffer).await.is_ok_and(|read| read > 0),
            Err(_) => false,
        };
        if let Some(outcome) = after_beat(echoed, hold, end) {
            return Ok(outcome);
        }
        sleep(BEAT).await;
    }
}

/// What a connection has come to after one message and its echo; nothing while it is to be held on.
fn after_beat(echoed: bool, hold: Duration, end: Instant) -> Option<Outcome> {
    match (echoed, hold.is_zero()) {
        (true, true) => Some(outcome("open", "")),
        (true, false) => (Instant::now() >= end).then(|| outcome("held", "")),
        (false, true) => Some(outcome("closed", "")),
        (false, false) => Some(outcome("cut", "")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn word(url: &str, hold: u64) -> String {
        exchange(&url.parse().unwrap(), &Method::GET, Duration::from_millis(hold)).await.word
    }

    #[tokio::test]
    async fn every_protocol_comes_to_one_word() {
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (web, ledger) = (http.local_addr().unwrap(), tcp.local_addr().unwrap());
        let servers = [
            tokio::spawn(crate::serve_http(http, "orders".to_owned())),
            tokio::spawn(crate::serve_tcp(tcp, "ledger".to_owned())),
        ];
        assert_eq!(word(&format!("http://{web}/orders/1"), 0).await, "200");
        assert_eq!(word(&format!("http://{web}/status/503"), 0).await, "503");
        assert_eq!(word(&format!("grpc://{web}/grpc.health.v1.Health/Check"), 0).await, "0");
        assert_eq!(word(&format!("grpc+stream://{web}/shop.v1.Orders/Watch"), 0).await, "open");
        for url in [
            format!("grpc+stream://{web}/shop.v1.Orders/Watch"),
            format!("ws://{web}/live"),
            format!("tcp://{ledger}"),
        ] {
            assert_eq!(word(&url, 300).await, "held", "{url}");
        }
        servers.iter().for_each(tokio::task::JoinHandle::abort);
        for server in servers {
            assert!(server.await.unwrap_err().is_cancelled());
        }
        assert_eq!(word(&format!("http://{web}/"), 0).await, "unreachable");
    }
}
