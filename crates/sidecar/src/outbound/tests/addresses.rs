//! Calls by address, as in a pod: what is outside leaves at once and unread, what is not known leaves not at all.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bailiwick_policy::PortProtocol;
use bailiwick_testkit::TestAuthority;
use bailiwick_wire::{Destination, Endpoint, Endpoints, Transport};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::peer::{ORDERS, Sidecar, Speaks, endpoint, mesh, read};

/// A server that speaks first, then gives back what it gets.
async fn server_first() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                stream.write_all(b"220 ready\r\n").await.unwrap();
                let mut received = Vec::new();
                stream.read_to_end(&mut received).await.unwrap();
                stream.write_all(&received).await.unwrap();
            });
        }
    });
    address
}

fn as_sent(address: SocketAddr) -> Destination {
    let endpoint = Endpoint {
        address,
        transport: Transport::AsSent,
        protocol: PortProtocol::Undeclared,
        workload: None,
    };
    Destination::Endpoints(vec![endpoint].into())
}

#[tokio::test]
async fn what_is_outside_or_not_meshed_leaves_at_once_and_unread() {
    let authority = TestAuthority::new("cluster.local");
    let server = server_first().await;
    for leads in [Destination::Outside, as_sent(server)] {
        let sidecar = Sidecar::called_at(&authority, server, leads).await;
        let begun = Instant::now();
        let mut application = sidecar.connect().await;
        let mut greeting = [0; 11];
        application.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"220 ready\r\n");
        assert!(begun.elapsed() < Duration::from_millis(300), "nothing is waited for: {:?}", begun.elapsed());
        // Not HTTP that any parser would let pass, and nothing is taken from it or added.
        let sent =
            b"get / HTTP/1.1\r\nX-Bailiwick-Client-Id: a\r\nTransfer-Encoding: x\r\nhost:\r\n\r\n\x00\xff";
        application.write_all(sent).await.unwrap();
        application.shutdown().await.unwrap();
        let mut back = Vec::new();
        application.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, sent);
    }
}

#[tokio::test]
async fn what_leads_nowhere_is_refused_within_its_second_and_http_is_told() {
    let authority = TestAuthority::new("cluster.local");
    let called: SocketAddr = "10.96.0.7:80".parse().unwrap();
    for leads in [Some(Destination::Unknown), Some(Destination::Endpoints(Vec::new().into())), None] {
        let sidecar = match leads {
            Some(leads) => Sidecar::called_at(&authority, called, leads).await,
            None => Sidecar::called_at_unanswered(&authority, called).await,
        };
        assert_eq!(sidecar.get("/", &[]).await.0, 503);
        let begun = Instant::now();
        let mut silent = sidecar.connect().await;
        let ended = silent.read_u8().await.unwrap_err();
        assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset, "refused, not ended");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let mut bytes = sidecar.connect().await;
        bytes.write_all(b"\x00\x01").await.unwrap();
        assert!(bytes.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn a_broken_connection_is_not_taken_for_a_whole_answer() {
    let authority = TestAuthority::new("cluster.local");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sidecar = Sidecar::called_at(&authority, address, Destination::Outside).await;
    let mut application = sidecar.connect().await;
    let (mut server, _) = listener.accept().await.unwrap();
    server.write_all(b"half").await.unwrap();
    let mut half = [0; 4];
    application.read_exact(&mut half).await.unwrap();
    server.set_zero_linger().unwrap();
    drop(server);
    assert_eq!(application.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn calls_of_one_connection_spread_over_the_endpoints_unless_they_are_sticky() {
    let authority = TestAuthority::new("cluster.local");
    let mut endpoints = Vec::new();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (address, counts) = endpoint(&authority, ORDERS, Speaks::Http).await;
        endpoints.push(mesh(address, ORDERS, PortProtocol::Http));
        seen.push(counts);
    }
    for sticky in [false, true] {
        let leads = Destination::Endpoints(Endpoints { ready: endpoints.clone(), sticky });
        let sidecar = Sidecar::called_at(&authority, "10.96.0.7:80".parse().unwrap(), leads).await;
        for counts in &seen {
            counts.requests.lock().unwrap().clear();
        }
        let stream = TokioIo::new(sidecar.connect().await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..40 {
            let request =
                Request::post("http://orders.shop/p.S/M").header("content-type", "application/grpc");
            let request = request.body(Full::<Bytes>::default()).unwrap();
            assert_eq!(read(sender.send_request(request).await.unwrap()).await.0, 200);
        }
        let used: BTreeSet<usize> =
            (0..4).filter(|index| !seen[*index].requests.lock().unwrap().is_empty()).collect();
        assert_eq!(used.len(), if sticky { 1 } else { 4 }, "sticky: {sticky}");
    }
    assert!(seen.iter().all(|counts| counts.refused.load(Ordering::SeqCst) == 0));
}

#[tokio::test]
async fn in_a_pod_the_applications_calls_outlive_the_begin_of_the_drain() {
    let authority = TestAuthority::new("cluster.local");
    let (address, _) = endpoint(&authority, ORDERS, Speaks::Http).await;
    let leads = Destination::Endpoints(vec![mesh(address, ORDERS, PortProtocol::Http)].into());
    let sidecar = Sidecar::called_at(&authority, "10.96.0.7:80".parse().unwrap(), leads).await;
    let stream = TokioIo::new(sidecar.connect().await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for round in 0..3 {
        let request = Request::get("/").header("host", "orders").body(Full::<Bytes>::default()).unwrap();
        let (status, headers, _) = read(sender.send_request(request).await.unwrap()).await;
        assert_eq!((status, headers.get("connection")), (200, None), "round {round}");
        sidecar.worker.shared.drain.signal();
        tokio::time::sleep(sidecar.worker.shared.grace * 2).await;
    }
    let drained = Arc::clone(&sidecar.worker.shared);
    drop(sender);
    assert_eq!(
        drained.drain.drained(Duration::from_secs(5)).await,
        bailiwick_runtime::drain::Drained::Complete,
        "it ends when the application ends it"
    );
}
