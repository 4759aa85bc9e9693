//! A connection to one endpoint: mesh mTLS to exactly its identity, or as the application sent it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bailiwick_authn::Evidence;
use bailiwick_wire::{Endpoint, Transport};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::metrics::Direction;
use crate::outbound::failure::Failure;
use crate::outbound::itself;
use crate::shared::{Shared, Worker};

/// The longest wait before validity is looked at again: a clock that is set must be noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long a connection may be silent before the other side is asked whether it is there, and how often then.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// The bytes of a connection to an endpoint.
#[derive(Debug)]
pub(crate) enum PeerStream {
    /// Mesh mTLS.
    Mesh(Box<TlsStream<TcpStream>>),
    /// As the application sent them.
    AsSent(TcpStream),
}

/// A connection to an endpoint, proven where it is meshed.
#[derive(Debug)]
pub(crate) struct PeerConnection {
    /// The bytes.
    pub(crate) stream: PeerStream,
    /// How long the other side stays proven.
    pub(crate) validity: Validity,
}

/// What the other side proved, and how to know that it no longer holds.
#[derive(Debug, Clone)]
pub(crate) struct Validity(Option<Evidence>);

/// Connects to an endpoint. When this returns, it is the expected one and nothing of the application was sent.
///
/// # Errors
/// When the endpoint cannot be reached in time or is somebody else.
pub(crate) async fn connect(worker: &Arc<Worker>, endpoint: &Endpoint) -> Result<PeerConnection, Failure> {
    let shared = &worker.shared;
    let itself = shared.is_own(endpoint.address.ip());
    shared.metrics.outbound_connection(match endpoint.transport {
        Transport::Mesh(_) | Transport::AsSent if itself => "itself",
        Transport::Mesh(_) => "mesh",
        Transport::AsSent => "as-sent",
    });
    let stream = if itself {
        itself::connect(worker, endpoint.address).await?
    } else {
        dial(shared, endpoint).await?
    };
    // Without this every small message waits for the peer's delayed acknowledgement.
    stream.set_nodelay(true).map_err(Failure::Connect)?;
    let expected = match &endpoint.transport {
        Transport::AsSent => {
            return Ok(PeerConnection { stream: PeerStream::AsSent(stream), validity: Validity(None) });
        }
        Transport::Mesh(expected) => expected,
    };
    match bailiwick_authn::connect(stream, &shared.client_tls, expected, shared.limits.handshake).await {
        Ok(connected) => {
            shared.metrics.handshake_proven(Direction::Outbound);
            Ok(PeerConnection {
                stream: PeerStream::Mesh(Box::new(connected.stream)),
                validity: Validity(Some(connected.evidence)),
            })
        }
        Err(error) => {
            shared.metrics.handshake_failed(Direction::Outbound, error.reason());
            tracing::warn!(peer = %endpoint.address, %expected, %error, "an endpoint did not prove its identity");
            Err(error.into())
        }
    }
}

async fn dial(shared: &Shared, endpoint: &Endpoint) -> Result<TcpStream, Failure> {
    let meshed = matches!(endpoint.transport, Transport::Mesh(_));
    if shared.own_listeners.lead_back(endpoint.address, meshed) {
        return Err(Failure::Loop);
    }
    let stream = tokio::time::timeout(shared.limits.connect, TcpStream::connect(endpoint.address))
        .await
        .map_err(|_| Failure::Connect(io::ErrorKind::TimedOut.into()))?
        .map_err(Failure::Connect)?;
    // The application's own keep-alive ends here, so it is on us to notice that the other side is gone.
    let alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE_INTERVAL);
    SockRef::from(&stream).set_tcp_keepalive(&alive).map_err(Failure::Connect)?;
    Ok(stream)
}

impl Validity {
    /// Waits until the other side is no longer proven: its certificate ended, or its root was withdrawn. Never
    /// returns for a connection that proves nothing.
    pub(crate) async fn ended(&self, shared: &Shared) {
        let Some(evidence) = &self.0 else { return std::future::pending().await };
        let mut changes = shared.trust.subscribe();
        loop {
            changes.mark_unchanged();
            let domain = std::slice::from_ref(evidence.leaf().id().trust_domain());
            if let Err(error) = evidence.still_trusted(&shared.trust.current(), domain, SystemTime::now()) {
                tracing::info!(peer = %evidence.leaf().id(), %error, "a connection ends: its peer is no longer proven");
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(remaining(evidence.not_after()).min(LONGEST_WAIT)) => {}
                // The store lives as long as the shared state; if it went away, time alone decides.
                changed = changes.changed() => if changed.is_err() {
                    tokio::time::sleep(remaining(evidence.not_after())).await;
                },
            }
        }
    }
}

/// The time until an instant in seconds since the Unix epoch, rounded up so that it has passed then.
fn remaining(until: i64) -> Duration {
    let seconds = until.saturating_sub(crate::clock::now().0).saturating_add(1);
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

impl AsyncRead for PeerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Mesh(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            Self::AsSent(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Mesh(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
            Self::AsSent(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Mesh(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            Self::AsSent(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Mesh(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            Self::AsSent(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Mesh(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
            Self::AsSent(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Mesh(stream) => stream.is_write_vectored(),
            Self::AsSent(stream) => stream.is_write_vectored(),
        }
    }
}
