//! The handshake itself: versions, resumption, protocol names, deadlines, fragments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick_authn::{ALPN, AuthnError, FirstBytes, accept, peek};
use bailiwick_testkit::TestAuthority;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{
    ORDERS, SOON, Side, WEB, knock, mesh_client, own_domain, pair, raw_client, raw_client_of,
};

fn server(authority: &TestAuthority) -> Side {
    Side::new(&authority.issue(ORDERS), authority.bundle())
}

/// The bytes of a ClientHello.
fn client_hello(alpn: &[&[u8]]) -> Vec<u8> {
    let name = ServerName::try_from("any.name").unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(raw_client(None, alpn)), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// One connection of a client that would resume and send early data if it could: (kind, tickets received).
async fn reconnect(side: &Side, client: &Arc<rustls::ClientConfig>) -> (Option<HandshakeKind>, u32) {
    let (near, far) = pair().await;
    let (settings, domains) = (side.server(), own_domain());
    let ours = async {
        let mut accepted = accept(near, &settings, &domains, SOON).await.unwrap();
        accepted.stream.write_all(b"x").await.unwrap();
        accepted.stream.shutdown().await.unwrap();
    };
    let theirs = async {
        let name = ServerName::try_from("any.name").unwrap();
        let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, far).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        let state = stream.get_ref().1;
        assert!(!state.is_early_data_accepted());
        (state.handshake_kind(), state.tls13_tickets_received())
    };
    tokio::join!(ours, theirs).1
}

#[tokio::test]
async fn g1_g19_no_session_is_resumed_no_ticket_sent_no_early_data_taken() {
    let authority = TestAuthority::new("cluster.local");
    let side = server(&authority);
    let mut client = mesh_client(&authority.issue(WEB));
    client.enable_early_data = true;
    let client = Arc::new(client);
    for _ in 0..3 {
        let (kind, tickets) = reconnect(&side, &client).await;
        assert_ne!(kind, Some(HandshakeKind::Resumed));
        assert_eq!(tickets, 0);
    }
}

#[tokio::test]
async fn g19_older_tls_is_refused_and_told_so() {
    let authority = TestAuthority::new("cluster.local");
    let client = raw_client_of(Some(&authority.issue(WEB)), &[ALPN], &[&TLS12]);
    let (accepted, seen) = knock(&server(&authority), client).await;
    assert_eq!(accepted.unwrap_err().reason(), "handshake");
    assert_eq!(seen.alert.as_deref(), Some("protocol_version"));
    // One that offers both gets the newer.
    let client = raw_client_of(Some(&authority.issue(WEB)), &[ALPN], &[&TLS12, &TLS13]);
    let (accepted, _) = knock(&server(&authority), client).await;
    assert_eq!(
        accepted.unwrap().stream.get_ref().1.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
}

#[tokio::test]
async fn g19_plaintext_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    let (near, mut far) = pair().await;
    far.write_all(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n").await.unwrap();
    let refused = accept(near, &server(&authority).server(), &own_domain(), SOON).await.unwrap_err();
    assert_eq!(refused.reason(), "handshake");
}

#[tokio::test]
async fn g15_without_the_meshs_protocol_a_good_certificate_gets_an_alert() {
    let authority = TestAuthority::new("cluster.local");
    for alpn in [&[][..], &[&b"h2"[..]][..], &[&b"http/1.1"[..], b"bailiwick/2"][..]] {
        let (accepted, seen) =
            knock(&server(&authority), raw_client(Some(&authority.issue(WEB)), alpn)).await;
        assert!(matches!(accepted, Err(AuthnError::Alpn { wanted: "bailiwick/1" })), "{accepted:?}");
        assert_eq!(seen.alert.as_deref(), Some("no_application_protocol"));
    }
    let (accepted, _) =
        knock(&server(&authority), raw_client(Some(&authority.issue(WEB)), &[b"h2", ALPN])).await;
    assert_eq!(accepted.unwrap().stream.get_ref().1.alpn_protocol(), Some(ALPN));
}

#[tokio::test]
async fn g14_a_server_name_changes_nothing() {
    let authority = TestAuthority::new("cluster.local");
    let long = format!("{0}.{0}.{0}", "a".repeat(63));
    for name in ["other.example", "10.0.0.1", long.as_str()] {
        let (near, far) = pair().await;
        let (settings, domains) = (server(&authority).server(), own_domain());
        let connector = TlsConnector::from(Arc::new(mesh_client(&authority.issue(WEB))));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let (accepted, _client) =
            tokio::join!(accept(near, &settings, &domains, SOON), connector.connect(name, far));
        assert_eq!(accepted.unwrap().connection.peer().unwrap().id().as_str(), WEB);
    }
}

#[tokio::test]
async fn g17_a_handshake_that_never_ends_is_cut_at_the_deadline() {
    let authority = TestAuthority::new("cluster.local");
    let (near, mut far) = pair().await;
    far.write_all(client_hello(&[ALPN]).get(..40).unwrap()).await.unwrap();
    let limit = Duration::from_millis(200);
    let begun = Instant::now();
    let refused = accept(near, &server(&authority).server(), &own_domain(), limit).await.unwrap_err();
    assert_eq!(refused.reason(), "timeout");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn g17_a_close_in_the_handshake_is_an_error() {
    let authority = TestAuthority::new("cluster.local");
    // `close_notify` as the first record, and nothing at all.
    for bytes in [&[21, 3, 3, 0, 2, 1, 0][..], &[]] {
        let (near, mut far) = pair().await;
        far.write_all(bytes).await.unwrap();
        drop(far);
        accept(near, &server(&authority).server(), &own_domain(), SOON).await.unwrap_err();
    }
}

/// Relays a client's bytes one small piece at a time.
async fn drip(mut from: TcpStream, mut to: TcpStream) {
    let (mut from_read, mut from_write) = from.split();
    let (mut to_read, mut to_write) = to.split();
    let there = async {
        let mut piece = [0; 97];
        while let Ok(count @ 1..) = from_read.read(&mut piece).await {
            to_write.write_all(piece.get(..count).unwrap()).await.unwrap();
            to_write.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = there => {}
        _ = tokio::io::copy(&mut to_read, &mut from_write) => {}
    }
}

#[tokio::test]
async fn g17_a_fragmented_client_hello_is_understood() {
    let authority = TestAuthority::new("cluster.local");
    let (near, middle_out) = pair().await;
    let (middle_in, far) = pair().await;
    tokio::spawn(drip(middle_in, middle_out));
    let connector = TlsConnector::from(Arc::new(mesh_client(&authority.issue(WEB))));
    let name = ServerName::try_from("any.name").unwrap();
    let client = tokio::spawn(connector.connect(name, far));
    assert_eq!(peek(&near, SOON).await.unwrap(), FirstBytes::MeshTls);
    let accepted = accept(near, &server(&authority).server(), &own_domain(), SOON).await.unwrap();
    assert_eq!(accepted.connection.peer().unwrap().id().as_str(), WEB);
    drop(client);
}

#[tokio::test]
async fn what_a_caller_begins_to_speak_is_seen_and_left_in_the_socket() {
    let limit = Duration::from_millis(150);
    for (bytes, expected) in [
        (client_hello(&[ALPN]), FirstBytes::MeshTls),
        (client_hello(&[b"h2"]), FirstBytes::OtherTls),
        (client_hello(&[]), FirstBytes::OtherTls),
        (client_hello(&[ALPN]).get(..100).unwrap().to_vec(), FirstBytes::Unfinished),
        (b"GET / HTTP/1.1\r\n".to_vec(), FirstBytes::Http1),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), FirstBytes::Http2),
        (b"\x00\x01binary".to_vec(), FirstBytes::Other),
        (b"GE".to_vec(), FirstBytes::Unfinished),
        (Vec::new(), FirstBytes::Nothing),
    ] {
        let (mut near, mut far) = pair().await;
        far.write_all(&bytes).await.unwrap();
        assert_eq!(peek(&near, limit).await.unwrap(), expected, "{bytes:?}");
        let mut left = vec![0; bytes.len()];
        near.read_exact(&mut left).await.unwrap();
        assert_eq!(left, bytes);
    }
    let (near, far) = pair().await;
    drop(far);
    assert_eq!(peek(&near, limit).await.unwrap(), FirstBytes::Closed);
}
