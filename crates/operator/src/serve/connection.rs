//! One connection: handshake, then HTTP/2 with limits, then a quick end when the operator drains.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{AuthnError, Caller, HANDSHAKE_DEADLINE, accept_control};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tonic::Status;
use tonic::body::Body;
use tower::Service as _;

use super::{Contact, Listener, Services};

/// Streams of one connection; a sidecar uses two.
const MOST_STREAMS: u32 = 16;
/// A sidecar that is gone without a word is noticed within these two.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);
const LARGEST_HEADER_LIST: u32 = 16 * 1024;
/// What may wait in memory for one slow reader.
const SEND_BUFFER: usize = 256 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// One certificate is asked for and the connection is done with; a stranger keeps a place no longer than this.
const IDENTITY_LIFE: Duration = Duration::from_secs(60);
/// How long one request to issue may take.
const ISSUE_DEADLINE: Duration = Duration::from_secs(10);
/// How long open calls may take to end once the connection is to be closed.
const GRACE: Duration = Duration::from_secs(1);

impl Listener {
    pub(super) async fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        turn: OwnedSemaphorePermit,
    ) {
        let connection = Self::next_connection();
        let domains = std::slice::from_ref(&self.domain);
        let accepted = accept_control(stream, &self.tls, domains, HANDSHAKE_DEADLINE).await;
        drop(turn);
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return self.handshake_refused(connection, address, &error),
        };
        let peer = match accepted.caller {
            Caller::Peer(peer, _) => Some(peer),
            // FAIL-CLOSED: where a certificate is required, a connection without one carries no request.
            Caller::FirstContact if self.services.requires_certificate() => {
                return self.handshake_refused(connection, address, &AuthnError::NoCertificate);
            }
            Caller::FirstContact => None,
        };
        self.http(accepted.stream, Contact { connection, address, peer }).await;
    }

    async fn http(&self, stream: TlsStream<TcpStream>, contact: Contact) {
        let contact = Arc::new(contact);
        let services = self.services.clone();
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&contact));
            let services = services.clone();
            async move { Ok::<_, Infallible>(services.answer(request).await) }
        });
        let served = settings().serve_connection(TokioIo::new(stream), service);
        tokio::pin!(served);
        let life = async {
            if self.services.requires_certificate() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(IDENTITY_LIFE).await;
        };
        let ended = tokio::select! {
            biased;
            ended = served.as_mut() => Some(ended),
            () = self.drain.signaled() => None,
            () = life => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                served.as_mut().graceful_shutdown();
                timeout(GRACE, served).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a control connection ended");
        }
    }
}

fn settings() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .max_header_list_size(LARGEST_HEADER_LIST)
        .max_send_buf_size(SEND_BUFFER)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

impl Services {
    async fn answer(self, request: http::Request<Incoming>) -> http::Response<Body> {
        const CONFIGURATION: &str = "/bailiwick.v1.Configuration/";
        const REPORTS: &str = "/bailiwick.v1.Reports/";
        // The generated services answer what they do not know with UNIMPLEMENTED; their error type is empty.
        let answered = match self {
            Self::Identity(mut identity) => match timeout(ISSUE_DEADLINE, identity.call(request)).await {
                Ok(answered) => answered,
                Err(_) => return Status::deadline_exceeded("the request took too long").into_http(),
            },
            Self::Workloads { mut configuration, .. } if request.uri().path().starts_with(CONFIGURATION) => {
                configuration.call(request).await
            }
            Self::Workloads { mut reports, .. } if request.uri().path().starts_with(REPORTS) => {
                reports.call(request).await
            }
            Self::Workloads { mut destinations, .. } => destinations.call(request).await,
            #[cfg(feature = "cluster")]
            Self::Replicas(mut replicas) => replicas.call(request).await,
        };
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
