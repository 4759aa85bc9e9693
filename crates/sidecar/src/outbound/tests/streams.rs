use std::sync::atomic::Ordering;
use std::time::Duration;

use bailiwick_policy::PortProtocol;
use bailiwick_testkit::TestAuthority;
use bailiwick_wire::{Endpoint, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::peer::{ORDERS, OTHER, Sidecar, Speaks, endpoint, mesh};
use crate::shared::OwnListeners;

#[tokio::test]
async fn a_server_first_protocol_works_and_half_closes() {
    let authority = TestAuthority::new("cluster.local");
    let (address, _) = endpoint(&authority, ORDERS, Speaks::Bytes).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Tcp)]).await;
    let mut application = sidecar.connect().await;
    let mut greeting = [0; 6];
    application.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"hello ");
    application.write_all(b"GET / HTTP/1.1").await.unwrap();
    application.shutdown().await.unwrap();
    let mut rest = String::new();
    application.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "GET / HTTP/1.1 bye");
}

#[tokio::test]
async fn bytes_go_to_nobody_but_the_expected_identity() {
    let authority = TestAuthority::new("cluster.local");
    let (address, _) = endpoint(&authority, OTHER, Speaks::Bytes).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Tcp)]).await;
    let mut application = sidecar.connect().await;
    let mut got = Vec::new();
    // Closed, or reset because bytes were not read: never an answer.
    drop(application.write_all(b"secret").await);
    drop(application.read_to_end(&mut got).await);
    assert!(got.is_empty());
}

#[tokio::test]
async fn undeclared_bytes_are_told_from_http() {
    let authority = TestAuthority::new("cluster.local");
    let (address, _) = endpoint(&authority, ORDERS, Speaks::Bytes).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Undeclared)]).await;
    let mut application = sidecar.connect().await;
    application.write_all(b"\x00\x01").await.unwrap();
    application.shutdown().await.unwrap();
    let mut got = Vec::new();
    application.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"hello \x00\x01 bye");
}

#[tokio::test]
async fn e3_a_websocket_has_a_connection_of_its_own() {
    let authority = TestAuthority::new("cluster.local");
    let (address, seen) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let sidecar = Sidecar::to(&authority, vec![mesh(address, ORDERS, PortProtocol::Http)]).await;
    assert_eq!(sidecar.get("/", &[]).await.0, 200);
    let mut application = sidecar.connect().await;
    let request = b"GET /ws HTTP/1.1\r\nhost: orders\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    application.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(application.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    application.write_all(b"ping").await.unwrap();
    let mut echoed = String::new();
    application.read_to_string(&mut echoed).await.unwrap();
    assert_eq!(echoed, "ping");
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2);
    assert_eq!(sidecar.get("/", &[]).await.0, 200);
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2, "the pooled one serves the next call");
}

#[tokio::test]
async fn what_is_not_meshed_leaves_as_it_was_sent() {
    let authority = TestAuthority::new("cluster.local");
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    let endpoint =
        Endpoint { address, transport: Transport::AsSent, protocol: PortProtocol::Tcp, workload: None };
    let sidecar = Sidecar::to(&authority, vec![endpoint]).await;
    let mut application = sidecar.connect().await;
    let (mut accepted, _) = plain.accept().await.unwrap();
    application.write_all(b"as sent").await.unwrap();
    let mut got = [0; 7];
    accepted.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"as sent");
}

#[tokio::test]
async fn no_answer_where_a_call_leads_is_a_refusal_within_a_second() {
    let authority = TestAuthority::new("cluster.local");
    let sidecar = Sidecar::unanswered(&authority).await;
    let begun = std::time::Instant::now();
    let (status, _, body) = sidecar.get("/", &[]).await;
    assert_eq!((status, body.as_str()), (503, "unavailable: no answer where `shop/orders:8080` leads\n"));
    assert!(begun.elapsed().as_millis() < 1_500, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn g18_open_connections_end_when_their_peer_is_no_longer_proven() {
    let authority = TestAuthority::new("cluster.local");
    let (bytes, _) = endpoint(&authority, ORDERS, Speaks::Bytes).await;
    let (http, _) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let stream = Sidecar::to(&authority, vec![mesh(bytes, ORDERS, PortProtocol::Tcp)]).await;
    let mut application = stream.connect().await;
    let mut greeting = [0; 6];
    application.read_exact(&mut greeting).await.unwrap();
    let web = Sidecar::to(&authority, vec![mesh(http, ORDERS, PortProtocol::Http)]).await;
    let mut socket = web.connect().await;
    let request = b"GET /ws HTTP/1.1\r\nhost: orders\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    socket.write_all(request).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'H');
    for sidecar in [&stream, &web] {
        let other = TestAuthority::new("cluster.local");
        assert!(sidecar.worker.shared.trust.replace(other.bundle()).unwrap());
    }
    for connection in [&mut application, &mut socket] {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), connection.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it is still open");
    }
}

#[test]
fn j4_a_call_that_leads_back_is_a_loop_unless_it_ends_at_the_application() {
    let own = OwnListeners {
        inbound: vec!["0.0.0.0:15001".parse().unwrap()],
        outbound: vec!["127.0.0.1:15100".parse().unwrap()],
    };
    for (address, meshed, loops) in [
        ("127.0.0.1:15100", true, true),
        ("127.0.0.1:15100", false, true),
        ("127.0.0.1:15001", false, true),
        ("127.0.0.1:15001", true, false),
        ("10.0.0.7:15001", false, false),
        ("127.0.0.1:8080", false, false),
    ] {
        assert_eq!(own.lead_back(address.parse().unwrap(), meshed), loops, "{address} meshed: {meshed}");
    }
}
