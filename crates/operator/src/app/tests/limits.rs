//! Herds, garbage and certificates that end.

use bailiwick_authn::Credentials;
use bailiwick_wire::proto::IssueRequest;
use bailiwick_wire::proto::identity_client::IdentityClient;
use rustls_pki_types::PrivateKeyDer;
use tonic::Code;

use std::time::SystemTime;

use bailiwick_ca::Authority;

use super::*;
use crate::testing::client::{hello, signing_request};
use crate::testing::identity;

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_is_served_and_one_workload_in_a_loop_is_told_when_to_come_again() {
    let ground = Ground::new();
    let running = ground.start();
    let (client, at) = (ground.client(), running.places.identity);
    let token = ground.token("shop/orders");
    let herd: Vec<_> = (0..60)
        .map(|_| {
            let (client, token) = (client.clone(), token.clone());
            tokio::spawn(async move { client.issue(at, &token, signing_request(&[]).1).await })
        })
        .collect();
    for sidecar in herd {
        sidecar.await.unwrap().unwrap();
    }
    let token = ground.token("shop/web");
    let mut caller = IdentityClient::new(client.channel(at).await);
    let csr = signing_request(&[]).1;
    let mut told = None;
    for _ in 0..400 {
        match caller.issue(IssueRequest { token: token.clone(), csr: csr.clone() }).await {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                told = status
                    .metadata()
                    .get("grpc-retry-pushback-ms")
                    .and_then(|wait| wait.to_str().unwrap().parse::<u64>().ok());
            }
        }
    }
    assert!(told.is_some_and(|wait| (1..=1_000).contains(&wait)), "{told:?}");
    client.issue(at, &ground.token("shop/orders"), csr).await.unwrap();
    assert_eq!(get(running.places.admin, "/ready").await.0, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_garbage_ends_with_an_error_and_never_with_the_operator() {
    let ground = Ground::new();
    let running = ground.start();
    let (client, token) = (ground.client(), ground.token("shop/web"));
    let mut caller = IdentityClient::new(client.channel(running.places.identity).await);
    let good = signing_request(&[]).1;
    for index in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut csr = good.clone();
            csr[index] ^= bit;
            // What is outside the signed part may be encoded in another way; the identity is the token's all the same.
            match caller.issue(IssueRequest { token: token.clone(), csr }).await {
                Ok(issued) => {
                    let leaf = bailiwick_identity::leaf_id(&issued.into_inner().chain[0]).unwrap();
                    assert_eq!(*leaf.id(), identity("shop/web"));
                }
                Err(status) => {
                    assert!(
                        matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted),
                        "{status}"
                    );
                }
            }
        }
    }
    // Not gRPC, not HTTP/2, not TLS.
    for address in [running.places.identity, running.places.configuration] {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x16\x03\x01\xff\xff\x01",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            &[0; 4_096],
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            // Refused with an alert or a reset.
            drop(tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap());
            assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
        }
    }
    let client = ground.enrolled(&running, "shop/orders").await;
    client
        .stream(running.places.configuration, hello("shop/orders", "a"))
        .await
        .unwrap()
        .header()
        .await
        .unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_certificate_that_opened_it() {
    let ground = Ground::new();
    let running = ground.start();
    let domain = "cluster.local".parse().unwrap();
    let authority = Authority::open(&ground.path("state"), &domain, SystemTime::now()).unwrap();
    let own = authority.issue_own(&identity("shop/web"), Duration::from_secs(3), SystemTime::now()).unwrap();
    let client = ground.client();
    client.credentials.replace(Credentials::new(own.issued.chain, PrivateKeyDer::Pkcs8(own.key)).unwrap());
    let mut stream = client.stream(running.places.configuration, hello("shop/web", "a")).await.unwrap();
    stream.header().await.unwrap();
    assert_eq!(stream.next().await.unwrap_err().code(), Code::Unauthenticated);
    running.stop().await;
}
