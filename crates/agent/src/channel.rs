//! A gRPC channel to the operator, over our own TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{AuthnError, ClientTls};
use bailiwick_identity::SpiffeId;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// How long a TCP connection and a handshake may each take.
const DEADLINE: Duration = Duration::from_secs(5);
/// A dead operator is noticed within twice this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Makes connections to one address of the operator.
#[derive(Debug, Clone)]
pub struct Dialer {
    address: Arc<str>,
    operator: SpiffeId,
    tls: Arc<ClientTls>,
}

/// Why there is no connection to the operator.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nothing answers at the address.
    #[error("the operator at `{address}` cannot be reached: {source}")]
    Unreachable {
        /// Where it should be.
        address: Arc<str>,
        /// What the system said.
        source: io::Error,
    },
    /// What answers is not the expected operator, or refused us.
    #[error("the operator at `{address}` is not authenticated: {source}")]
    Authn {
        /// Where it should be.
        address: Arc<str>,
        /// Why.
        source: AuthnError,
    },
    /// The HTTP/2 connection could not be set up.
    #[error("the connection to the operator at `{address}` failed: {source}")]
    Transport {
        /// Where it should be.
        address: Arc<str>,
        /// Why.
        source: tonic::transport::Error,
    },
}

impl Dialer {
    /// For `address` (`host:port`, resolved at each attempt), where exactly `operator` must answer. `tls` is
    /// [`ClientTls::control`]: each connection uses the credentials and the trust of its moment, and none before the
    /// first certificate.
    #[must_use]
    pub fn new(address: &str, operator: SpiffeId, tls: Arc<ClientTls>) -> Self {
        Self { address: Arc::from(address), operator, tls }
    }

    /// One new connection. The channel does not reconnect by itself, so a later connection uses newer credentials.
    pub(crate) async fn dial(&self) -> Result<Channel, DialError> {
        let unreachable = |source| DialError::Unreachable { address: Arc::clone(&self.address), source };
        let socket = timeout(DEADLINE, TcpStream::connect(self.address.as_ref()))
            .await
            .map_err(|_| unreachable(io::ErrorKind::TimedOut.into()))?
            .map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        let connected = bailiwick_authn::connect(socket, &self.tls, &self.operator, DEADLINE)
            .await
            .map_err(|source| DialError::Authn { address: Arc::clone(&self.address), source })?;
        let mut once = Some(TokioIo::new(connected.stream));
        let connector = service_fn(move |_: Uri| {
            let stream = once.take();
            async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        // The name is never resolved or believed: the peer was proven above.
        Endpoint::from_static("http://operator.bailiwick")
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await
            .map_err(|source| DialError::Transport { address: Arc::clone(&self.address), source })
    }
}
