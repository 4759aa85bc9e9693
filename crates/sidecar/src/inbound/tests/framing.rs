//! HTTP/1 framing and identity headers: what the application executes is what was authorized.

use super::stand::{Setup, Stand, WEB, status, usual};

/// Requests that must be refused with 400 and never reach the application.
#[tokio::test]
async fn d1_d2_ambiguous_framing_is_refused() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let cases = [
        "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 0001\r\n\r\nx",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy",
        "POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length : 1\r\n\r\nx",
        "GET /orders/1 HTTP/1.1\r\n\r\n",
        "GET /orders/1 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET http://b/orders/1 HTTP/1.1\r\nhost: a\r\n\r\n",
        "get /orders/1 HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET orders/1 HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /orders/1 HTTP/1.0\r\nhost: a\r\n\r\n",
        "GET /orders/../orders/1 HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /orders%2f1 HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    for case in cases {
        let answer = stand.exchange(WEB, case.as_bytes()).await;
        assert_eq!(status(&answer), "400", "{case:?}: {answer:?}");
    }
    assert!(stand.seen().is_empty(), "{:?}", stand.seen());
}

#[tokio::test]
async fn e4_connect_is_not_served() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let answer = stand
        .exchange(
            WEB,
            b"CONNECT orders:1 HTTP/1.1\r\nhost: orders:1\r\n\r\nGET /orders/1 HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    assert_eq!(status(&answer), "405", "{answer}");
    assert!(stand.seen().is_empty());
}

#[tokio::test]
async fn d1_both_framings_lead_to_one_request_and_no_reuse() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let smuggle = b"POST /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /orders/1 HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = stand.exchange(WEB, smuggle).await;
    let seen = stand.seen();
    assert!(seen.len() <= 1, "{seen:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer, then closed: {answer:?}");
}

#[tokio::test]
async fn d11_pipelined_requests_are_decided_one_by_one() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let mut requests = String::new();
    for index in 0..100 {
        let target = if index % 2 == 0 { format!("/orders/{index}") } else { "/orders/secret".to_owned() };
        requests.push_str(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"));
    }
    let answer = stand.exchange(WEB, requests.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 50);
    assert_eq!(answer.matches("HTTP/1.1 403").count(), 50);
    let targets: Vec<_> = stand.seen().into_iter().map(|seen| seen.target).collect();
    let expected: Vec<_> = (0..100).step_by(2).map(|index| format!("/orders/{index}")).collect();
    assert_eq!(targets, expected, "order is kept");
}

#[tokio::test]
async fn c1_c2_identity_headers_and_trailers_never_pass() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let request = "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\
        connection: close, x-bailiwick-client-id, x-forwarded-for\r\n\
        x-forwarded-client-cert: x\r\nX_Forwarded_Client_Cert: x\r\nl5d-client-id: x\r\n\
        x_bailiwick_client_id: x\r\ntrailer: x-bailiwick-client-id\r\n\r\n\
        2\r\nhi\r\n0\r\nx-bailiwick-client-id: spiffe://evil/x\r\nl5d-client-id: x\r\n\r\n";
    let answer = stand.exchange(WEB, request.as_bytes()).await;
    assert_eq!(status(&answer), "200", "{answer}");
    let seen = stand.seen();
    let headers = &seen[0].headers;
    assert_eq!(headers.get_all("x-bailiwick-client-id").iter().collect::<Vec<_>>(), [WEB]);
    for name in
        ["x-forwarded-client-cert", "x_forwarded_client_cert", "l5d-client-id", "x_bailiwick_client_id"]
    {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(seen[0].body, 2);
}

#[tokio::test]
async fn e1_an_upgrade_to_http2_is_no_tunnel() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let request = "GET /orders/1 HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    let answer = stand.exchange(WEB, request.as_bytes()).await;
    assert_eq!(status(&answer), "200", "{answer}");
    let seen = stand.seen();
    assert!(!seen[0].headers.contains_key("upgrade") && !seen[0].headers.contains_key("http2-settings"));
}

#[tokio::test]
async fn a9_bytes_that_are_no_text_are_refused() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let escaped = ["%00", "a%0d%0aX:y", "%zz", "%", "%c0%af", "%7f", "%c2%85"];
    let mut targets: Vec<Vec<u8>> =
        escaped.iter().map(|text| format!("/orders/{text}").into_bytes()).collect();
    targets.extend([0x80, 0xa0, 0xc3, 0xff].map(|byte| [b"/orders/".as_slice(), &[byte]].concat()));
    for target in targets {
        let request =
            [b"GET ".as_slice(), &target, b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"].concat();
        let answer = stand.exchange(WEB, &request).await;
        assert_eq!(status(&answer), "400", "{:?}: {answer:?}", String::from_utf8_lossy(&target));
    }
    assert!(stand.seen().is_empty());
}

/// The head of such a request is sound, so it is decided; its body breaks on the way, and the application must never
/// take what came for a whole request, nor what follows for another.
#[tokio::test]
async fn d3_a_broken_chunk_is_no_request_and_hides_none() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let chunks = [
        "11111111111111111\r\nx\r\n0\r\n\r\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        "+1\r\nx\r\n0\r\n\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "1\r\nxy\r\n0\r\n\r\n",
        "1\nx\n0\n\n",
    ];
    for chunk in chunks {
        let request = format!(
            "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}GET /orders/7 HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        let answer = stand.exchange(WEB, request.as_bytes()).await;
        assert_ne!(status(&answer), "200", "{chunk:?}: {answer:?}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{chunk:?}: {answer:?}");
    }
    assert!(stand.seen().is_empty(), "{:?}", stand.seen());
}
