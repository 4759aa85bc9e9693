//! Who may do what, and how refusals look.

use bailiwick_authn::{ClientTls, TrustStore, connect};
use bailiwick_identity::MtlsMode;
use bailiwick_policy::{Effect, Layer, Permission};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::stand::{REPORT, Setup, Stand, WEB, http, object, policy, read_for, rule, status, usual};

#[tokio::test]
async fn a_permitted_call_reaches_the_application_with_the_proven_identity() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let answer =
        stand.get(WEB, "GET", "/orders/%31?x=%2F", "x-bailiwick-client-id: spiffe://evil/x\r\n").await;
    assert_eq!(status(&answer), "200", "{answer}");
    let seen = stand.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].target, "/orders/1?x=%2F", "what was matched is what is forwarded");
    let ids: Vec<_> = seen[0].headers.get_all("x-bailiwick-client-id").iter().collect();
    assert_eq!(ids, [WEB]);
    assert_eq!(seen[0].headers.get("x-forwarded-for").unwrap(), "127.0.0.1");
}

#[tokio::test]
async fn refusals_name_their_decision_to_proven_peers_and_never_reach_the_application() {
    let stand = Stand::with(Setup::default(), usual()).await;
    for (id, method, target) in [
        (WEB, "DELETE", "/orders/1"),
        (WEB, "GET", "/invoices/1"),
        (WEB, "GET", "/orders/secret"),
        (REPORT, "GET", "/orders/1"),
    ] {
        let answer = stand.get(id, method, target, "").await;
        assert_eq!(status(&answer), "403", "{id} {method} {target}: {answer}");
        assert!(answer.contains("x-bailiwick-decision: "), "{answer}");
        assert!(!answer.to_ascii_lowercase().contains("www-authenticate"), "403 is not 401");
    }
    assert!(stand.seen().is_empty());
}

#[tokio::test]
async fn a_cluster_deny_stands_over_an_allow() {
    let mut objects = usual();
    let deny = rule("no-admin", Effect::Deny, "anyone", vec![http("*", &["/admin/**"])]);
    objects.push(object(Layer::Cluster, "guardrails", vec![deny]));
    let stand = Stand::with(Setup::default(), objects).await;
    assert_eq!(status(&stand.get(WEB, "GET", "/admin/x", "").await), "403");
}

#[tokio::test]
async fn plaintext_on_a_strict_port_is_401_for_http_and_closed_otherwise() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    stream.write_all(b"GET /orders/1 HTTP/1.1\r\nhost: orders\r\n\r\n").await.unwrap();
    let answer = read_for(&mut stream, Duration::from_millis(300)).await;
    assert_eq!(status(&answer), "401");
    assert!(answer.contains("www-authenticate: "));
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    stream.write_all(b"\x00\x01\x02\x03").await.unwrap();
    assert_eq!(read_for(&mut stream, Duration::from_millis(300)).await, "");
    assert!(stand.seen().is_empty());
}

#[tokio::test]
async fn a_client_without_certificate_is_refused_by_tls() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let trust = Arc::new(TrustStore::new(stand.authority.bundle()).unwrap());
    let tls = ClientTls::stranger(trust);
    let stream = TcpStream::connect(stand.address).await.unwrap();
    let expected = super::stand::ORDERS.parse().unwrap();
    let refused = match connect(stream, &tls, &expected, Duration::from_secs(5)).await {
        Err(_) => true,
        // In TLS 1.3 the alert comes after the client's own handshake is done.
        Ok(mut connected) => {
            drop(connected.stream.write_all(b"GET /orders/1 HTTP/1.1\r\nhost: a\r\n\r\n").await);
            read_for(&mut connected.stream, Duration::from_millis(300)).await.is_empty()
        }
    };
    assert!(refused);
    assert!(stand.seen().is_empty());
}

#[tokio::test]
async fn where_credentials_are_optional_the_default_is_401_and_a_deny_is_403() {
    let setup = Setup { mode: MtlsMode::Permissive, ..Setup::default() };
    let stand = Stand::with(setup, usual()).await;
    for (target, expected) in [("/orders/1", "401"), ("/orders/secret", "403")] {
        let mut stream = TcpStream::connect(stand.address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_for(&mut stream, Duration::from_millis(300)).await;
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(!answer.contains("x-bailiwick-decision"), "only proven peers learn the decision's id");
    }
    assert_eq!(status(&stand.get(WEB, "GET", "/orders/1", "").await), "200");
}

#[tokio::test]
async fn i1_before_the_first_snapshot_nothing_passes() {
    let stand = Stand::without_snapshot(Setup::default()).await;
    for _ in 0..50 {
        let mut stream = TcpStream::connect(stand.address).await.unwrap();
        drop(stream.write_all(b"GET /orders/1 HTTP/1.1\r\nhost: a\r\n\r\n").await);
        assert_eq!(read_for(&mut stream, Duration::from_millis(50)).await, "");
    }
    assert!(stand.seen().is_empty());
}

#[tokio::test]
async fn a_denied_address_is_closed_before_the_first_tls_byte() {
    let mut objects = usual();
    objects.push(object(
        Layer::Cluster,
        "closed",
        vec![rule("all", Effect::Deny, "anyone", vec![Permission::Any])],
    ));
    let stand = Stand::with(Setup::default(), objects).await;
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    assert_eq!(read_for(&mut stream, Duration::from_millis(300)).await, "");
}

#[tokio::test]
async fn a_namespace_in_audit_forwards_and_still_obeys_the_platform() {
    let setup = Setup { authorization_audit: true, ..Setup::default() };
    let deny = rule("no-admin", Effect::Deny, "anyone", vec![http("*", &["/admin/**"])]);
    let stand =
        Stand::with(setup, vec![policy(Vec::new()), object(Layer::Cluster, "guardrails", vec![deny])]).await;
    assert_eq!(status(&stand.get(REPORT, "GET", "/anything", "").await), "200");
    assert_eq!(status(&stand.get(REPORT, "GET", "/admin/x", "").await), "403");
    // A ClusterPolicy could deny by path, so a path with two readings is still refused.
    assert_eq!(status(&stand.get(REPORT, "GET", "//admin/x", "").await), "400");
}

#[tokio::test]
async fn a_namespace_in_audit_forwards_an_ambiguous_path_byte_for_byte() {
    let setup = Setup { authorization_audit: true, ..Setup::default() };
    let stand = Stand::with(setup, vec![policy(Vec::new())]).await;
    assert_eq!(status(&stand.get(REPORT, "GET", "//a/%2e%2e/b;c?x", "").await), "200");
    assert_eq!(stand.seen()[0].target, "//a/%2e%2e/b;c?x");
}
