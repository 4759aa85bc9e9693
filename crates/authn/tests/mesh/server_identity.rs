//! A client reaches exactly the server that it expects, or nobody.

use std::sync::Arc;

use bailiwick_authn::{ALPN, AuthnError, CertificateRefusal, ClientTls, accept, alert_received, connect};
use bailiwick_identity::{KeyPurpose, SvidError};
use bailiwick_testkit::{Flaw, TestAuthority, Validity};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::support::{ORDERS, SOON, Side, WEB, call, domain, id, meet, own_domain, pair, raw_server};

async fn refusal(client: &Side, server: rustls::ServerConfig) -> CertificateRefusal {
    let (connected, bytes) = call(client, ORDERS, server).await;
    assert_eq!(bytes, 0, "no byte of the application may leave");
    match connected {
        Err(AuthnError::Certificate(refusal)) => refusal,
        other => panic!("expected a refused certificate, got {other:?}"),
    }
}

#[tokio::test]
async fn both_sides_prove_themselves() {
    let authority = TestAuthority::new("cluster.local");
    let server = Side::new(&authority.issue(ORDERS), authority.bundle());
    let client = Side::new(&authority.issue(WEB), authority.bundle());
    let (accepted, connected) = meet(&server, &client, ORDERS).await;
    assert_eq!(accepted.unwrap().connection.peer().unwrap().id(), &id(WEB));
    assert_eq!(connected.unwrap().evidence.leaf().id(), &id(ORDERS));
}

#[tokio::test]
async fn g13_another_server_than_expected_is_refused_before_a_byte_is_sent() {
    let authority = TestAuthority::new("cluster.local");
    let client = Side::new(&authority.issue(WEB), authority.bundle());
    let found = "spiffe://cluster.local/ns/shop/sa/orders-2";
    let refused = refusal(&client, raw_server(&authority.issue(found), &[ALPN])).await;
    assert_eq!(refused, CertificateRefusal::UnexpectedServer { expected: id(ORDERS), found: id(found) });
    assert_eq!(refused.reason(), "unexpected-server");
}

#[tokio::test]
async fn g2_a_callers_certificate_is_no_servers() {
    let authority = TestAuthority::new("cluster.local");
    let client = Side::new(&authority.issue(WEB), authority.bundle());
    for flaw in [Flaw::ClientOnly, Flaw::EmailOnly, Flaw::AnyPurpose, Flaw::NoPurpose] {
        let refused = refusal(&client, raw_server(&authority.issue_flawed(ORDERS, flaw), &[ALPN])).await;
        assert_eq!(refused, CertificateRefusal::Leaf(SvidError::Purpose(KeyPurpose::Server)), "{flaw:?}");
    }
}

#[tokio::test]
async fn g4_g8_g10_g11_a_bad_servers_certificate_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    let partner = TestAuthority::new("partner.example");
    let mut bundle = authority.bundle();
    bundle.insert(domain("partner.example"), vec![partner.root_der().clone()]).unwrap();
    let client = Side::new(&authority.issue(WEB), bundle);
    for (credentials, reason) in [
        (authority.issue_flawed(ORDERS, Flaw::SecondUri), "malformed"),
        (authority.issue_flawed(ORDERS, Flaw::Authority), "authority"),
        (authority.issue_flawed(ORDERS, Flaw::Expired), "expired"),
        (authority.issue_flawed(ORDERS, Flaw::NotYetValid), "not-yet-valid"),
        (authority.intermediate_from("", Validity::EXPIRED, |_| {}).issue(ORDERS), "expired"),
        (TestAuthority::new("cluster.local").issue(ORDERS), "untrusted-chain"),
        (partner.issue(ORDERS), "untrusted-chain"),
        (partner.issue("spiffe://partner.example/ns/shop/sa/orders"), "unexpected-server"),
        (partner.issue("spiffe://elsewhere.example/ns/shop/sa/orders"), "foreign-trust-domain"),
    ] {
        let refused = refusal(&client, raw_server(&credentials, &[ALPN])).await;
        assert_eq!(refused.reason(), reason, "{refused:?}");
    }
}

#[tokio::test]
async fn a_server_without_the_meshs_protocol_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    let client = Side::new(&authority.issue(WEB), authority.bundle());
    for alpn in [&[][..], &[&b"h2"[..]][..]] {
        let (connected, bytes) = call(&client, ORDERS, raw_server(&authority.issue(ORDERS), alpn)).await;
        assert!(matches!(connected, Err(AuthnError::Alpn { wanted: "bailiwick/1" })), "{connected:?}");
        assert_eq!(bytes, 0);
    }
}

#[tokio::test]
async fn g1_our_client_never_resumes_though_the_server_offers_it() {
    let authority = TestAuthority::new("cluster.local");
    let client = Side::new(&authority.issue(WEB), authority.bundle()).client();
    let server = TlsAcceptor::from(Arc::new(raw_server(&authority.issue(ORDERS), &[ALPN])));
    for _ in 0..3 {
        let (near, far) = pair().await;
        let expected = id(ORDERS);
        let theirs = async {
            let mut stream = server.accept(near).await.unwrap();
            stream.write_all(b"x").await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let ours = async {
            let mut connected = connect(far, &client, &expected, SOON).await.unwrap();
            connected.stream.read_to_end(&mut Vec::new()).await.unwrap();
            let state = connected.stream.get_ref().1;
            assert!(state.tls13_tickets_received() > 0, "the server does offer it");
            assert_ne!(state.handshake_kind(), Some(HandshakeKind::Resumed));
        };
        tokio::join!(ours, theirs);
    }
}

#[tokio::test]
async fn without_own_credentials_nothing_is_sent() {
    let authority = TestAuthority::new("cluster.local");
    let client = Side::without_certificate(authority.bundle());
    let (connected, _) = call(&client, ORDERS, raw_server(&authority.issue(ORDERS), &[ALPN])).await;
    assert!(matches!(connected, Err(AuthnError::NoCredentials)), "{connected:?}");
}

#[tokio::test]
async fn a_stranger_presents_nothing_and_is_told_so() {
    let authority = TestAuthority::new("cluster.local");
    let server = Side::new(&authority.issue(ORDERS), authority.bundle());
    let stranger = ClientTls::stranger(Arc::clone(&server.trust));
    let (near, far) = pair().await;
    let (settings, domains, expected) = (server.server(), own_domain(), id(ORDERS));
    let theirs = async {
        let mut connected = connect(far, &stranger, &expected, SOON).await.unwrap();
        connected.stream.read_to_end(&mut Vec::new()).await.unwrap_err()
    };
    let (refused, seen) = tokio::join!(accept(near, &settings, &domains, SOON), theirs);
    assert!(matches!(refused, Err(AuthnError::NoCertificate)));
    assert_eq!(alert_received(&seen).as_deref(), Some("certificate_required"));
}
