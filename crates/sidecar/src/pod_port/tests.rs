//! The port over loopback, with applications that answer this and that.

use std::sync::atomic::{AtomicUsize, Ordering};

use bailiwick_pod::{Action, Declared, Purpose};
use bailiwick_runtime::metrics::Metrics;
use bailiwick_runtime::ready::Readiness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// What an application was asked, and how often.
#[derive(Debug, Default)]
struct Asked {
    count: AtomicUsize,
    heads: std::sync::Mutex<Vec<String>>,
}

/// An application of HTTP/1 that answers every connection with this, after a while.
async fn application(answer: &'static str, after: Duration) -> (u16, Arc<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Asked::default());
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap();
                seen.count.fetch_add(1, Ordering::Relaxed);
                seen.heads.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).into_owned());
                tokio::time::sleep(after).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    (port, asked)
}

fn declared(purpose: Purpose, action: Action) -> Declared {
    Declared { container: "app".into(), purpose, action, timeout_seconds: 1 }
}

fn http(port: u16, path: &str) -> Action {
    let headers =
        vec![("Host".to_owned(), "shop.example".to_owned()), ("X-Probe".to_owned(), "1".to_owned())];
    Action::Http { port, path: path.into(), tls: false, headers }
}

/// The port itself; `node` is who may run hooks.
async fn start(probes: Vec<Declared>, node: &[&str]) -> SocketAddr {
    let (readiness, starting) = Readiness::starting();
    starting.done();
    let pod = Captured {
        addresses: vec![[127, 0, 0, 1].into()],
        node: node.iter().map(|address| address.parse().unwrap()).collect(),
        probes,
    };
    let port = PodPort::new(&pod, Node::new(&pod.node), Admin::new(readiness, Metrics::new("bailiwick")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(port.serve(listener));
    address
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer).await);
    answer
}

async fn get(address: SocketAddr, path: &str) -> u16 {
    let answer = exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: pod\r\n\r\n")).await;
    let code = answer.split(' ').nth(1).map_or(0, |code| code.parse().unwrap());
    if path.starts_with(PROBE) && code != 0 {
        assert!(
            answer.contains("content-length: 0\r\n") && answer.ends_with("\r\n\r\n"),
            "no body: {answer}"
        );
    }
    code
}

#[tokio::test]
async fn probes_are_run_by_index_as_they_were_declared() {
    let (good, asked) = application("HTTP/1.1 204 No Content\r\n\r\n", Duration::ZERO).await;
    let (broken, _) = application("HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\nwhy?", Duration::ZERO).await;
    let (missing, _) = application("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", Duration::ZERO).await;
    let (slow, _) = application("HTTP/1.1 200 OK\r\n\r\n", Duration::from_secs(5)).await;
    let (odd, _) = application("220 smtp.example\r\n", Duration::ZERO).await;
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let actions = [
        (http(good, "/healthz?full=1"), 200),
        (http(broken, "/"), 500),
        (http(missing, "/"), 502),
        (http(slow, "/"), 504),
        (http(odd, "/"), 502),
        (http(closed, "/"), 503),
        (Action::Tcp { port: good }, 200),
        (Action::Tcp { port: closed }, 503),
        (Action::Grpc { port: closed, service: String::new() }, 503),
        (Action::Grpc { port: missing, service: String::new() }, 502),
    ];
    let probes = actions.iter().map(|(action, _)| declared(Purpose::Readiness, action.clone())).collect();
    let address = start(probes, &[]).await;
    for (index, (action, expected)) in actions.iter().enumerate() {
        assert_eq!(get(address, &format!("/probe/{index}")).await, *expected, "{action:?}");
    }
    let heads = asked.heads.lock().unwrap();
    let head = heads.iter().find(|head| !head.is_empty()).unwrap();
    assert!(head.starts_with("GET /healthz?full=1 HTTP/1.1\r\n"), "{head}");
    for line in
        ["host: shop.example\r\n", "x-probe: 1\r\n", "user-agent: kube-probe/1.0\r\n", "accept: */*\r\n"]
    {
        assert!(head.contains(line), "{line} is missing in {head}");
    }
}

#[tokio::test]
async fn nothing_else_is_run_and_nothing_of_the_request_goes_any_further() {
    let (port, asked) = application("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Duration::ZERO).await;
    let address = start(vec![declared(Purpose::Liveness, http(port, "/live"))], &["127.0.0.1"]).await;
    for path in [
        "/probe/1",
        "/probe/00",
        "/probe/+0",
        "/probe/",
        "/probe/0/",
        "/probe/0/../1",
        "/probe/-1",
        "/config",
    ] {
        assert_eq!(get(address, path).await, 404, "{path}");
    }
    let post = "POST /probe/0 HTTP/1.1\r\nhost: pod\r\ncontent-length: 6\r\n\r\nsecret";
    assert!(exchange(address, post).await.starts_with("HTTP/1.1 405"));
    assert_eq!(asked.count.load(Ordering::Relaxed), 0);
    let with_more = "GET /probe/0?x=secret HTTP/1.1\r\nhost: pod\r\nx-secret: secret\r\n\r\n";
    assert!(exchange(address, with_more).await.starts_with("HTTP/1.1 200"));
    assert!(!asked.heads.lock().unwrap()[0].contains("secret"));
    for path in ["/ready", "/live", "/metrics"] {
        assert_eq!(get(address, path).await, 200, "{path}");
    }
}

#[tokio::test]
async fn however_often_one_asks_the_application_is_asked_seldom() {
    let (port, asked) =
        application("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Duration::from_millis(20)).await;
    let address = start(vec![declared(Purpose::Readiness, http(port, "/"))], &["127.0.0.1"]).await;
    let asking = (0..50).map(|_| get(address, "/probe/0"));
    let answers = futures_util::future::join_all(asking).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    assert!(asked.count.load(Ordering::Relaxed) <= 2);
}

#[tokio::test]
async fn strangers_do_not_keep_the_node_out() {
    let address = start(vec![], &[]).await;
    let mut idle = Vec::new();
    for _ in 0..2 * OF_OTHERS {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(get(address, "/live").await, 0, "closed without an answer");
    let of_node = start(vec![], &["127.0.0.1"]).await;
    let _idle: Vec<_> =
        futures_util::future::join_all((0..2 * OF_OTHERS).map(|_| TcpStream::connect(of_node))).await;
    assert_eq!(get(of_node, "/live").await, 200);
}

#[tokio::test]
async fn hooks_are_run_for_the_node_only_and_their_failure_is_no_answer() {
    let (port, asked) =
        application("HTTP/1.1 503 Not yet\r\ncontent-length: 0\r\n\r\n", Duration::ZERO).await;
    let (odd, _) = application("", Duration::ZERO).await;
    let hooks = || {
        vec![
            declared(Purpose::PostStart, http(port, "/started")),
            declared(Purpose::PreStop, http(odd, "/stop")),
        ]
    };
    let stranger = start(hooks(), &["192.0.2.1"]).await;
    assert_eq!(get(stranger, "/probe/0").await, 403);
    assert_eq!(asked.count.load(Ordering::Relaxed), 0);
    let node = start(hooks(), &["127.0.0.1"]).await;
    // The kubelet does not look at the status of a hook, only whether there is one.
    assert_eq!(get(node, "/probe/0").await, 200);
    assert!(asked.heads.lock().unwrap()[0].contains("user-agent: kube-lifecycle/1.0\r\n"));
    assert_eq!(get(node, "/probe/1").await, 0);
}

#[tokio::test]
async fn redirects_stay_at_the_pod() {
    let (target, asked) = application("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Duration::ZERO).await;
    let location = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{target}/there\r\ncontent-length: 0\r\n\r\n"
    );
    let (first, _) = application(location.leak(), Duration::ZERO).await;
    let away = "HTTP/1.1 302 Found\r\nlocation: http://192.0.2.9/\r\ncontent-length: 0\r\n\r\n";
    let (elsewhere, _) = application(away, Duration::ZERO).await;
    let (endless, count) =
        application("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", Duration::ZERO).await;
    let probes = [first, elsewhere, endless].map(|port| declared(Purpose::Readiness, http(port, "/")));
    let address = start(probes.to_vec(), &[]).await;
    assert_eq!(get(address, "/probe/0").await, 200);
    assert!(asked.heads.lock().unwrap()[0].starts_with("GET /there "));
    assert_eq!(get(address, "/probe/1").await, 200, "the kubelet is content with a redirect to elsewhere");
    assert_eq!(get(address, "/probe/2").await, 502);
    assert_eq!(count.count.load(Ordering::Relaxed), 11);
}

#[tokio::test]
async fn certificates_of_applications_are_not_verified() {
    let authority = bailiwick_testkit::TestAuthority::new("elsewhere.example");
    let issued = authority.issue("spiffe://elsewhere.example/ns/a/sa/b");
    let key = issued.key_der();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(issued.chain.iter().cloned().map(Into::into).collect(), key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(settings));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let action = Action::Http { port, path: "/".into(), tls: true, headers: Vec::new() };
    let address = start(vec![declared(Purpose::Liveness, action)], &[]).await;
    assert_eq!(get(address, "/probe/0").await, 200);
}

#[tokio::test]
async fn grpc_health_is_asked_by_service() {
    use bytes::Buf as _;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                assert_eq!(request.headers()["content-type"], "application/grpc");
                let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
                let mut named = body.slice(5..);
                let status: u8 = if named.has_remaining() {
                    named.get_u8();
                    2
                } else {
                    1
                };
                let mut answer = vec![0, 0, 0, 0, 2, 8, status];
                answer.truncate(7);
                let trailers = std::iter::once(("grpc-status", "0"))
                    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                    .collect::<::http::HeaderMap>();
                let body =
                    http_body_util::BodyExt::with_trailers(Full::new(Bytes::from(answer)), async move {
                        Some(Ok(trailers))
                    });
                Ok::<_, std::convert::Infallible>(Response::new(body))
            });
            let settings = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            tokio::spawn(settings.serve_connection(TokioIo::new(stream), service));
        }
    });
    let probes = ["", "shop.v1.Orders"]
        .map(|service| declared(Purpose::Liveness, Action::Grpc { port, service: service.into() }));
    let address = start(probes.to_vec(), &[]).await;
    assert_eq!(get(address, "/probe/0").await, 200);
    assert_eq!(get(address, "/probe/1").await, 502, "NOT_SERVING");
}
