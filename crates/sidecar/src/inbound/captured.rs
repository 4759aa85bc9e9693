//! Connections to the pod that were redirected here: by their original port, to readiness or to the application.

use std::net::SocketAddr;
use std::sync::Arc;

use bailiwick_capture::original_destination;
use bailiwick_pod::ports;
use bailiwick_runtime::accept::Acceptor;
use tokio::net::{TcpListener, TcpStream};

use crate::proof;
use crate::shared::Worker;

/// Accepts redirected connections until the process ends, each in a task of its own. It begins before the first
/// snapshot, since the kubelet's readiness probe comes this way; the application's ports wait for it.
pub(crate) async fn run_captured(worker: Arc<Worker>, listener: TcpListener) {
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (stream, source) = acceptor.accept().await;
        tokio::spawn(connection(Arc::clone(&worker), stream, source));
    }
}

async fn connection(worker: Arc<Worker>, stream: TcpStream, _source: SocketAddr) {
    // FAIL-CLOSED: a connection whose way here is unknown was not redirected, and nobody may call this port itself.
    let Ok(destination) = original_destination(&stream) else { return };
    if destination.port() == ports::INBOUND_PROOF {
        proof::serve_readiness(stream, &worker.shared.readiness).await;
    }
    // FAIL-CLOSED: nothing else is served yet.
}
