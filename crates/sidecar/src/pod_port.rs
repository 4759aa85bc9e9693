//! The port on the pod's own addresses that is not captured: for the kubelet and for scrapes.
//!
//! | path | answer |
//! |---|---|
//! | `/ready`, `/live`, `/metrics` | as the admin server on loopback |
//! | `/probe/<index>` | a declared probe of the pod, run now: a status, no body; hooks for the node only |
//!
//! It must never show `/config`, take a request's body, path or header any further than to here, or run what the pod
//! did not declare. Whoever reaches it can cost no more than a few connections and four runs of each probe a second.
//!
//! ```text
//!  kubelet --/probe/2--> sidecar --what the pod declared--> the pod's own address, past the inbound policy
//! ```

mod grpc;
mod http;
mod probe;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, Request, Response, StatusCode};
use bailiwick_runtime::accept::Acceptor;
use bailiwick_runtime::admin::Admin;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::probe::{Outcome, Probe};
use crate::config::Captured;
use crate::node::Node;

/// What begins the path of a probe; its index follows.
const PROBE: &str = "/probe/";
/// Connections at once: of the node, which asks for every probe of the pod, and of everybody else together, who must
/// not keep the node out.
const OF_THE_NODE: usize = 128;
const OF_OTHERS: usize = 32;
/// How long a client may take to send its request's head.
const HEAD: Duration = Duration::from_secs(5);
/// The largest head; hyper's least is 8 KiB.
const MAXIMUM_HEAD: usize = 8 * 1024;
/// How long a client may take over everything that is not the probe itself.
const EXCHANGE: Duration = Duration::from_secs(15);

/// What the port answers from.
#[derive(Debug)]
pub(crate) struct PodPort {
    admin: Admin,
    probes: Vec<Probe>,
    node: Node,
    node_places: Semaphore,
    other_places: Semaphore,
}

/// The request was a hook, and it failed: the kubelet looks only at whether there was an answer, so there is none.
#[derive(Debug, thiserror::Error)]
#[error("the hook failed")]
struct HookFailed;

impl PodPort {
    /// For a pod on a node; `admin` shows no configuration.
    pub(crate) fn new(pod: &Captured, node: Node, admin: Admin) -> Arc<Self> {
        // Not empty: the configuration sees to that.
        let target = pod.addresses.first().copied().unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let probes = pod.probes.iter().map(|declared| Probe::new(declared.clone(), target)).collect();
        Arc::new(Self {
            admin,
            probes,
            node,
            node_places: Semaphore::new(OF_THE_NODE),
            other_places: Semaphore::new(OF_OTHERS),
        })
    }

    /// Answers until the process ends.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut acceptor = Acceptor::new(listener);
        loop {
            let (stream, source) = acceptor.accept().await;
            tokio::spawn(Arc::clone(&self).connection(stream, source));
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, source: SocketAddr) {
        let of_node = self.node.is(source.ip());
        let places = if of_node { &self.node_places } else { &self.other_places };
        // Over the limit it is closed at once: waiting would only fill the queue of those who come next.
        let Ok(_place) = places.try_acquire() else { return };
        let service = service_fn(|request: Request<Incoming>| {
            let port = Arc::clone(&self);
            async move { port.answer(request.method(), request.uri().path(), of_node).await }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .keep_alive(false)
            .max_buf_size(MAXIMUM_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let longest = self.probes.iter().map(Probe::longest).max().unwrap_or_default();
        if let Ok(Err(error)) = timeout(longest.saturating_add(EXCHANGE), connection).await {
            tracing::debug!(%source, %error, "a connection to the pod's probe port failed");
        }
    }

    async fn answer(
        &self,
        method: &Method,
        path: &str,
        of_node: bool,
    ) -> Result<Response<Full<Bytes>>, HookFailed> {
        let Some(index) = path.strip_prefix(PROBE) else {
            return Ok(self.admin.answer(method, path));
        };
        let Some(probe) = self.probe(index) else { return Ok(status(StatusCode::NOT_FOUND)) };
        if method != Method::GET {
            return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
        }
        if !probe.is_hook() {
            return Ok(status(probe.fresh().await.status()));
        }
        // FAIL-CLOSED: a hook changes the application, so whoever is not known to be the node runs none.
        if !of_node {
            return Ok(status(StatusCode::FORBIDDEN));
        }
        match probe.run().await {
            Outcome::Success => Ok(status(StatusCode::OK)),
            Outcome::Answered(_) => Ok(status(StatusCode::OK)),
            Outcome::Refused | Outcome::Unreachable | Outcome::TooSlow => Err(HookFailed),
        }
    }

    /// The index is written in one way only.
    fn probe(&self, index: &str) -> Option<&Probe> {
        let number = index.parse::<usize>().ok()?;
        self.probes.get(number).filter(|_| number.to_string() == index)
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
