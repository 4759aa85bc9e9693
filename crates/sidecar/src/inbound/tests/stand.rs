//! A sidecar's inbound side with an application behind it, and clients with certificates.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick_agent::Candidate;
use bailiwick_authn::{AuthnError, ClientTls, CredentialStore, TrustStore, connect};
use bailiwick_identity::{MtlsMode, Port, PortTrust, TrustConfig};
use bailiwick_policy::{
    Body, BoundObject, Effect, HttpPermission, Layer, Methods, Mode, Origin, PathTemplate, Permission,
    PolicyObject, PortProtocol, PortSelection, Rule, Snapshot, SnapshotId, SnapshotParts, SubjectClass,
    SubjectEntry,
};
use bailiwick_testkit::TestAuthority;
use bailiwick_wire::Position;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::config::{InboundPort, Limits};
use crate::enforcer;
use crate::inbound;
use crate::shared::{Shared, Worker, for_test};

pub(super) const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";
pub(super) const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
pub(super) const REPORT: &str = "spiffe://cluster.local/ns/shop/sa/report";
const PORT: u16 = 8080;

/// A request as the application saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: usize,
}

/// What differs between stands.
pub(super) struct Setup {
    pub(super) mode: MtlsMode,
    pub(super) protocol: PortProtocol,
    pub(super) authorization_audit: bool,
    pub(super) limits: Limits,
    pub(super) application: Option<SocketAddr>,
    pub(super) pod_addresses: Vec<IpAddr>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            mode: MtlsMode::Strict,
            protocol: PortProtocol::Http,
            authorization_audit: false,
            limits: Limits::default(),
            application: None,
            pod_addresses: Vec::new(),
        }
    }
}

pub(super) struct Stand {
    pub(super) shared: Arc<Shared>,
    pub(super) worker: Arc<Worker>,
    pub(super) authority: TestAuthority,
    pub(super) address: SocketAddr,
    setup: Setup,
    seen: Arc<Mutex<Vec<Seen>>>,
    published: Mutex<u64>,
}

impl Stand {
    /// A sidecar with these rules in force.
    pub(super) async fn with(setup: Setup, objects: Vec<PolicyObject>) -> Self {
        let stand = Self::without_snapshot(setup).await;
        stand.publish(objects);
        stand
    }

    /// A sidecar that has a certificate and no snapshot.
    pub(super) async fn without_snapshot(setup: Setup) -> Self {
        let authority = TestAuthority::new("cluster.local");
        let shared =
            for_test::shared_in_pod(&authority, ORDERS, setup.limits.clone(), setup.pod_addresses.clone());
        let worker = Worker::new(Arc::clone(&shared));
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let forward = match setup.application {
            Some(address) => address,
            None => record_requests(Arc::clone(&seen), "127.0.0.1").await,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let port = InboundPort { listen: address, port: port(), forward };
        tokio::spawn(enforcer::run(Arc::clone(&worker)));
        tokio::spawn(inbound::run(Arc::clone(&worker), listener, port));
        let published = Mutex::new(0);
        Self { shared, worker, authority, address, setup, seen, published }
    }

    /// Puts rules in force, and gives the generation to wait for.
    pub(super) fn publish(&self, objects: Vec<PolicyObject>) -> u64 {
        self.publish_with(self.setup.mode, objects)
    }

    /// Puts rules in force with another mode than the stand's.
    pub(super) fn publish_with(&self, mode: MtlsMode, objects: Vec<PolicyObject>) -> u64 {
        let trust_domains = vec!["cluster.local".parse().unwrap()];
        self.publish_trusting(PortTrust { mode, trust_domains, audit: false, invalid: None }, objects)
    }

    /// Puts rules in force, and what every port believes.
    pub(super) fn publish_trusting(&self, default: PortTrust, objects: Vec<PolicyObject>) -> u64 {
        let mut version = self.published.lock().unwrap();
        *version += 1;
        let mut id = [0; 32];
        id[..8].copy_from_slice(&version.to_be_bytes());
        let id = SnapshotId(id);
        let bound = |object| BoundObject { object: Arc::new(object), ports: PortSelection::All };
        let parts = SnapshotParts {
            workload: self.shared.workload.clone(),
            trust_domain: "cluster.local".parse().unwrap(),
            authorization_audit: self.setup.authorization_audit,
            objects: objects.into_iter().map(bound).collect(),
        };
        let candidate = Candidate {
            snapshot: Snapshot::build(id, parts).unwrap(),
            trust: TrustConfig { default, ports: BTreeMap::new() },
            protocols: BTreeMap::from([(port(), self.setup.protocol)]),
            position: Position {
                epoch: 1,
                marks: BTreeMap::from([("folder".to_owned(), *version)]),
                version: *version,
            },
            id,
        };
        self.shared.config.publish(candidate).unwrap().generation()
    }

    /// Puts rules in force and waits until every call in flight was decided again.
    pub(super) async fn enforce(&self, objects: Vec<PolicyObject>) {
        let generation = self.publish(objects);
        tokio::time::timeout(Duration::from_secs(5), self.shared.config.applied(generation)).await.unwrap();
    }

    /// A proven connection of this identity.
    pub(super) async fn client(&self, id: &str) -> TlsStream<TcpStream> {
        self.prove(id, TcpStream::connect(self.address).await.unwrap()).await.unwrap()
    }

    /// Proves this identity on a connection.
    pub(super) async fn prove(
        &self,
        id: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, AuthnError> {
        let store = Arc::new(CredentialStore::default());
        store.replace(for_test::credentials(&self.authority, id));
        let trust = Arc::new(TrustStore::new(self.authority.bundle()).unwrap());
        let tls = ClientTls::mesh(store, trust);
        let expected = ORDERS.parse().unwrap();
        Ok(connect(stream, &tls, &expected, Duration::from_secs(5)).await?.stream)
    }

    /// Sends bytes on a proven connection and reads until the sidecar closes it or is silent for a while.
    pub(super) async fn exchange(&self, id: &str, bytes: &[u8]) -> String {
        let mut stream = self.client(id).await;
        stream.write_all(bytes).await.unwrap();
        read_for(&mut stream, Duration::from_millis(300)).await
    }

    /// One HTTP/1.1 request with no body.
    pub(super) async fn get(&self, id: &str, method: &str, target: &str, headers: &str) -> String {
        let request =
            format!("{method} {target} HTTP/1.1\r\nhost: orders\r\n{headers}connection: close\r\n\r\n");
        self.exchange(id, request.as_bytes()).await
    }

    /// Another port of the application, on this address.
    pub(super) async fn application(&self, ip: &str) -> SocketAddr {
        record_requests(Arc::clone(&self.seen), ip).await
    }

    /// What the application saw so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads until the end, or until nothing came for this long.
pub(super) async fn read_for(stream: &mut (impl AsyncReadExt + Unpin), silence: Duration) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(read)) = tokio::time::timeout(silence, stream.read(&mut buffer)).await {
        if read == 0 {
            break;
        }
        text.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

pub(super) fn port() -> Port {
    Port::try_from(PORT).unwrap()
}

/// The status line's code of an HTTP/1.1 answer.
pub(super) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed")
}

/// An application that answers every request with `ok`, on a port of this address.
async fn record_requests(seen: Arc<Mutex<Vec<Seen>>>, ip: &str) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request| record_request(request, Arc::clone(&seen)));
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    address
}

async fn record_request(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Full<bytes::Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let collected = body.collect().await?;
    let mut headers = parts.headers;
    if let Some(trailers) = collected.trailers() {
        headers.extend(trailers.clone());
    }
    let body = collected.to_bytes().len();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
    seen.lock().unwrap().push(Seen { method: parts.method.to_string(), target, headers, body });
    Ok(Response::new(Full::from("ok")))
}

/// A Policy with these rules.
pub(super) fn policy(rules: Vec<Rule>) -> PolicyObject {
    object(Layer::Namespace, "orders", rules)
}

/// A policy object.
pub(super) fn object(layer: Layer, name: &str, rules: Vec<Rule>) -> PolicyObject {
    let namespace = match layer {
        Layer::Cluster => "",
        Layer::Namespace => "shop",
    };
    PolicyObject {
        origin: Origin { layer, namespace: namespace.into(), name: name.into() },
        generation: 1,
        mode: Mode::Enforce,
        body: Body::Rules(rules),
    }
}

/// A rule for one identity.
pub(super) fn rule(name: &str, effect: Effect, id: &str, permissions: Vec<Permission>) -> Rule {
    let entry = match id {
        "anyone" => SubjectEntry { class: Some(SubjectClass::Anyone), ..SubjectEntry::default() },
        id => SubjectEntry { spiffe_id: Some(id.parse().unwrap()), ..SubjectEntry::default() },
    };
    Rule {
        name: name.into(),
        effect,
        subjects: vec![entry],
        except_subjects: Vec::new(),
        permissions,
        not_before: None,
        not_after: None,
        message: None,
    }
}

/// HTTP calls with this method on these paths.
pub(super) fn http(method: &str, paths: &[&str]) -> Permission {
    let methods = if method == "*" { Methods::Any } else { Methods::Of(vec![method.into()]) };
    let paths = paths.iter().map(|path| PathTemplate::parse(path).unwrap()).collect();
    Permission::Http(HttpPermission { methods, paths, hosts: None })
}

/// The usual policy: web may GET /orders/{id}, /admin/** and POST /orders.
pub(super) fn usual() -> Vec<PolicyObject> {
    vec![policy(vec![
        rule("web-reads", Effect::Allow, WEB, vec![http("GET", &["/orders/{id}", "/admin/**"])]),
        rule("web-writes", Effect::Allow, WEB, vec![http("POST", &["/orders"])]),
        rule("no-secrets", Effect::Deny, "anyone", vec![http("*", &["/orders/secret"])]),
    ])]
}
