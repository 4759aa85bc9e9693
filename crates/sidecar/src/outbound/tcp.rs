//! Bytes of the application, to one endpoint.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::metrics::{Direction, Protocol};
use crate::outbound::connect::{PeerConnection, connect};
use crate::outbound::failure::Failure;
use crate::outbound::load::InFlight;
use crate::outbound::route::Route;
use crate::outbound::serve::Held;
use crate::shared::Worker;

const ATTEMPTS: usize = 3;

/// Moves bytes both ways until both sides have finished; one side may finish long before the other. Whatever goes
/// wrong resets the connection: bytes have no other way to say it, and an end must not look like a whole answer.
pub(crate) async fn relay(worker: &Arc<Worker>, route: &Route, mut application: TcpStream, held: Held) {
    let shared = &worker.shared;
    shared.metrics.request(Direction::Outbound, Protocol::Tcp);
    let (mut peer, in_flight) = match connected(worker, route).await {
        Ok(connected) => connected,
        Err(failure) => {
            shared.metrics.outbound_failed(failure.reason());
            tracing::info!(destination = %route, error = %failure, "an outbound connection is closed");
            return reset(&application);
        }
    };
    tokio::select! {
        relayed = tokio::io::copy_bidirectional(&mut application, &mut peer.stream) => {
            if let Err(error) = relayed {
                let alert = bailiwick_authn::alert_received(&error);
                tracing::debug!(destination = %route, %error, ?alert, "an outbound connection broke");
                reset(&application);
            }
        }
        () = peer.validity.ended(shared) => reset(&application),
    }
    drop((in_flight, held));
}

/// Makes the connection end with a reset once it is dropped.
fn reset(application: &TcpStream) {
    // One that is gone already cannot be reset, and needs not be.
    drop(application.set_zero_linger());
}

async fn connected(worker: &Arc<Worker>, route: &Route) -> Result<(PeerConnection, InFlight), Failure> {
    let mut tried: Vec<SocketAddr> = Vec::new();
    loop {
        let endpoint = route.choose(worker, &tried).await?;
        let in_flight = worker.outbound.loads().begin(endpoint.address);
        match connect(worker, &endpoint).await {
            Ok(peer) => return Ok((peer, in_flight)),
            Err(failure) => {
                tried.push(endpoint.address);
                if tried.len() >= ATTEMPTS || !route.has_more(&tried) {
                    return Err(failure);
                }
            }
        }
    }
}
