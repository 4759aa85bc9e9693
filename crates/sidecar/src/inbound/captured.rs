//! Connections to the pod that were redirected here: by their original destination, to readiness or to the application.
//!
//! ```text
//!  redirected --original destination--> proof port:       readiness
//!                                       a pod address:    accept.rs, then that very address and port
//!                                       our own port, or
//!                                       another address:  closed
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use bailiwick_capture::original_destination;
use bailiwick_identity::Port;
use bailiwick_pod::ports;
use bailiwick_policy::fold;
use bailiwick_runtime::accept::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::inbound::accept::Listener;
use crate::metrics::Direction;
use crate::proof;
use crate::shared::Worker;

/// Questions after readiness that are answered at once; those of the node come on top.
const PROOFS: usize = 64;

/// Accepts redirected connections until the process ends, each in a task of its own. It begins before the first
/// snapshot, since the kubelet's readiness probe comes this way; the application's ports wait for it.
pub(crate) async fn run_captured(worker: Arc<Worker>, listener: TcpListener) {
    let proofs = Arc::new(Semaphore::new(PROOFS));
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (stream, source) = acceptor.accept().await;
        tokio::spawn(connection(Arc::clone(&worker), stream, source, Arc::clone(&proofs)));
    }
}

async fn connection(worker: Arc<Worker>, stream: TcpStream, source: SocketAddr, proofs: Arc<Semaphore>) {
    // FAIL-CLOSED: a connection whose way here is unknown was not redirected, and nobody may call this port itself.
    let Ok(destination) = original_destination(&stream) else {
        return worker.shared.metrics.connection_refused(Direction::Inbound, "not-redirected");
    };
    if destination.port() != ports::INBOUND_PROOF {
        return to_application(&worker, stream, source, destination).await;
    }
    // The kubelet is never kept waiting by others, or they could make the pod look unready.
    let place = proofs.try_acquire();
    if place.is_ok() || worker.shared.node.is(source.ip()) {
        proof::serve_readiness(stream, &worker.shared.readiness).await;
    } else {
        worker.shared.metrics.connection_refused(Direction::Inbound, "limit");
    }
}

/// Serves a connection whose caller had connected to `destination`.
pub(crate) async fn to_application(
    worker: &Arc<Worker>,
    stream: TcpStream,
    source: SocketAddr,
    destination: SocketAddr,
) {
    let shared = &worker.shared;
    let listener = match application(worker, destination) {
        Ok(listener) => listener,
        Err(refused) => return shared.metrics.connection_refused(Direction::Inbound, refused.reason()),
    };
    if !shared.started.initialized() {
        // Before the first snapshot nothing is read of it, and it counts as open: a flood must not fill the memory.
        let Some(_waiting) = shared.connections.enter(Direction::Inbound) else {
            return shared.metrics.connection_refused(Direction::Inbound, "limit");
        };
        if timeout(shared.limits.detection, shared.started.wait()).await.is_err() {
            return shared.metrics.connection_refused(Direction::Inbound, "not-started");
        }
    }
    let watch = shared.drain.watch();
    listener.connection(stream, fold(source), watch).await;
}

/// Why an address is not one of the application's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTheApplication {
    /// A port of the sidecar itself: called directly, or by a loop.
    OwnPort,
    /// An address that is none of the pod's.
    ForeignAddress,
}

impl NotTheApplication {
    /// The word used in metrics.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::OwnPort => "own-port",
            Self::ForeignAddress => "foreign-address",
        }
    }
}

/// The application's port at an address.
///
/// FAIL-CLOSED: what is forwarded goes to one of the pod's own addresses, and never to loopback, where applications
/// listen for nobody outside (security case J9); and never to the sidecar, which would call itself without end (J4).
///
/// # Errors
/// When the address is not the application's.
pub(crate) fn application(
    worker: &Arc<Worker>,
    destination: SocketAddr,
) -> Result<Listener, NotTheApplication> {
    let port = Port::try_from(destination.port()).map_err(|_| NotTheApplication::OwnPort)?;
    if ports::RESERVED.contains(&destination.port()) {
        return Err(NotTheApplication::OwnPort);
    }
    if !worker.shared.is_own(destination.ip()) {
        return Err(NotTheApplication::ForeignAddress);
    }
    let upstream = worker.applications.at(fold(destination));
    Ok(Listener { worker: Arc::clone(worker), port, upstream })
}
