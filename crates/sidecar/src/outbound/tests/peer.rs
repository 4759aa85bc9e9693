//! Two ends: an endpoint that counts its connections, and a sidecar with a way to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick_authn::{CredentialStore, ServerTls, TrustStore, accept};
use bailiwick_policy::PortProtocol;
use bailiwick_testkit::TestAuthority;
use bailiwick_wire::{Destination, Endpoint, Transport};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Limits;
use crate::metrics::Direction;
use crate::outbound::route::Route;
use crate::outbound::serve::{Held, connection, serve};
use crate::shared::{Worker, for_test};

pub(super) const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
pub(super) const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";
pub(super) const OTHER: &str = "spiffe://cluster.local/ns/shop/sa/other";

/// What an endpoint saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) connections: AtomicUsize,
    pub(super) refused: AtomicUsize,
    pub(super) requests: Mutex<Vec<HeaderMap>>,
}

/// How an endpoint speaks inside mTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// HTTP of either version; a WebSocket echoes.
    Http,
    /// As `Http`, but every connection goes away after its first answer, as in a drain.
    HttpOnce,
    /// Greets, echoes, and ends with "bye" once the client has finished.
    Bytes,
}

/// Starts an endpoint that proves `id`.
pub(super) async fn endpoint(authority: &TestAuthority, id: &str, speaks: Speaks) -> (SocketAddr, Arc<Seen>) {
    let credentials = Arc::new(CredentialStore::default());
    credentials.replace(for_test::credentials(authority, id));
    let trust = Arc::new(TrustStore::new(authority.bundle()).unwrap());
    let tls = Arc::new(ServerTls::mesh(credentials, trust));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (tls, seen) = (Arc::clone(&tls), Arc::clone(&counted));
            tokio::spawn(async move {
                let domains = ["cluster.local".parse().unwrap()];
                let Ok(accepted) = accept(socket, &tls, &domains, Duration::from_secs(5)).await else {
                    seen.refused.fetch_add(1, Ordering::SeqCst);
                    return;
                };
                seen.connections.fetch_add(1, Ordering::SeqCst);
                match speaks {
                    Speaks::Http => http(accepted.stream, seen, false).await,
                    Speaks::HttpOnce => http(accepted.stream, seen, true).await,
                    Speaks::Bytes => bytes(accepted.stream).await,
                }
            });
        }
    });
    (address, seen)
}

async fn http<S>(stream: S, seen: Arc<Seen>, once: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (first, going_away) = tokio::sync::watch::channel(false);
    let service = service_fn(move |request: Request<Incoming>| {
        first.send_replace(once);
        answer(request, Arc::clone(&seen))
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut going_away = going_away;
    let went_away = tokio::select! {
        ended = connection.as_mut() => return drop(ended),
        went_away = going_away.wait_for(|away| *away) => went_away.is_ok(),
    };
    if went_away {
        connection.as_mut().graceful_shutdown();
    }
    drop(connection.await);
}

async fn answer(
    mut request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    seen.requests.lock().unwrap().push(request.headers().clone());
    if request.headers().contains_key("upgrade") {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut word = [0; 4];
            stream.read_exact(&mut word).await.unwrap();
            stream.write_all(&word).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let builder =
            Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
        return Ok(builder.body(Full::default()).unwrap());
    }
    let text = format!("{:?} {}", request.version(), request.uri().path());
    if request.uri().path() == "/large" {
        return Ok(Response::new(Full::from(vec![b'x'; 4 * 1024 * 1024])));
    }
    let received = request.into_body().collect().await?.to_bytes();
    Ok(Response::builder().header("x-length", received.len()).body(Full::from(text)).unwrap())
}

async fn bytes<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(mut stream: S) {
    stream.write_all(b"hello ").await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    stream.write_all(&received).await.unwrap();
    stream.write_all(b" bye").await.unwrap();
    stream.shutdown().await.unwrap();
}

/// A sidecar of `web`, listening for its application.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) worker: Arc<Worker>,
    pub(super) address: SocketAddr,
}

impl Sidecar {
    /// With a way to these endpoints.
    pub(super) async fn to(authority: &TestAuthority, endpoints: Vec<Endpoint>) -> Self {
        Self::leading(authority, Destination::Endpoints(endpoints.into())).await
    }

    /// With any answer of the control plane.
    pub(super) async fn leading(authority: &TestAuthority, destination: Destination) -> Self {
        Self::over(authority, Route::new("shop/orders:8080".parse().unwrap()).answered(destination)).await
    }

    /// With a control plane that does not answer.
    pub(super) async fn unanswered(authority: &TestAuthority) -> Self {
        Self::over(authority, Route::new("shop/orders:8080".parse().unwrap())).await
    }

    /// In a pod, for an application that calls this address.
    pub(super) async fn called_at(
        authority: &TestAuthority,
        called: SocketAddr,
        destination: Destination,
    ) -> Self {
        Self::redirecting(authority, Route::to_address(called).unwrap().answered(destination)).await
    }

    /// In a pod, with a control plane that does not answer.
    pub(super) async fn called_at_unanswered(authority: &TestAuthority, called: SocketAddr) -> Self {
        Self::redirecting(authority, Route::to_address(called).unwrap()).await
    }

    async fn redirecting(authority: &TestAuthority, route: Route) -> Self {
        let worker = Worker::new(for_test::shared(authority, WEB, Limits::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, route) = (listener.local_addr().unwrap(), Arc::new(route));
        let accepting = Arc::clone(&worker);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (worker, shared) = (Arc::clone(&accepting), &accepting.shared);
                let open = shared.connections.enter(Direction::Outbound).unwrap();
                let held = Held::of_pod(open, shared.drain.watch());
                tokio::spawn(connection(worker, Arc::clone(&route), stream, held));
            }
        });
        Self { worker, address }
    }

    async fn over(authority: &TestAuthority, route: Route) -> Self {
        let worker = Worker::new(for_test::shared(authority, WEB, Limits::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(Arc::clone(&worker), listener, Arc::new(route)));
        Self { worker, address }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One HTTP/1.1 call on a connection of its own.
    pub(super) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get(path).header("host", "orders.shop");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap()).await
    }
}

/// Reads an answer to its end.
pub(super) async fn read(response: Response<Incoming>) -> (u16, HeaderMap, String) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&body).into_owned())
}

/// A meshed endpoint.
pub(super) fn mesh(address: SocketAddr, id: &str, protocol: PortProtocol) -> Endpoint {
    Endpoint { address, transport: Transport::Mesh(id.parse().unwrap()), protocol, workload: None }
}
