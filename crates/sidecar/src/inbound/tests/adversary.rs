//! What a hostile peer tries between two decisions, beside the caps, and with words that two parties read differently.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bailiwick_authn::{ClientTls, CredentialStore, TrustStore, connect};
use bailiwick_identity::MtlsMode;
use bailiwick_policy::{Effect, GrpcPermission, Methods, Permission, PortProtocol};
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::stand::{ORDERS, REPORT, Setup, Stand, WEB, http, policy, read_for, rule, status, usual};
use crate::config::Limits;
use crate::shared::for_test;

const MOMENT: Duration = Duration::from_millis(300);

/// An application that answers every request with these bytes and counts what it reads after the answer.
async fn scripted(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let later = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&later);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                        _ => return,
                    }
                }
                drop(stream.write_all(answer.as_bytes()).await);
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    counted.fetch_add(read, Ordering::SeqCst);
                }
            });
        }
    });
    (address, later)
}

fn all_for(id: &str) -> Vec<bailiwick_policy::PolicyObject> {
    vec![policy(vec![rule("all", Effect::Allow, id, vec![http("*", &["/**"])])])]
}

async fn set_up(answer: &'static str) -> (Stand, Arc<AtomicUsize>) {
    let (application, later) = scripted(answer).await;
    let setup = Setup { application: Some(application), ..Setup::default() };
    (Stand::with(setup, all_for(WEB)).await, later)
}

#[tokio::test]
async fn g10_a_root_that_is_withdrawn_during_a_handshake_vouches_for_nobody() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let store = Arc::new(CredentialStore::default());
    store.replace(for_test::credentials(&stand.authority, WEB));
    let tls = ClientTls::mesh(store, Arc::new(TrustStore::new(stand.authority.bundle()).unwrap()));
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let client = tokio::spawn(async move {
        let mut stream = connect(near, &tls, &ORDERS.parse().unwrap(), Duration::from_secs(5)).await?.stream;
        drop(stream.write_all(b"GET /orders/1 HTTP/1.1\r\nhost: a\r\n\r\n").await);
        Ok::<_, bailiwick_authn::AuthnError>(read_for(&mut stream, MOMENT).await)
    });
    let mut sidecar = TcpStream::connect(stand.address).await.unwrap();
    // ClientHello, then the server's flight; the client's certificate is held back.
    let mut buffer = vec![0; 64 * 1024];
    let read = far.read(&mut buffer).await.unwrap();
    sidecar.write_all(&buffer[..read]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let read = sidecar.read(&mut buffer).await.unwrap();
    far.write_all(&buffer[..read]).await.unwrap();
    let read = far.read(&mut buffer).await.unwrap();
    let other = bailiwick_testkit::TestAuthority::new("cluster.local");
    stand.shared.trust.replace(other.bundle()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    sidecar.write_all(&buffer[..read]).await.unwrap();
    drop(tokio::io::copy_bidirectional(&mut far, &mut sidecar).await);
    let answer = client.await.unwrap().unwrap_or_default();
    assert_eq!(answer, "");
    assert!(stand.seen().is_empty(), "{:?}", stand.seen());
}

/// Python's `http.server` splits a request line at any whitespace, so these reach `/admin` there.
#[tokio::test]
async fn i3_whitespace_that_a_lenient_server_takes_is_no_way_around_an_http_deny() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = Some(listener.local_addr().unwrap());
    tokio::spawn(bailiwick_demo::serve_tcp(listener, "orders".to_owned()));
    let rules = vec![
        rule("all", Effect::Allow, WEB, vec![Permission::Any]),
        rule("no-admin", Effect::Deny, "anyone", vec![http("*", &["/admin/**"])]),
    ];
    for protocol in [PortProtocol::Undeclared, PortProtocol::Tcp] {
        let setup = Setup { protocol, application, ..Setup::default() };
        let stand = Stand::with(setup, vec![policy(rules.clone())]).await;
        for line in ["GET\t/admin/x HTTP/1.1", " GET /admin/x HTTP/1.1", "\r\n\tGET\x0b/admin/x HTTP/1.1"] {
            let answer = stand.exchange(WEB, format!("{line}\r\nhost: a\r\n\r\n").as_bytes()).await;
            assert!(!answer.contains("admin"), "{protocol:?} {line:?} was echoed: {answer:?}");
        }
    }
}

#[tokio::test]
async fn f14_an_upgraded_connection_still_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = Some(listener.local_addr().unwrap());
    tokio::spawn(bailiwick_demo::serve_http(listener, "orders".to_owned()));
    let limits = Limits { connections_per_peer: 1, ..Limits::default() };
    let setup = Setup { application, limits, ..Setup::default() };
    let stand = Stand::with(setup, all_for(WEB)).await;
    let stream = stand.client(WEB).await;
    let (socket, _) = tokio_tungstenite::client_async("ws://orders/live/socket", stream).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(status(&stand.get(WEB, "GET", "/a", "").await), "closed");
    drop(socket);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(status(&stand.get(WEB, "GET", "/a", "").await), "200", "its place comes back");
}

#[tokio::test]
async fn i5_an_upload_whose_answer_has_ended_is_still_decided_again() {
    let (stand, later) = set_up("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let mut stream = stand.client(WEB).await;
    stream
        .write_all(b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nfirst")
        .await
        .unwrap();
    assert_eq!(status(&read_for(&mut stream, MOMENT).await), "200");
    stand.enforce(all_for(REPORT)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = later.load(Ordering::SeqCst);
    drop(stream.write_all(&[b'x'; 10_000]).await);
    drop(stream.flush().await);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(later.load(Ordering::SeqCst), before, "bytes passed after the permission was gone");
}

/// Neither state lets an unproven caller through: one denies by default, the other is Strict.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn i6_a_call_is_never_authenticated_by_one_configuration_and_decided_by_another() {
    let stand = Arc::new(Stand::without_snapshot(Setup::default()).await);
    let done = Arc::<AtomicBool>::default();
    let (toggled, stop) = (Arc::clone(&stand), Arc::clone(&done));
    let toggle = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            toggled.publish_with(MtlsMode::Permissive, Vec::new());
            std::thread::sleep(Duration::from_micros(300));
            toggled.publish_with(MtlsMode::Strict, all_for("anyone"));
        }
    });
    let requests = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n".repeat(20);
    let until = tokio::time::Instant::now() + Duration::from_secs(2);
    while tokio::time::Instant::now() < until && stand.seen().is_empty() {
        let Ok(mut stream) = TcpStream::connect(stand.address).await else { continue };
        drop(stream.write_all(&requests).await);
        drop(tokio::time::timeout(Duration::from_millis(3), stream.read(&mut [0; 512])).await);
    }
    done.store(true, Ordering::Relaxed);
    toggle.join().unwrap();
    assert!(stand.seen().is_empty(), "{:?}", stand.seen());
}

#[tokio::test]
async fn f12_a_caller_that_does_not_read_holds_up_nobody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = Some(listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(|_| async {
                let large = http_body_util::Full::new(bytes::Bytes::from(vec![0; 1024 * 1024]));
                Ok::<_, std::convert::Infallible>(http::Response::new(large))
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { drop(builder.serve_connection(TokioIo::new(stream), service).await) });
        }
    });
    let mut objects = all_for(WEB);
    objects.push(super::stand::object(
        bailiwick_policy::Layer::Namespace,
        "report",
        vec![rule("all", Effect::Allow, REPORT, vec![http("*", &["/**"])])],
    ));
    let stand = Stand::with(Setup { application, ..Setup::default() }, objects).await;
    let mut unread = Vec::new();
    let mut senders = Vec::new();
    for id in [WEB, REPORT] {
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(1024);
        let (sender, connection) = builder.handshake(TokioIo::new(stand.client(id).await)).await.unwrap();
        tokio::spawn(connection);
        senders.push(sender);
    }
    let request = || Request::get("http://orders/large").body(Empty::<bytes::Bytes>::new()).unwrap();
    for _ in 0..40 {
        unread.push(senders[0].send_request(request()).await.unwrap());
    }
    tokio::time::sleep(MOMENT).await;
    let answer = senders[1].send_request(request()).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(3), http_body_util::BodyExt::collect(answer));
    assert!(read.await.is_ok(), "another caller's unread responses hold this one up");
}

#[tokio::test]
async fn f2_connection_cannot_take_away_what_was_decided_by() {
    let grpc = GrpcPermission { service: "pkg.Svc".into(), methods: Methods::Any };
    let rules = vec![rule("grpc", Effect::Allow, WEB, vec![Permission::Grpc(grpc)])];
    let stand = Stand::with(Setup::default(), vec![policy(rules)]).await;
    let request = "POST /pkg.Svc/M HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\n\
        connection: close, content-type\r\ncontent-length: 2\r\n\r\n{}";
    stand.exchange(WEB, request.as_bytes()).await;
    for seen in stand.seen() {
        assert_eq!(seen.headers["content-type"], "application/grpc", "what was matched is what is forwarded");
    }
}

#[tokio::test]
async fn e3_an_upgrade_that_nobody_asked_for_is_no_answer() {
    let (stand, _) =
        set_up("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nevil")
            .await;
    let answer = stand.exchange(WEB, b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(!answer.contains("evil"));
}

#[tokio::test]
async fn c2_a_response_keeps_its_hop_by_hop_headers_to_itself() {
    let (stand, _) = set_up(
        "HTTP/1.1 200 OK\r\nconnection: x-hop, content-length\r\nx-hop: 1\r\nx-kept: 1\r\n\
         x-bailiwick-decision: forged\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let answer = stand.get(WEB, "GET", "/a", "").await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.contains("x-kept") && answer.contains("content-length: 2"), "{answer}");
    assert!(!answer.contains("x-hop") && !answer.contains("forged"), "{answer}");
}

#[tokio::test]
async fn a_refusal_is_told_in_grpcs_words_to_grpc_only() {
    let stand = Stand::with(Setup::default(), usual()).await;
    for kind in ["application/grpc-evil", "application/grpc-web+proto"] {
        let answer = stand.get(WEB, "POST", "//orders", &format!("content-type: {kind}\r\n")).await;
        assert_eq!(status(&answer), "400", "{kind}: {answer}");
    }
}

#[tokio::test]
async fn f14_a_method_that_is_never_finished_does_not_hold_a_connection_as_an_idle_one_may() {
    let limits = Limits { request_header: MOMENT, ..Limits::default() };
    let stand = Stand::with(Setup { limits, ..Setup::default() }, usual()).await;
    let mut stream = stand.client(WEB).await;
    stream.write_all(b"GE").await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(3), stream.read(&mut [0; 16])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
}
