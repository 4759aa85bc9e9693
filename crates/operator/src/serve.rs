//! The two listeners: gRPC over our own TLS, on hyper's HTTP/2 with limits of our own.

mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bailiwick_authn::{AuthnError, ServerTls};
use bailiwick_identity::{Peer, SpiffeId, TrustDomain};
use bailiwick_runtime::accept::Acceptor;
use bailiwick_runtime::drain;
use bailiwick_wire::MAXIMUM_MESSAGE_BYTES;
use bailiwick_wire::proto::configuration_server::ConfigurationServer;
use bailiwick_wire::proto::destinations_server::DestinationsServer;
use bailiwick_wire::proto::identity_server::IdentityServer;
#[cfg(feature = "cluster")]
use bailiwick_wire::proto::replicas_server::ReplicasServer;
use bailiwick_wire::proto::reports_server::ReportsServer;
use tokio::sync::Semaphore;
use tonic::{Request, Status};

use crate::audit::{AuditLog, AuthenticationEvent, EventOrigin};
#[cfg(feature = "cluster")]
use crate::cluster::ReplicasService;
use crate::configuration::ConfigurationService;
use crate::destinations::DestinationsService;
use crate::identity::IdentityService;
use crate::metrics::OperatorMetrics;
use crate::reports::ReportsService;

/// A token and a signing request are under 4 KiB.
const LARGEST_ISSUE_REQUEST: usize = 64 * 1024;
/// What a sidecar says: its longest message is the digests of every chunk of a large snapshot.
const LARGEST_FROM_SIDECAR: usize = 1024 * 1024;
/// A question about a destination.
const LARGEST_LOOKUP: usize = 64 * 1024;
/// A denial, or what is known of one sidecar: bounded texts.
const LARGEST_REPORT: usize = 128 * 1024;
/// Handshakes at once; the rest waits in the kernel's queue. A herd is served in turn instead of all too late; far
/// more than a processor does within the handshake's deadline, so that silent connections do not take every turn.
const MOST_HANDSHAKES: usize = 1024;
/// Connections of one listener.
const MOST_CONNECTIONS: usize = 16 * 1024;

/// One connection, as services see it.
#[derive(Debug)]
pub(crate) struct Contact {
    /// Joins the events of one connection.
    pub(crate) connection: u64,
    pub(crate) address: SocketAddr,
    /// Whoever proved to be there; nobody at first contact.
    peer: Option<Peer>,
}

/// A connection whose peer is proven.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) contact: Arc<Contact>,
    pub(crate) peer: Peer,
}

impl Caller {
    pub(crate) const fn id(&self) -> &SpiffeId {
        self.peer.id()
    }

    /// Completes when the peer's certificate ends, by the wall clock, which a suspended machine does not stop.
    pub(crate) fn expiry(&self) -> impl Future<Output = ()> + Send + 'static {
        const LOOK: Duration = Duration::from_secs(10);
        let end = self.peer.not_after();
        async move {
            loop {
                let left = u64::try_from(end.saturating_sub(now_seconds())).unwrap_or(0);
                if left == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(left).min(LOOK)).await;
            }
        }
    }
}

fn now_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// The connection that a request came on.
pub(crate) fn contact<T>(request: &Request<T>) -> Result<Arc<Contact>, Status> {
    let contact = request.extensions().get::<Arc<Contact>>();
    contact.cloned().ok_or_else(|| Status::internal("the connection is not known"))
}

/// The proven peer of the connection that a request came on.
///
/// FAIL-CLOSED: no peer, or one whose certificate has ended since the handshake, is nobody.
pub(crate) fn proven<T>(request: &Request<T>) -> Result<Caller, Status> {
    let contact = contact(request)?;
    let Some(peer) = contact.peer.clone() else {
        return Err(Status::unauthenticated("a client certificate of the mesh is required"));
    };
    if now_seconds() >= peer.not_after() {
        return Err(Status::unauthenticated("the certificate of this connection has expired"));
    }
    Ok(Caller { contact, peer })
}

/// What a listener offers.
#[derive(Debug, Clone)]
pub(crate) enum Services {
    /// Needs no client certificate.
    Identity(IdentityServer<IdentityService>),
    /// All need one.
    Workloads {
        configuration: ConfigurationServer<ConfigurationService>,
        destinations: DestinationsServer<DestinationsService>,
        reports: ReportsServer<ReportsService>,
    },
    /// Needs the operator's own.
    #[cfg(feature = "cluster")]
    Replicas(ReplicasServer<ReplicasService>),
}

impl Services {
    pub(crate) fn identity(service: IdentityService) -> Self {
        Self::Identity(IdentityServer::new(service).max_decoding_message_size(LARGEST_ISSUE_REQUEST))
    }

    pub(crate) fn workloads(
        configuration: ConfigurationService,
        destinations: DestinationsService,
        reports: ReportsService,
    ) -> Self {
        Self::Workloads {
            configuration: ConfigurationServer::new(configuration)
                .max_decoding_message_size(LARGEST_FROM_SIDECAR)
                .max_encoding_message_size(MAXIMUM_MESSAGE_BYTES),
            destinations: DestinationsServer::new(destinations)
                .max_decoding_message_size(LARGEST_LOOKUP)
                .max_encoding_message_size(MAXIMUM_MESSAGE_BYTES),
            reports: ReportsServer::new(reports).max_decoding_message_size(LARGEST_REPORT),
        }
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn replicas(service: ReplicasService) -> Self {
        Self::Replicas(ReplicasServer::new(service).max_decoding_message_size(LARGEST_REPORT))
    }

    /// Where refusals are said to have happened.
    const fn place(&self) -> &'static str {
        match self {
            Self::Identity(_) => "identity",
            Self::Workloads { .. } => "configuration",
            #[cfg(feature = "cluster")]
            Self::Replicas(_) => "replicas",
        }
    }

    const fn requires_certificate(&self) -> bool {
        match self {
            Self::Identity(_) => false,
            Self::Workloads { .. } => true,
            #[cfg(feature = "cluster")]
            Self::Replicas(_) => true,
        }
    }
}

/// One listener with everything that its connections need.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) services: Services,
    pub(crate) tls: Arc<ServerTls>,
    /// Our own: nobody else's certificate is believed here.
    pub(crate) domain: TrustDomain,
    pub(crate) audit: AuditLog,
    pub(crate) metrics: OperatorMetrics,
    pub(crate) drain: drain::Watch,
}

impl Listener {
    /// Accepts until the drain begins.
    pub(crate) async fn serve(self, mut acceptor: Acceptor) {
        let handshakes = Arc::new(Semaphore::new(MOST_HANDSHAKES));
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let drain = self.drain.clone();
        let accepting = async {
            loop {
                let place = Arc::clone(&places).acquire_owned().await;
                let turn = Arc::clone(&handshakes).acquire_owned().await;
                let (Ok(place), Ok(turn)) = (place, turn) else { return };
                let (stream, address) = acceptor.accept().await;
                let listener = self.clone();
                tokio::spawn(async move {
                    listener.metrics.connections.inc();
                    listener.connection(stream, address, turn).await;
                    listener.metrics.connections.dec();
                    drop(place);
                });
            }
        };
        tokio::select! {
            biased;
            () = drain.signaled() => {}
            () = accepting => {}
        }
    }

    fn next_connection() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    fn handshake_refused(&self, connection: u64, address: SocketAddr, error: &AuthnError) {
        self.metrics.refused(error.reason());
        self.audit.record(&AuthenticationEvent::Refused {
            origin: EventOrigin { connection, peer_address: address },
            at: self.services.place(),
            reason: error.reason(),
            message: error.to_string(),
            workload: None,
            identity: None,
        });
    }
}
