//! Connections of the application that were redirected here: by their original destination.

use std::net::SocketAddr;
use std::sync::Arc;

use bailiwick_capture::original_destination;
use bailiwick_policy::fold;
use bailiwick_runtime::accept::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::metrics::Direction;
use crate::outbound::serve::{Held, connection as serve};
use crate::proof;
use crate::shared::Worker;

/// Accepts redirected connections until the process ends, each in a task of its own. It begins before the first
/// snapshot, since the sidecar proves the capture to itself this way.
pub(crate) async fn run_captured(worker: Arc<Worker>, listener: TcpListener) {
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (stream, _) = acceptor.accept().await;
        tokio::spawn(connection(Arc::clone(&worker), stream));
    }
}

async fn connection(worker: Arc<Worker>, stream: TcpStream) {
    // FAIL-CLOSED: a connection whose way here is unknown was not redirected.
    let Ok(destination) = original_destination(&stream) else {
        return worker.shared.metrics.connection_refused(Direction::Outbound, "not-redirected");
    };
    if proof::is_proof(destination) {
        proof::answer(stream, &worker.shared.output_proof).await;
    } else {
        from_application(worker, stream, fold(destination)).await;
    }
}

/// Serves a connection that the application had made to `destination`.
pub(crate) async fn from_application(worker: Arc<Worker>, stream: TcpStream, destination: SocketAddr) {
    let shared = &worker.shared;
    let refused = |reason| shared.metrics.connection_refused(Direction::Outbound, reason);
    // Loopback is never redirected: this is a call to our own port, which leads nowhere (security case J4).
    let ours = destination.ip().is_loopback() && !shared.is_own(destination.ip());
    let route = match worker.routes.to(destination) {
        Some(route) if !ours => route,
        Some(_) | None => return refused("own-port"),
    };
    let Some(open) = shared.connections.enter(Direction::Outbound) else { return refused("limit") };
    // Without a certificate no meshed call can be made. The application starts later than we are ready.
    if timeout(shared.limits.detection, shared.started.wait()).await.is_err() {
        return refused("not-started");
    }
    let held = Held::of_pod(open, shared.drain.watch());
    serve(Arc::clone(&worker), route, stream, held).await;
}
