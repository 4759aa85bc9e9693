//! Who gets a certificate, and whose configuration it opens (security cases H4, H5, H7, L5).

use tonic::Code;

use crate::member::{Member, credentials, signing_request, token};
use crate::world::{WEB, World};

const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h4_only_a_good_token_gets_a_certificate() {
    let world = World::new();
    let operator = world.operator().await;
    let good = token(&world, "web");
    let mut forged = good.clone();
    // Of the same form, and one character off.
    forged[7] = if forged[7] == b'A' { b'B' } else { b'A' };
    // Signed by nobody, ended long ago: {"alg":"none"} {"exp":1,"sub":"system:serviceaccount:shop:web"}
    let expired = "eyJhbGciOiJub25lIn0.eyJleHAiOjEsInN1YiI6InN5c3RlbTpzZXJ2aWNlYWNjb3VudDpzaG9wOndlYiJ9.";
    let cases: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("blank", b" \n".to_vec()),
        ("forged", forged),
        ("cut short", good[..good.len() - 1].to_vec()),
        ("prolonged", [good.trim_ascii(), b"A"].concat()),
        ("an expired JWT", expired.as_bytes().to_vec()),
        ("not text", vec![0, 255, 10, 13]),
        ("very long", vec![b'A'; 1 << 14]),
    ];
    let stranger = Member::stranger(&world);
    for (name, token) in cases {
        let refused = stranger.issue(&world, token, signing_request(&[]).1).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{name}: {refused:?}");
    }
    // Longer than any message may be: refused without being read into memory.
    for length in [1 << 20, 24 << 20] {
        assert!(stranger.issue(&world, vec![b'A'; length], signing_request(&[]).1).await.is_err());
    }
    // A good token with what is no signing request.
    for csr in [Vec::new(), b"not a request".to_vec(), vec![0x30; 1 << 16]] {
        assert!(stranger.issue(&world, good.clone(), csr).await.is_err());
    }
    assert!(
        stranger.issue(&world, good, signing_request(&[]).1).await.is_ok(),
        "and the good one still works"
    );
    assert!(operator.output().contains("token-unknown"), "refusals are recorded\n{}", operator.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h5_a_signing_request_contributes_its_key_and_nothing_else() {
    let world = World::new();
    let _operator = world.operator().await;
    let stranger = Member::stranger(&world);
    for names in [
        &[ORDERS][..],
        &[WEB, ORDERS],
        &["spiffe://other.example/ns/shop/sa/web"],
        &["https://evil.example/"],
    ] {
        let (key, request) = signing_request(names);
        // Either nothing at all, or exactly what the token stands for.
        if let Ok(issued) = stranger.issue(&world, token(&world, "web"), request).await {
            assert_eq!(credentials(&issued, &key).leaf().id().as_str(), WEB, "{names:?}");
            for chained in &issued.chain {
                let text = String::from_utf8_lossy(chained);
                assert!(!text.contains("sa/orders") && !text.contains("example"), "{names:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l5_a_certificate_opens_its_own_configuration_only() {
    let world = World::new();
    let operator = world.operator().await;
    let web = Member::enrol(&world, "web").await;
    for other in ["orders", "payments", "report"] {
        let refused = web.subscribe(&world, other).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{other}: {refused:?}");
    }
    assert!(web.subscribe(&world, "nobody").await.is_err(), "one that is not there");
    assert!(web.subscribe(&world, "web").await.is_ok(), "its own");
    let log = operator.output();
    assert!(log.contains("not-own-workload"), "refusals are recorded\n{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_an_earlier_operator_is_void() {
    let world = World::new();
    let operator = world.operator().await;
    let old = token(&world, "web");
    operator.kill();
    let _operator = world.operator().await;
    let stranger = Member::stranger(&world);
    let refused = stranger.issue(&world, old, signing_request(&[]).1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}
