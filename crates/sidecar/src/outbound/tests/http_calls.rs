use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bailiwick_policy::PortProtocol;
use bailiwick_testkit::TestAuthority;
use bailiwick_wire::Destination;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::{ORDERS, OTHER, Sidecar, Speaks, WEB, endpoint, mesh, read};
use crate::shared::for_test;

#[tokio::test]
async fn a_call_travels_in_mtls_and_its_connection_is_used_again() {
    let authority = TestAuthority::new("cluster.local");
    let (address, seen) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Http)]).await;
    for _ in 0..3 {
        let (status, _, body) = sidecar.get("/orders/1", &[]).await;
        assert_eq!((status, body.as_str()), (200, "HTTP/1.1 /orders/1"));
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn c3_the_application_cannot_state_an_identity() {
    let authority = TestAuthority::new("cluster.local");
    let (address, seen) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Undeclared)]).await;
    let stated = [("x-bailiwick-client-id", "x"), ("X_Bailiwick_Any", "x"), ("x-forwarded-client-cert", "x")];
    let (status, ..) = sidecar.get("/", &stated).await;
    assert_eq!(status, 200);
    let requests = seen.requests.lock().unwrap();
    assert_eq!(requests[0].keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["host"]);
}

#[tokio::test]
async fn g13_another_identity_at_the_address_gets_no_byte() {
    let authority = TestAuthority::new("cluster.local");
    let (address, seen) = endpoint(&authority, OTHER, Speaks::Http).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Http)]).await;
    let (status, _, body) = sidecar.get("/", &[]).await;
    assert_eq!(status, 503);
    assert!(body.contains("peer has unexpected identity") && body.contains(OTHER), "{body}");
    assert!(seen.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn g18_after_a_renewal_no_call_uses_the_old_certificate() {
    let authority = TestAuthority::new("cluster.local");
    let (address, seen) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Http)]).await;
    assert_eq!(sidecar.get("/", &[]).await.0, 200);
    let store = &sidecar.worker.shared.credentials;
    store.replace(for_test::credentials(&authority, WEB));
    assert_eq!(sidecar.get("/", &[]).await.0, 200);
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2);
    sidecar.worker.outbound.sweep(store.current().unwrap().generation());
    assert_eq!(sidecar.get("/", &[]).await.0, 200);
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2, "the new one is kept");
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_passed_over_before_any_byte() {
    let authority = TestAuthority::new("cluster.local");
    let (address, seen) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoints = vec![mesh(down, ORDERS, PortProtocol::Http), mesh(address, ORDERS, PortProtocol::Http)];
    let sidecar = Sidecar::to(&authority, endpoints).await;
    for _ in 0..8 {
        assert_eq!(sidecar.get("/", &[]).await.0, 200);
    }
    assert_eq!(seen.requests.lock().unwrap().len(), 8);
}

#[tokio::test]
async fn without_a_way_the_reason_is_told() {
    let authority = TestAuthority::new("cluster.local");
    let none = Sidecar::to(&authority, Vec::new()).await;
    let (status, _, body) = none.get("/", &[]).await;
    assert_eq!((status, body.as_str()), (503, "unavailable: no endpoints\n"));
    let (status, headers, _) = none.get("/p.S/M", &[("content-type", "application/grpc")]).await;
    assert_eq!((status, headers.get("grpc-status").unwrap().as_bytes()), (200, "14".as_bytes()));
    for destination in [Destination::Unknown, Destination::Outside] {
        let unknown = Sidecar::leading(&authority, destination).await;
        let (status, _, body) = unknown.get("/", &[]).await;
        assert_eq!((status, body.as_str()), (503, "unavailable: destination unknown: `shop/orders:8080`\n"));
    }
}

#[tokio::test]
async fn http2_calls_share_a_connection_and_stay_http2() {
    let authority = TestAuthority::new("cluster.local");
    let (address, seen) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Undeclared)]).await;
    let stream = TokioIo::new(sidecar.connect().await);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let calls = (0..20).map(|_| {
        let mut sender = sender.clone();
        let request = Request::post("http://orders.shop/p.S/M").header("te", "trailers");
        let request = request.body(Full::<Bytes>::from(Bytes::from_static(b"12345"))).unwrap();
        async move { read(sender.send_request(request).await.unwrap()).await }
    });
    for (status, headers, body) in futures_util::future::join_all(calls).await {
        assert_eq!((status, body.as_str()), (200, "HTTP/2.0 /p.S/M"));
        assert_eq!(headers.get("x-length").unwrap(), "5");
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
    assert_eq!(seen.requests.lock().unwrap()[0].get("te").unwrap(), "trailers");
}

#[tokio::test]
async fn a_connection_with_an_unread_answer_serves_nobody_else() {
    let authority = TestAuthority::new("cluster.local");
    let (address, seen) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Http)]).await;
    let mut application = sidecar.connect().await;
    application.write_all(b"GET /large HTTP/1.1\r\nhost: orders\r\n\r\n").await.unwrap();
    let mut some = [0; 100];
    application.read_exact(&mut some).await.unwrap();
    drop(application);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (status, _, body) = sidecar.get("/next", &[]).await;
    assert_eq!((status, body.as_str()), (200, "HTTP/1.1 /next"));
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_drain_ends_kept_alive_connections_after_their_answer() {
    let authority = TestAuthority::new("cluster.local");
    let (address, _) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Http)]).await;
    let mut application = sidecar.connect().await;
    application.write_all(b"GET /one HTTP/1.1\r\nhost: orders\r\n\r\n").await.unwrap();
    let mut some = [0; 12];
    application.read_exact(&mut some).await.unwrap();
    let shared = Arc::clone(&sidecar.worker.shared);
    let drained = tokio::spawn(async move { shared.drain.drained(Duration::from_secs(5)).await });
    let mut rest = Vec::new();
    application.read_to_end(&mut rest).await.unwrap();
    assert!(String::from_utf8_lossy(&rest).ends_with("HTTP/1.1 /one"));
    assert_eq!(drained.await.unwrap(), bailiwick_runtime::drain::Drained::Complete);
}

#[tokio::test]
async fn endpoints_that_go_away_after_each_answer_lose_no_call() {
    let authority = TestAuthority::new("cluster.local");
    let (address, seen) = endpoint(&authority, ORDERS, Speaks::HttpOnce).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Http)]).await;
    let stream = TokioIo::new(sidecar.connect().await);
    let (mut http2, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..30 {
        let request = Request::get("http://orders.shop/").body(Full::<Bytes>::default()).unwrap();
        assert_eq!(read(http2.send_request(request).await.unwrap()).await.0, 200);
        assert_eq!(sidecar.get("/", &[]).await.0, 200);
    }
    assert_eq!(seen.requests.lock().unwrap().len(), 60, "and none is sent twice");
}
