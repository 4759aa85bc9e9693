//! HTTP/2 and gRPC: the same decisions as over HTTP/1.1.

use bailiwick_policy::{Effect, GrpcPermission, Methods, Permission};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::stand::{Setup, Stand, WEB, http, policy, rule, usual};

type Sender = SendRequest<Empty<bytes::Bytes>>;

async fn sender(stand: &Stand) -> Sender {
    let stream = TokioIo::new(stand.client(WEB).await);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(sender: &mut Sender, request: http::request::Builder) -> Response<Incoming> {
    sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn b2_host_and_authority_must_agree() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let mut sender = sender(&stand).await;
    let same = Request::get("http://orders:8080/orders/1").header("host", "ORDERS.");
    assert_eq!(send(&mut sender, same).await.status(), 200);
    let other = Request::get("http://orders/orders/1").header("host", "other");
    assert_eq!(send(&mut sender, other).await.status(), 400);
    let user = Request::get("http://user@orders/orders/1");
    assert_eq!(send(&mut sender, user).await.status(), 400);
    assert_eq!(stand.seen().len(), 1);
}

#[tokio::test]
async fn b3_method_case_is_refused() {
    let stand = Stand::with(Setup::default(), usual()).await;
    let mut sender = sender(&stand).await;
    for method in ["get", "Get", "pOST"] {
        let request = Request::builder().method(method).uri("http://orders/orders/1");
        assert_eq!(send(&mut sender, request).await.status(), 400, "{method}");
    }
    assert!(stand.seen().is_empty());
}

#[tokio::test]
async fn f2_grpc_rules_are_exact() {
    let grpc = |service: &str, method: &str| {
        Permission::Grpc(GrpcPermission {
            service: service.into(),
            methods: Methods::Of(vec![method.into()]),
        })
    };
    let rules = vec![rule("get", Effect::Allow, WEB, vec![grpc("pkg.Svc", "M")])];
    let stand = Stand::with(Setup::default(), vec![policy(rules)]).await;
    let mut sender = sender(&stand).await;
    let cases = [
        ("/pkg.Svc/M", "application/grpc", Some("200")),
        ("/pkg.Svc/M", "application/grpc+proto", Some("200")),
        ("/pkg.Svc/M?x", "application/grpc", Some("200")),
        ("/pkg.Svc/M/", "application/grpc", None),
        ("/pkg.Svc//M", "application/grpc", None),
        ("/PKG.svc/m", "application/grpc", None),
        ("/pkg%2ESvc/M", "application/grpc", None),
        ("/pkg.Svc/M", "application/grpc-evil", None),
        ("/pkg.Svc/M", "text/plain", None),
    ];
    for (path, kind, expected) in cases {
        let before = stand.seen().len();
        let request = Request::post(format!("http://orders{path}")).header("content-type", kind);
        let response = send(&mut sender, request).await;
        let passed = stand.seen().len() > before;
        assert_eq!(passed, expected.is_some(), "{path} {kind}");
        if !passed && kind.starts_with("application/grpc") && !kind.contains("evil") {
            assert_eq!(response.status(), 200, "a gRPC refusal is told in its own words");
            assert!(["7", "13"].contains(&response.headers()["grpc-status"].to_str().unwrap()), "{path}");
        }
    }
}

#[tokio::test]
async fn a_canonical_path_is_forwarded_over_http2_too() {
    let stand = Stand::with(
        Setup::default(),
        vec![policy(vec![rule("r", Effect::Allow, WEB, vec![http("*", &["/**"])])])],
    )
    .await;
    let mut sender = sender(&stand).await;
    let request = Request::put("http://orders/%61%2d%c3%a9?q=%zz").header("te", "trailers");
    assert_eq!(send(&mut sender, request).await.status(), 200);
    let seen = stand.seen();
    assert_eq!(seen[0].target, "/a-%C3%A9?q=%zz");
    assert_eq!(seen[0].method, "PUT");
}
