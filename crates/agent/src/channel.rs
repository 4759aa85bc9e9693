//! A gRPC channel to the operator, over our own TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{AuthnError, ClientTls};
use bailiwick_identity::SpiffeId;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
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
        let socket = reach(&self.address).await.map_err(unreachable)?;
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

/// A connection to one of a host's addresses, of both families. Each has its time, so that one that swallows everything
/// does not keep the next from being tried; and a family that this machine has no route for says nothing of the operator.
async fn reach(address: &str) -> io::Result<TcpStream> {
    let mut told: Option<io::Error> = None;
    for candidate in within(lookup_host(address)).await? {
        match within(TcpStream::connect(candidate)).await {
            Ok(socket) => return Ok(socket),
            Err(error) => {
                let silent = |known: &io::Error| known.kind() == io::ErrorKind::NetworkUnreachable;
                if told.as_ref().is_none_or(silent) {
                    told = Some(error);
                }
            }
        }
    }
    Err(told.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(DEADLINE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_is_looked_up_and_what_kept_it_from_answering_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // `localhost` may have an IPv6 address first, where nobody listens.
        assert!(reach(&format!("localhost:{port}")).await.is_ok());
        drop(listener);
        let refused = reach(&format!("localhost:{port}")).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(reach("name.invalid:1").await.is_err());
    }
}
