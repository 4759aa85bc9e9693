//! Calls in flight: decided again when the truth changes, and only those that are denied now are cut.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_identity::{InvalidAuthentication, MtlsMode, PortTrust};
use bailiwick_policy::{Effect, Permission, PolicyObject, PortProtocol};
use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::stand::{REPORT, Setup, Stand, WEB, http, policy, port, read_for, rule, status};

fn both_may_live() -> Vec<PolicyObject> {
    vec![policy(vec![
        rule("web", Effect::Allow, WEB, vec![http("*", &["/**"]), Permission::Tcp(vec![port()])]),
        rule("report", Effect::Allow, REPORT, vec![http("*", &["/**"]), Permission::Tcp(vec![port()])]),
    ])]
}

fn only_report_may() -> Vec<PolicyObject> {
    let permissions = vec![http("*", &["/**"]), Permission::Tcp(vec![port()])];
    vec![policy(vec![rule("report", Effect::Allow, REPORT, permissions)])]
}

async fn demo(tcp: bool) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    if tcp {
        tokio::spawn(bailiwick_demo::serve_tcp(listener, "ledger".to_owned()));
    } else {
        tokio::spawn(bailiwick_demo::serve_http(listener, "orders".to_owned()));
    }
    address
}

#[tokio::test]
async fn i5_the_next_call_on_the_same_connection_is_decided_by_the_new_snapshot() {
    let stand = Stand::with(Setup::default(), both_may_live()).await;
    let mut stream = stand.client(WEB).await;
    let request = b"GET /orders/1 HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert_eq!(status(&read_for(&mut stream, Duration::from_millis(200)).await), "200");
    stand.enforce(only_report_may()).await;
    stream.write_all(request).await.unwrap();
    assert_eq!(status(&read_for(&mut stream, Duration::from_millis(200)).await), "403");
    stand.enforce(both_may_live()).await;
    stream.write_all(request).await.unwrap();
    assert_eq!(status(&read_for(&mut stream, Duration::from_millis(200)).await), "200");
}

#[tokio::test]
async fn i5_an_open_tcp_connection_is_cut_and_no_other() {
    let application = Some(demo(true).await);
    let setup = Setup { protocol: PortProtocol::Tcp, application, ..Setup::default() };
    let stand = Stand::with(setup, both_may_live()).await;
    let (mut web, mut report) = (stand.client(WEB).await, stand.client(REPORT).await);
    for stream in [&mut web, &mut report] {
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"220 ");
    }
    stand.enforce(only_report_may()).await;
    read_for(&mut web, Duration::from_millis(200)).await;
    drop(web.write_all(b"still there?").await);
    assert_eq!(read_for(&mut web, Duration::from_millis(200)).await, "");
    read_for(&mut report, Duration::from_millis(100)).await;
    report.write_all(b"hello").await.unwrap();
    assert_eq!(read_for(&mut report, Duration::from_millis(200)).await, "hello");
}

#[tokio::test]
async fn i5_an_open_websocket_is_cut_and_no_other() {
    let setup = Setup { application: Some(demo(false).await), ..Setup::default() };
    let stand = Stand::with(setup, both_may_live()).await;
    let mut sockets = Vec::new();
    for id in [WEB, REPORT] {
        let stream = stand.client(id).await;
        let (mut socket, response) =
            tokio_tungstenite::client_async("ws://orders/live/socket", stream).await.unwrap();
        assert_eq!(response.status(), 101);
        socket.send(Message::text("ping")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("ping"));
        sockets.push(socket);
    }
    stand.enforce(only_report_may()).await;
    let mut report = sockets.pop().unwrap();
    let mut web = sockets.pop().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(1), web.next()).await.unwrap();
    assert!(!matches!(ended, Some(Ok(_))), "{ended:?}");
    report.send(Message::text("still")).await.unwrap();
    assert_eq!(report.next().await.unwrap().unwrap(), Message::text("still"));
}

#[tokio::test]
async fn i5_an_open_grpc_stream_ends_with_permission_denied() {
    let setup = Setup { application: Some(demo(false).await), ..Setup::default() };
    let stand = Stand::with(setup, both_may_live()).await;
    let mut bodies = Vec::new();
    for id in [WEB, REPORT] {
        let stream = TokioIo::new(stand.client(id).await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://orders/shop.v1.Orders/Watch")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let mut body = sender.send_request(request).await.unwrap().into_body();
        assert!(body.frame().await.unwrap().unwrap().is_data());
        // The sender must live as long as its stream.
        bodies.push((sender, body));
    }
    stand.enforce(only_report_may()).await;
    let (_report_sender, mut report) = bodies.pop().unwrap();
    let (_web_sender, mut web) = bodies.pop().unwrap();
    let trailers = tokio::time::timeout(Duration::from_secs(1), async {
        loop {
            let frame = web.frame().await.unwrap().unwrap();
            if let Ok(trailers) = frame.into_trailers() {
                return trailers;
            }
        }
    });
    assert_eq!(trailers.await.unwrap().get("grpc-status").unwrap(), "7");
    assert!(report.frame().await.unwrap().unwrap().is_data());
}

#[tokio::test]
async fn a_withdrawn_root_closes_open_connections() {
    let stand = Stand::with(Setup::default(), both_may_live()).await;
    let mut stream = stand.client(WEB).await;
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_for(&mut stream, Duration::from_millis(200)).await), "200");
    let other = bailiwick_testkit::TestAuthority::new("cluster.local");
    stand.shared.trust.replace(other.bundle()).unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut [0; 16])).await.unwrap();
    assert!(closed.is_err() || closed.is_ok_and(|read| read == 0));
}

#[tokio::test]
async fn under_an_invalid_authentication_nothing_lives_on() {
    let application = Some(demo(true).await);
    let setup = Setup { protocol: PortProtocol::Tcp, application, ..Setup::default() };
    let stand = Stand::with(setup, both_may_live()).await;
    let mut open = stand.client(WEB).await;
    assert!(read_for(&mut open, Duration::from_millis(200)).await.starts_with("220 "));
    let invalid = InvalidAuthentication {
        object: "shop/default".to_owned(),
        reason: "`mtls.mode` is unknown".to_owned(),
    };
    let trust_domains = vec!["cluster.local".parse().unwrap()];
    let trust = PortTrust { mode: MtlsMode::Strict, trust_domains, audit: false, invalid: Some(invalid) };
    stand.publish_trusting(trust, both_may_live());
    let closed = tokio::time::timeout(Duration::from_secs(2), open.read(&mut [0; 16])).await.unwrap();
    assert!(closed.is_err() || closed.is_ok_and(|read| read == 0));
}

#[tokio::test]
async fn calls_leave_nothing_behind() {
    let stand = Stand::with(Setup::default(), both_may_live()).await;
    for _ in 0..20 {
        assert_eq!(status(&stand.get(WEB, "GET", "/a", "").await), "200");
    }
    let worker = Arc::clone(&stand.worker);
    tokio::time::timeout(Duration::from_secs(2), async move {
        while worker.sessions.len() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}
