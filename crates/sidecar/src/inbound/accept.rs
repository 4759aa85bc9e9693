//! From a socket to a caller: early denial, then authentication as the port wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bailiwick_agent::Active;
use bailiwick_agent::audit::ConnectionId;
use bailiwick_authn::{AuthnError, FirstBytes, accept, peek, unproven};
use bailiwick_identity::{MtlsMode, Port, Unproven};
use bailiwick_policy::{Admission, ConnectionAttributes, PortProtocol, admit, fold};
use bailiwick_runtime::accept::Acceptor;
use bailiwick_runtime::drain::Watch;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::now;
use crate::config::InboundPort;
use crate::inbound::caller::Caller;
use crate::inbound::deny::PLAINTEXT_ON_STRICT;
use crate::inbound::protocol::{Served, serve};
use crate::inbound::record;
use crate::inbound::upstream::Upstream;
use crate::metrics::Direction;
use crate::sessions::Proof;
use crate::shared::Worker;

/// On a Permissive port whose protocol lets the server speak first, a caller without TLS may say nothing. Mesh callers
/// speak at once, so this is how long one is waited for.
const SILENCE: Duration = Duration::from_secs(2);

/// One port of the application, as one thread serves it.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The thread.
    pub(crate) worker: Arc<Worker>,
    /// The container port.
    pub(crate) port: Port,
    /// The application.
    pub(crate) upstream: Arc<Upstream>,
}

/// Serves a port until the drain ends: every connection, each in a task of its own.
pub(crate) async fn run(worker: Arc<Worker>, listener: TcpListener, port: InboundPort) {
    let listener_state =
        Arc::new(Listener { worker, port: port.port, upstream: Upstream::new(port.forward) });
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (stream, source) = acceptor.accept().await;
        let state = Arc::clone(&listener_state);
        let watch = state.worker.shared.drain.watch();
        tokio::spawn(async move { state.connection(stream, fold(source), watch).await });
    }
}

impl Listener {
    /// Serves one connection until it ends.
    pub(crate) async fn connection(&self, stream: TcpStream, source: SocketAddr, watch: Watch) {
        let shared = &self.worker.shared;
        // FAIL-CLOSED: before the first snapshot nothing is known about what may pass, so nothing does.
        let Some(active) = shared.config.current() else { return };
        let Some(mut open) = shared.connections.enter(Direction::Inbound) else {
            shared.metrics.connection_refused(Direction::Inbound, "limit");
            return;
        };
        let id = shared.ids.connection();
        let attributes = ConnectionAttributes { source, port: self.port, now: now() };
        if let Admission::Refused(reasons) = admit(&active.snapshot, &attributes) {
            record::refused_early(&self.worker, id, &active.snapshot, &attributes, &reasons);
            return;
        }
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match self.authenticate(stream, source, &active, id).await {
            Ok(Some(served)) => {
                let peer = served.caller.connection.peer();
                match peer.map_or(Ok(()), |peer| open.belongs_to(peer.id())) {
                    Ok(()) => {
                        served.caller.keep(open);
                        serve(served, watch).await;
                    }
                    Err(_) => shared.metrics.connection_refused(Direction::Inbound, "peer-limit"),
                }
            }
            Ok(None) => {}
            Err(error) => record::refused_handshake(&self.worker, id, source, self.port, &error),
        }
    }

    /// Authentication of the connection, as the port wants it. It never reads a policy.
    async fn authenticate(
        &self,
        stream: TcpStream,
        source: SocketAddr,
        active: &Active,
        id: ConnectionId,
    ) -> Result<Option<Served>, AuthnError> {
        let trust = active.trust.port(self.port);
        let protocol = active.protocols.get(&self.port).copied().unwrap_or(PortProtocol::Undeclared);
        let plain = |stream, reason| Ok(Some(self.plain(stream, source, id, reason, protocol)));
        match trust.mode {
            MtlsMode::Strict => self.strict(stream, source, active, id, protocol).await,
            MtlsMode::Disabled => plain(stream, Unproven::Disabled),
            MtlsMode::Permissive => {
                let limit = match protocol {
                    PortProtocol::Tcp => SILENCE.min(self.worker.shared.limits.detection),
                    PortProtocol::Http | PortProtocol::Undeclared => self.worker.shared.limits.detection,
                };
                match peek(&stream, limit).await.map_err(AuthnError::Io)? {
                    FirstBytes::MeshTls => self.mesh(stream, source, active, id, protocol).await,
                    FirstBytes::OtherTls => {
                        let served = self.plain(stream, source, id, Unproven::ForeignTls, PortProtocol::Tcp);
                        Ok(Some(served))
                    }
                    FirstBytes::Closed => Ok(None),
                    FirstBytes::Http1
                    | FirstBytes::Http2
                    | FirstBytes::Other
                    | FirstBytes::Unfinished
                    | FirstBytes::Nothing => plain(stream, Unproven::Plaintext),
                }
            }
        }
    }

    /// Mesh TLS only. Plaintext HTTP is told so with a 401; other plaintext is closed.
    async fn strict(
        &self,
        mut stream: TcpStream,
        source: SocketAddr,
        active: &Active,
        id: ConnectionId,
        protocol: PortProtocol,
    ) -> Result<Option<Served>, AuthnError> {
        match peek(&stream, self.worker.shared.limits.handshake).await.map_err(AuthnError::Io)? {
            // Without the mesh's protocol name the handshake ends with an alert; `accept` sends it.
            FirstBytes::MeshTls | FirstBytes::OtherTls => {
                self.mesh(stream, source, active, id, protocol).await
            }
            FirstBytes::Http1 | FirstBytes::Http2 => {
                record::plaintext_on_strict(&self.worker, id, source, self.port, true);
                stream.write_all(PLAINTEXT_ON_STRICT).await.map_err(AuthnError::Io)?;
                stream.shutdown().await.map_err(AuthnError::Io)?;
                drain_briefly(&mut stream).await;
                Ok(None)
            }
            FirstBytes::Other | FirstBytes::Unfinished | FirstBytes::Nothing => {
                record::plaintext_on_strict(&self.worker, id, source, self.port, false);
                Ok(None)
            }
            FirstBytes::Closed => Ok(None),
        }
    }

    async fn mesh(
        &self,
        stream: TcpStream,
        source: SocketAddr,
        active: &Active,
        id: ConnectionId,
        protocol: PortProtocol,
    ) -> Result<Option<Served>, AuthnError> {
        let shared = &self.worker.shared;
        let believed = shared.trust.current().generation();
        let domains = &active.trust.port(self.port).trust_domains;
        let accepted = accept(stream, &self.worker.server_tls, domains, shared.limits.handshake).await?;
        let evidence = accepted.evidence.clone();
        let proof = Proof::Peer(accepted.evidence);
        let caller = Arc::new(Caller::new(id, accepted.connection, source, self, proof));
        // INVARIANT: registered first, then believed by the trust of that moment, so a root or a trust domain that was
        // withdrawn while the client took its time over the handshake vouches for nobody.
        let trust = shared.trust.current();
        let now = shared.config.current().filter(|now| now.generation() != active.generation());
        if trust.generation() != believed || now.is_some() {
            let config = now.as_deref().unwrap_or(active);
            let domains = &config.trust.port(self.port).trust_domains;
            evidence.still_trusted(&trust, domains, SystemTime::now())?;
        }
        shared.metrics.handshake_proven(Direction::Inbound);
        Ok(Some(Served { stream: Box::new(accepted.stream), caller, protocol }))
    }

    fn plain(
        &self,
        stream: TcpStream,
        source: SocketAddr,
        id: ConnectionId,
        reason: Unproven,
        protocol: PortProtocol,
    ) -> Served {
        let proof = Proof::Unproven;
        let caller = Arc::new(Caller::new(id, unproven(reason), source, self, proof));
        Served { stream: Box::new(stream), caller, protocol }
    }
}

/// Reads what the client still sends, for a moment: closing a socket with unread bytes resets it, and the client
/// would never see the answer.
async fn drain_briefly(stream: &mut TcpStream) {
    use tokio::io::AsyncReadExt;
    let mut sink = [0; 4096];
    let reading = async { while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {} };
    // Whether the client finishes or not, the connection is closed.
    drop(tokio::time::timeout(Duration::from_millis(500), reading).await);
}
