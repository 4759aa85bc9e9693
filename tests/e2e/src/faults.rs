//! A proxy in front of the real API server that does to its client what a bad day does.
//!
//! ```text
//!  client under test --plain HTTP on loopback--> FaultProxy --TLS, as KUBECONFIG says--> API server
//! ```
//!
//! Every answer that passes is the real one. The client's kubeconfig is written by [`FaultProxy::kubeconfig`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kube::Client;
use kube::client::Body as KubeBody;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

type Body = UnsyncBoxBody<Bytes, kube::Error>;

/// What is done to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Everything passes.
    None,
    /// Each answer comes this much later.
    Latency(Duration),
    /// A watch is cut after this time.
    CutWatches(Duration),
    /// A watch is answered 410 Gone, so its client must list again.
    Gone,
    /// Every request is answered 429 with `Retry-After: 1`.
    TooMany,
    /// Nothing is answered: the API server is a black hole.
    Silence,
}

/// The proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    fault: Arc<Mutex<Fault>>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl FaultProxy {
    /// Starts it in front of the cluster of `KUBECONFIG`.
    ///
    /// # Errors
    /// If there is no such cluster, or no port.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let fault = Arc::new(Mutex::new(Fault::None));
        let (client, listener) = runtime.block_on(async {
            let client = Client::try_default().await.context("no cluster")?;
            Ok::<_, anyhow::Error>((client, TcpListener::bind(("127.0.0.1", 0)).await?))
        })?;
        let address = listener.local_addr()?;
        runtime.spawn(serve(listener, client, Arc::clone(&fault)));
        Ok(Self { fault, address, _runtime: runtime })
    }

    /// From now on this is done.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Writes a kubeconfig that leads here.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn kubeconfig(&self, path: &Path) -> Result<()> {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: faults\ncontexts: [{{name: faults, context: {{cluster: faults, user: faults}}}}]\nclusters: [{{name: faults, cluster: {{server: 'http://{}'}}}}]\nusers: [{{name: faults, user: {{}}}}]\n",
            self.address
        );
        Ok(std::fs::write(path, text)?)
    }
}

async fn serve(listener: TcpListener, client: Client, fault: Arc<Mutex<Fault>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (client, fault) = (client.clone(), Arc::clone(&fault));
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(client.clone(), Arc::clone(&fault), request));
            // A client that leaves is no news.
            drop(
                auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

async fn answer(
    client: Client,
    fault: Arc<Mutex<Fault>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let now = *fault.lock().unwrap_or_else(PoisonError::into_inner);
    let watches =
        request.uri().query().is_some_and(|query| query.contains("watch=true") || query.contains("watch=1"));
    match now {
        Fault::Silence => std::future::pending().await,
        Fault::TooMany => return Ok(status(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")),
        Fault::Gone if watches => return Ok(status(StatusCode::GONE, "Expired")),
        Fault::Latency(time) => tokio::time::sleep(time).await,
        Fault::None | Fault::CutWatches(_) | Fault::Gone => {}
    }
    match forward(client, request).await {
        Ok(response) => Ok(match now {
            Fault::CutWatches(time) if watches => response.map(|body| cut(body, time)),
            Fault::None
            | Fault::Latency(_)
            | Fault::CutWatches(_)
            | Fault::Gone
            | Fault::TooMany
            | Fault::Silence => response.map(|body| body.boxed_unsync()),
        }),
        Err(error) => Ok(status(StatusCode::BAD_GATEWAY, &error.to_string())),
    }
}

async fn forward(client: Client, request: Request<Incoming>) -> Result<Response<KubeBody>> {
    let (mut head, body) = request.into_parts();
    // The client adds the server's own address and our credentials.
    head.uri = head.uri.path_and_query().context("no path")?.as_str().parse()?;
    head.headers.remove(http::header::HOST);
    let body = body.collect().await?.to_bytes();
    Ok(client.send(Request::from_parts(head, KubeBody::from(body))).await?)
}

/// Ends a body in the middle after a time, as a broken connection does.
fn cut(body: KubeBody, after: Duration) -> Body {
    let end = tokio::time::Instant::now() + after;
    let frames = futures_stream(body, end);
    StreamBody::new(frames).boxed_unsync()
}

fn futures_stream(
    body: KubeBody,
    end: tokio::time::Instant,
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, kube::Error>> {
    futures_util::stream::unfold(body, move |mut body| async move {
        let frame = tokio::time::timeout_at(end, body.frame()).await.ok().flatten()?;
        Some((frame, body))
    })
}

fn status(code: StatusCode, reason: &str) -> Response<Body> {
    let text = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "a fault of the test", "reason": reason, "code": code.as_u16(),
    });
    let body = Full::new(Bytes::from(text.to_string())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"));
    response
}
