//! Connections to the application behind this sidecar.
//!
//! A connection is used again only after its response was read to the end; one that is left in any other state is
//! dropped, so nothing of one call can reach another (D8, D10, E3).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::body::RequestBody;
use crate::http_settings;

/// Idle connections that are kept, and for how long.
const KEPT: usize = 256;
const IDLE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

/// The application's address and the connections to it, of one data-plane thread.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    idle: Mutex<Vec<Idle>>,
}

/// The HTTP/2 connection of one caller.
///
/// INVARIANT: two callers never share one. Streams share a connection's flow control and the application's limit of
/// streams, so one caller that does not read, or opens too many, would hold up the others (F12).
#[derive(Debug, Default)]
pub(crate) struct OwnHttp2(tokio::sync::Mutex<Option<http2::SendRequest<RequestBody>>>);

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// Why the application could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// Nobody listens, or not in time.
    #[error("the application cannot be reached: {0}")]
    Connect(#[source] std::io::Error),
    /// The connection broke, or what came back is not HTTP.
    #[error("the application did not answer: {0}")]
    Exchange(#[source] hyper::Error),
    /// It answered 101 to a request that asked for no upgrade: what follows is an answer to nobody (E3).
    #[error("the application switched to a protocol that nobody asked for")]
    UnaskedUpgrade,
}

/// An HTTP/1 connection that one response is still read from.
#[derive(Debug)]
pub(crate) struct Lease {
    upstream: Arc<Upstream>,
    sender: http1::SendRequest<RequestBody>,
}

impl Lease {
    /// The response was read to the end: the connection can serve another call.
    pub(crate) fn give_back(self) {
        let mut idle = self.upstream.idle();
        if !self.sender.is_closed() && idle.len() < KEPT {
            idle.push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}

impl Upstream {
    /// Connections to one address; none is made yet.
    pub(crate) fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self { address, idle: Mutex::default() })
    }

    /// A plain connection of its own, for bytes and upgrades.
    ///
    /// # Errors
    /// When the application cannot be reached in time.
    pub(crate) async fn connect(&self) -> Result<TcpStream, ForwardError> {
        let connect = tokio::time::timeout(CONNECT, TcpStream::connect(self.address));
        let stream = connect
            .await
            .map_err(|_| ForwardError::Connect(std::io::ErrorKind::TimedOut.into()))?
            .map_err(ForwardError::Connect)?;
        // Without this every small response waits for the peer's delayed acknowledgement.
        stream.set_nodelay(true).map_err(ForwardError::Connect)?;
        Ok(stream)
    }

    /// Sends a request with the HTTP version that it came with; over HTTP/2 on the caller's own connection.
    ///
    /// # Errors
    /// When the application cannot be reached or does not answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        request: Request<RequestBody>,
        own: &OwnHttp2,
    ) -> Result<(Response<Incoming>, Option<Lease>), ForwardError> {
        if request.version() == Version::HTTP_2 {
            let response =
                self.http2(own).await?.send_request(request).await.map_err(ForwardError::Exchange)?;
            return Ok((response, None));
        }
        let mut request = request;
        // An idle connection may close under our hands; hyper gives the request back if no byte of it was written.
        while let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, Some(self.lease(sender)))),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(ForwardError::Exchange(error.into_error())),
                },
            }
        }
        let mut sender = self.http1().await?;
        let response = sender.send_request(request).await.map_err(ForwardError::Exchange)?;
        Ok((response, Some(self.lease(sender))))
    }

    /// Sends a request that asks for a WebSocket, on a connection that is never used for anything else.
    ///
    /// # Errors
    /// When the application cannot be reached or does not answer.
    pub(crate) async fn send_alone(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, ForwardError> {
        let mut sender = self.http1().await?;
        sender.send_request(request).await.map_err(ForwardError::Exchange)
    }

    fn lease(self: &Arc<Self>, sender: http1::SendRequest<RequestBody>) -> Lease {
        Lease { upstream: Arc::clone(self), sender }
    }

    fn take_idle(&self) -> Option<http1::SendRequest<RequestBody>> {
        let mut idle = self.idle();
        idle.retain(|kept| !kept.sender.is_closed() && kept.since.elapsed() < IDLE);
        let ready = idle.iter().rposition(|kept| kept.sender.is_ready())?;
        Some(idle.swap_remove(ready).sender)
    }

    async fn http1(&self) -> Result<http1::SendRequest<RequestBody>, ForwardError> {
        let stream = TokioIo::new(self.connect().await?);
        let settings = http_settings::http1_client();
        let (sender, connection) = settings.handshake(stream).await.map_err(ForwardError::Exchange)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to the application ended");
            }
        });
        Ok(sender)
    }

    async fn http2(&self, own: &OwnHttp2) -> Result<http2::SendRequest<RequestBody>, ForwardError> {
        let mut kept = own.0.lock().await;
        if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = TokioIo::new(self.connect().await?);
        let settings = http_settings::http2_client();
        let (sender, connection) = settings.handshake(stream).await.map_err(ForwardError::Exchange)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the application ended");
            }
        });
        *kept = Some(sender.clone());
        Ok(sender)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Every operation on the list is whole, also when a thread panicked beside it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
