//! Connections of the application that were redirected here: by their original destination.

use std::sync::Arc;

use bailiwick_capture::original_destination;
use bailiwick_runtime::accept::Acceptor;
use tokio::net::{TcpListener, TcpStream};

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
    let Ok(destination) = original_destination(&stream) else { return };
    if proof::is_proof(destination) {
        proof::answer(stream, &worker.shared.output_proof).await;
    }
    // FAIL-CLOSED: nothing else is served yet.
}
