//! Bytes of the application, to one endpoint.

use std::net::SocketAddr;

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
/// wrong closes the connection: bytes have no other way to say it.
pub(crate) async fn relay(worker: &Worker, route: &Route, mut application: TcpStream, held: Held) {
    let shared = &worker.shared;
    shared.metrics.request(Direction::Outbound, Protocol::Tcp);
    let (mut peer, in_flight) = match connected(worker, route).await {
        Ok(connected) => connected,
        Err(failure) => {
            shared.metrics.outbound_failed(failure.reason());
            tracing::info!(service = %route, error = %failure, "an outbound connection is closed");
            return;
        }
    };
    tokio::select! {
        relayed = tokio::io::copy_bidirectional(&mut application, &mut peer.stream) => {
            if let Err(error) = relayed {
                let alert = bailiwick_authn::alert_received(&error);
                tracing::debug!(service = %route, %error, ?alert, "an outbound connection broke");
            }
        }
        () = peer.validity.ended(shared) => {}
    }
    drop((in_flight, held));
}

async fn connected(worker: &Worker, route: &Route) -> Result<(PeerConnection, InFlight), Failure> {
    let mut tried: Vec<SocketAddr> = Vec::new();
    loop {
        let endpoint = route.choose(worker, &tried).await?;
        let in_flight = worker.outbound.loads().begin(endpoint.address);
        match connect(&worker.shared, &endpoint).await {
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
