//! What is written down of calls: everything that was decided, and nothing that a caller could abuse.

use std::net::SocketAddr;
use std::time::Duration;

use bailiwick_authn::Credentials;
use bailiwick_testkit::{Flaw, TestAuthority};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::member::Member;
use crate::world::{WEB, World, until};

const DENIED: [(&str, &str); 4] = [
    ("GET", "/orders/secret"),
    ("POST", "/orders/1"),
    ("GET", "/nothing/here"),
    ("GET", "/orders/secret?token=SECRET-QUERY"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_denial_is_recorded_under_the_id_that_the_caller_was_told() {
    let world = World::new();
    let _operator = world.operator().await;
    let application = world.application("orders").await;
    let _sidecar = world.sidecar("orders").await;
    let web = Member::enrol(&world, "web").await;
    let mut mesh = web.connect(world.place("orders").inbound, "orders").await.unwrap();
    for (method, path) in DENIED {
        let secrets = "authorization: Bearer SECRET-TOKEN\r\ncookie: session=SECRET-COOKIE\r\n";
        let answer = mesh.call_with(method, path, secrets).await.unwrap();
        assert_eq!(answer.status, 403, "{method} {path}");
        let id = answer.header("x-bailiwick-decision").unwrap().to_owned();
        let event = world.audited("orders", "the denial", |event| event["decisionId"] == id.as_str()).await;
        assert_eq!(event["event"], "authorization");
        assert_eq!((&event["verdict"], &event["outcome"]), (&"deny".into(), &"refused".into()));
        assert_eq!(event["status"], 403);
        assert_eq!(event["source"]["identity"], WEB);
        assert_eq!(event["destination"]["workload"], "shop/orders");
        assert_eq!(event["method"], method);
        assert_eq!(event["path"], path.split('?').next().unwrap());
        assert!(!event["reasons"].as_array().unwrap().is_empty(), "{event}");
    }
    assert!(application.seen().is_empty());
    let denials = |event: &&Value| event["event"] == "authorization";
    assert_eq!(world.audit("orders").iter().filter(denials).count(), DENIED.len(), "one event a decision");
    assert!(!raw(&world).contains("SECRET"), "no credential and no query is recorded");
}

/// Everything that the sidecar of orders wrote.
fn raw(world: &World) -> String {
    let parts = ["audit/shop.orders.jsonl", "logs/orders.log", "logs/orders.out"];
    parts.map(|part| std::fs::read_to_string(world.path(part)).unwrap_or_default()).concat()
}

async fn refused(member: &Member, address: SocketAddr) {
    // In TLS 1.3 the alert comes after the client's own handshake is done.
    if let Ok(mut mesh) = member.connect(address, "orders").await {
        assert!(mesh.call("GET", "/orders/1").await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_prove_nobody_have_events_of_their_own() {
    let world = World::new();
    let _operator = world.operator().await;
    let application = world.application("orders").await;
    let _sidecar = world.sidecar("orders").await;
    let address = world.place("orders").inbound;
    let answer = crate::client::once(address, "GET", "/orders/1").await.unwrap();
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
    // Control-plane TLS, without a certificate and without the mesh's protocol name.
    assert!(Member::stranger(&world).connect_as_control(address, "orders").await.is_err());
    refused(&Member::stranger(&world), address).await;
    let foreign = TestAuthority::new("cluster.local");
    for made in [foreign.issue(WEB), foreign.issue_flawed(WEB, Flaw::Expired)] {
        let credentials = Credentials::new(made.chain.clone(), made.key_der()).unwrap();
        refused(&Member::with(&world, credentials), address).await;
    }
    let rejected = |event: &Value| event["event"] == "authentication" && event["outcome"] == "rejected";
    let mut events = Vec::new();
    until("five rejections are recorded", async || {
        events = world.audit("orders").into_iter().filter(rejected).collect();
        events.len() >= 5
    })
    .await;
    assert_eq!(events.len(), 5, "{events:?}");
    let reasons: Vec<_> = events.iter().map(|event| event["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["plaintext", "alpn", "no-certificate", "untrusted-chain", "expired"], "{events:?}");
    assert_eq!(events[0]["status"], 401);
    for event in &events {
        assert!(event["identity"].is_null(), "a claim is no proof: {event}");
        assert!(event["connectionId"].is_string() && event["source"].is_string(), "{event}");
    }
    let decided = |event: &Value| event["event"] == "authorization";
    assert!(!world.audit("orders").iter().any(decided), "authorization never ran");
    assert!(application.seen().is_empty());
}

/// A ClientHello (RFC 8446, section 4.1.2) whose server name is whatever one likes.
fn client_hello(server_name: &[u8]) -> Vec<u8> {
    fn with_length(bytes: &[u8], width: usize) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[4 - width..], bytes].concat()
    }
    let extension = |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &with_length(body, 2)].concat();
    let name = [&[0][..], &with_length(server_name, 2)].concat();
    let extensions = [
        extension(0, &with_length(&name, 2)),
        extension(16, &with_length(&with_length(b"bailiwick/1", 1), 2)),
        extension(43, &[2, 3, 4]),
        extension(10, &[0, 2, 0, 29]),
        extension(13, &[0, 2, 4, 3]),
        extension(51, &with_length(&[&[0, 29][..], &with_length(&[9; 32], 2)].concat(), 2)),
    ]
    .concat();
    let body =
        [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &with_length(&extensions, 2)].concat();
    let handshake = [&[1][..], &with_length(&body, 3)].concat();
    [&[22, 3, 1][..], &with_length(&handshake, 2)].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_nothing_that_a_caller_sends_breaks_a_line_or_speaks_to_a_terminal() {
    let world = World::new();
    let _operator = world.operator().await;
    let _application = world.application("orders").await;
    let _sidecar = world.sidecar("orders").await;
    let address = world.place("orders").inbound;
    let web = Member::enrol(&world, "web").await;
    let hostile: [&[u8]; 9] = [
        b"GET /orders/%0a%7b%22event%22:%22INJECTED%22%7d HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /orders/%1b[31mINJECTED HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /orders/\"INJECTED\":\"x HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /orders/\x1b[31mINJECTED HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /%c2%9b31mINJECTED HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /%e2%80%a8INJECTED HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /orders/secret HTTP/1.1\r\nhost: a\x1b[31m\r\n\r\n",
        b"INJ\"ECTED /x HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /orders/secret HTTP/1.1\r\nhost: a\r\nx-y: \xff\x9b31m\r\ncookie: SECRET\x1b\r\n\r\n",
    ];
    for request in hostile {
        let mut mesh = web.connect(address, "orders").await.unwrap();
        let name = String::from_utf8_lossy(request).into_owned();
        if let Ok(answer) = mesh.send(request).await {
            assert!(matches!(answer.status, 200 | 400 | 403), "{name:?}: {answer:?}");
        }
    }
    for name in
        [&b"a\nINJECTED"[..], b"\x1b[31mINJECTED", b"\"INJECTED\":\"", b"\xff\x9bINJECTED", &[b'a'; 300]]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&client_hello(name)).await.unwrap();
        let mut answer = Vec::new();
        // An alert or silence until the deadline, as TLS likes; a reset is as good.
        drop(tokio::time::timeout(Duration::from_millis(300), stream.read_to_end(&mut answer)).await);
    }
    // One more, so that what came before is written.
    let mut mesh = web.connect(address, "orders").await.unwrap();
    assert_eq!(mesh.call("GET", "/last").await.unwrap().status, 403);
    world.audited("orders", "the last denial", |event| event["path"] == "/last").await;

    let text = raw(&world);
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
    assert!(!text.contains('\u{2028}') && !text.contains("SECRET"), "{text:?}");
    for event in world.audit("orders") {
        assert!(matches!(event["event"].as_str(), Some("authorization" | "authentication")), "{event}");
    }
    let injected = |line: &str| line.starts_with("INJECTED") || line.starts_with("{\"event\":\"INJECTED");
    assert!(!text.lines().any(injected), "{text}");
}
