//! The corpus of docs/policy-semantics.md and tests/vectors, through a sidecar: real TLS, real parsers, a real
//! application behind, and the audit event of each decision.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick_agent::audit::AuditSink;
use bailiwick_agent::{Candidate, ConfigStore};
use bailiwick_authn::{ClientTls, CredentialStore, TrustStore, connect};
use bailiwick_identity::{MtlsMode, SpiffeId, TrustBundle};
use bailiwick_policy::{Caller, Snapshot, SnapshotId};
use bailiwick_testkit::TestAuthority;
use bailiwick_testkit::vectors::{Asked, Expect, Observed, Request, Vector, VectorCall, load, run};
use bailiwick_wire::Position;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::stand::{Setup, Stand, WEB, read_for, status, usual};
use crate::config::{InboundPort, Limits};
use crate::inbound;
use crate::inbound::protocol::Stream;
use crate::shared::{Shared, Worker, for_test};

/// An answer is there at once; a sidecar that says nothing for so long would be a failure.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is sent where a vector calls over TCP.
const BYTES: &[u8] = b"\x00\x01hello";

/// What the application saw.
#[derive(Clone, Default)]
struct Application {
    calls: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

impl Application {
    /// Answers HTTP, or echoes bytes; counts both.
    async fn start(http: bool) -> (Self, SocketAddr) {
        let application = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = application.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serving = serving.clone();
                tokio::spawn(async move {
                    if http { serving.http(stream).await } else { serving.echo(stream).await }
                });
            }
        });
        (application, address)
    }

    async fn http(self, stream: TcpStream) {
        let service = hyper::service::service_fn(move |_request| {
            self.calls.fetch_add(1, Ordering::SeqCst);
            self.bytes.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, std::convert::Infallible>(http::Response::new("served".to_owned())) }
        });
        let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        drop(builder.serve_connection(TokioIo::new(stream), service).await);
    }

    async fn echo(self, mut stream: TcpStream) {
        let mut buffer = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            self.bytes.fetch_add(read, Ordering::SeqCst);
            if self.bytes.load(Ordering::SeqCst) == BYTES.len() {
                self.calls.fetch_add(1, Ordering::SeqCst);
            }
            drop(stream.write_all(&buffer[..read]).await);
        }
    }
}

/// Audit lines, in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One authority a trust domain.
#[derive(Default)]
struct Authorities(BTreeMap<String, TestAuthority>);

impl Authorities {
    fn of(&mut self, id: &SpiffeId) -> &TestAuthority {
        let domain = id.trust_domain().as_str();
        self.0.entry(domain.to_owned()).or_insert_with(|| TestAuthority::new(domain))
    }

    fn bundle(&self) -> TrustBundle {
        let mut bundle = TrustBundle::default();
        for authority in self.0.values() {
            for (domain, roots) in authority.bundle().iter() {
                bundle.insert(domain.clone(), roots.to_vec()).unwrap();
            }
        }
        bundle
    }
}

/// A sidecar that enforces what one call of a vector meets.
struct VectorStand {
    shared: Arc<Shared>,
    address: SocketAddr,
    application: Application,
    lines: Lines,
}

impl VectorStand {
    async fn start(asked: &Asked, authorities: &mut Authorities) -> Self {
        let lines = Lines::default();
        let own = &asked.config.identity;
        let base = for_test::shared(authorities.of(own), own.as_str(), Limits::default());
        let mut shared = Arc::into_inner(base).unwrap();
        shared.workload = asked.workload.clone();
        shared.audit = AuditSink::to_writer(lines.clone(), 64).unwrap();
        shared.config = Arc::new(ConfigStore::default());
        shared.trust.replace(authorities.bundle()).unwrap();
        let shared = Arc::new(shared);
        let id = SnapshotId([1; 32]);
        let config = &asked.config;
        let candidate = Candidate {
            snapshot: Snapshot::build(id, config.snapshot.clone()).unwrap(),
            trust: config.trust.clone(),
            protocols: config.protocols.clone(),
            position: Position { epoch: 1, marks: BTreeMap::new(), version: 1 },
            id,
        };
        shared.config.publish(candidate).unwrap();
        let (application, forward) = Application::start(asked.request.is_some()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let port = InboundPort { listen: address, port: asked.port, forward };
        tokio::spawn(inbound::run(Worker::new(Arc::clone(&shared)), listener, port));
        Self { shared, address, application, lines }
    }

    fn events(&self) -> Vec<Value> {
        assert!(self.shared.audit.flush(PATIENCE));
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Makes the call from outside, and gives what an outsider sees: an HTTP status, or bytes.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Status(u16),
    Echo,
    Closed,
}

async fn make(stand: &VectorStand, asked: &Asked, authorities: &mut Authorities) -> Seen {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(asked.source.ip(), 0)).unwrap();
    let plain = socket.connect(stand.address).await.unwrap();
    let mode = asked.config.trust.port(asked.port).mode;
    let id = match &asked.caller {
        Caller::Identity(id) if mode != MtlsMode::Disabled => id,
        Caller::Identity(_) | Caller::Anonymous => return speak(plain, asked).await,
    };
    let store = Arc::new(CredentialStore::default());
    store.replace(for_test::credentials(authorities.of(id), id.as_str()));
    let trust = Arc::new(TrustStore::new(authorities.bundle()).unwrap());
    let tls = ClientTls::mesh(store, trust);
    match connect(plain, &tls, &asked.config.identity, PATIENCE).await {
        Ok(connected) => speak(connected.stream, asked).await,
        Err(_) => Seen::Closed,
    }
}

async fn speak(stream: impl Stream + 'static, asked: &Asked) -> Seen {
    match &asked.request {
        None => speak_bytes(stream).await,
        Some(request) if request.grpc => speak_http2(stream, request).await,
        Some(request) => speak_http1(stream, request).await,
    }
}

async fn speak_bytes(mut stream: impl Stream) -> Seen {
    drop(stream.write_all(BYTES).await);
    let mut echo = [0; BYTES.len()];
    match tokio::time::timeout(PATIENCE, stream.read_exact(&mut echo)).await {
        Ok(Ok(_)) if echo == BYTES => Seen::Echo,
        // A port that is declared HTTP answers what is none.
        Ok(Ok(_)) if echo.starts_with(b"HTTP/1") => Seen::Status(400),
        Ok(_) => Seen::Closed,
        Err(_) => panic!("neither answered nor closed"),
    }
}

async fn speak_http1(mut stream: impl Stream, request: &Request) -> Seen {
    let Request { method, target, host, content_type, .. } = request;
    let kind = content_type.as_ref().map(|kind| format!("content-type: {kind}\r\n")).unwrap_or_default();
    let text = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{kind}connection: close\r\n\r\n");
    drop(stream.write_all(text.as_bytes()).await);
    let answer = read_for(&mut stream, PATIENCE).await;
    let Some(status) = answer.split(' ').nth(1).and_then(|status| status.parse().ok()) else {
        return Seen::Closed;
    };
    let grpc = answer.lines().find_map(|line| line.strip_prefix("grpc-status: "));
    Seen::Status(grpc.map_or(status, |grpc| of_grpc(grpc, status)))
}

/// A gRPC status in the terms of HTTP.
fn of_grpc(grpc: &str, otherwise: u16) -> u16 {
    match grpc {
        "7" => 403,
        "13" => 400,
        "14" => 503,
        "16" => 401,
        _ => otherwise,
    }
}

async fn speak_http2(stream: impl Stream + 'static, request: &Request) -> Seen {
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = handshake else { return Seen::Closed };
    tokio::spawn(connection);
    let mut asked = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("http://{}{}", request.host, request.target));
    if let Some(kind) = &request.content_type {
        asked = asked.header("content-type", kind);
    }
    let answer = sender.send_request(asked.body(Empty::<bytes::Bytes>::new()).unwrap());
    match tokio::time::timeout(PATIENCE, answer).await.expect("an answer") {
        Err(_) => Seen::Closed,
        Ok(answer) => {
            let grpc = answer.headers().get("grpc-status").and_then(|value| value.to_str().ok());
            Seen::Status(of_grpc(grpc.unwrap_or_default(), answer.status().as_u16()))
        }
    }
}

/// A connection that was closed: why is in the audit log, a moment later at most.
async fn why_closed(stand: &VectorStand) -> Expect {
    for _ in 0..50 {
        let events = stand.events();
        if let Some(event) = events.last() {
            let rejected = event["event"] == "authentication";
            return if rejected { Expect::Unauthenticated } else { Expect::Deny };
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("closed, and nothing is recorded");
}

fn rule_of(event: &Value) -> Option<String> {
    let reason = event["reasons"].get(0)?;
    let text = |field: &str| reason[field].as_str().unwrap_or_default();
    let (kind, namespace, name, rule) = (text("kind"), text("namespace"), text("name"), text("rule"));
    if kind == "Default" {
        return (rule == "default").then(|| rule.to_owned());
    }
    let slash = if namespace.is_empty() { "" } else { "/" };
    let object = format!("{kind} {namespace}{slash}{name}");
    Some(if rule.starts_with("(invalid: ") { object } else { format!("{object} {rule}") })
}

fn would_be_of(events: &[Value], decision: Option<&Value>) -> Option<Expect> {
    if events.iter().any(|event| event["outcome"] == "wouldReject") {
        return Some(Expect::Unauthenticated);
    }
    match decision?["wouldBe"]["verdict"].as_str()? {
        "allow" => Some(Expect::Allow),
        _ => Some(Expect::Deny),
    }
}

async fn observe(asked: &Asked, authorities: &mut Authorities) -> Result<Observed, String> {
    if let Caller::Identity(id) = &asked.caller {
        authorities.of(id);
    }
    let stand = VectorStand::start(asked, authorities).await;
    let seen = make(&stand, asked, authorities).await;
    let expect = match seen {
        Seen::Echo | Seen::Status(200) => Expect::Allow,
        Seen::Status(400 | 405) => Expect::Invalid,
        Seen::Status(401) => Expect::Unauthenticated,
        Seen::Status(403) => Expect::Deny,
        Seen::Status(503) => Expect::Unavailable,
        Seen::Status(other) => return Err(format!("answered {other}")),
        Seen::Closed => why_closed(&stand).await,
    };
    let calls = stand.application.calls.load(Ordering::SeqCst);
    let bytes = stand.application.bytes.load(Ordering::SeqCst);
    if expect == Expect::Allow && calls != 1 {
        return Err(format!("the application was called {calls} times"));
    }
    if expect != Expect::Allow && bytes != 0 {
        return Err(format!("{expect:?}, and the application was reached"));
    }
    let events = stand.events();
    let mut decisions = events.iter().filter(|event| event["event"] == "authorization");
    let decision = decisions.next();
    if decisions.next().is_some() {
        return Err(format!("more than one decision: {events:?}"));
    }
    let decided = decision.filter(|decision| {
        let allowed = decision["outcome"] == "forwarded";
        // A permitted connection may still be refused for its first bytes: no rule decided that.
        allowed == (expect == Expect::Allow)
    });
    Ok(Observed { expect, rule: decided.and_then(rule_of), would_be: would_be_of(&events, decided) })
}

#[test]
fn the_corpus_through_a_sidecar() {
    let mut authorities = Authorities::default();
    let (mut made, mut passed_over) = (0, 0);
    run(&load(), |_: &Vector, call: &VectorCall, asked: &Asked| {
        // This engine lives now, and on this machine.
        let here = |ip: IpAddr| ip.is_loopback() && ip.is_ipv4();
        // The HTTP/1 parser cuts a fragment off before anybody sees it, for the decision and for the application alike:
        // `a_fragment_is_neither_decided_nor_forwarded`.
        let cut = |request: &Request| request.target.contains('#');
        if call.now.is_some() || !here(asked.source.ip()) || asked.request.as_ref().is_some_and(cut) {
            passed_over += 1;
            return Ok(None);
        }
        made += 1;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(observe(asked, &mut authorities)).and_then(|observed| observed.in_full(call))
    });
    println!("{made} calls made, {passed_over} passed over: another time or another machine's address");
    assert!(made > passed_over, "{made} of {}", made + passed_over);
}

#[tokio::test]
async fn a_fragment_is_neither_decided_nor_forwarded() {
    let stand = Stand::with(Setup::default(), usual()).await;
    for (target, status_code) in
        [("/orders/1#/../../admin", "200"), ("/orders/secret#1", "403"), ("/x#/orders/1", "403")]
    {
        let answer = stand.get(WEB, "GET", target, "").await;
        assert!([status_code, "400"].contains(&status(&answer)), "{target}: {answer}");
    }
    assert!(stand.seen().iter().all(|seen| seen.target == "/orders/1"), "{:?}", stand.seen());
}
