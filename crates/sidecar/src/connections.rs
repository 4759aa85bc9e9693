//! Counts open connections, so that nobody can use up what others need (security case F14).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bailiwick_identity::SpiffeId;
use prometheus_client::metrics::gauge::Gauge;

use crate::config::Limits;
use crate::metrics::{Direction, SidecarMetrics};

/// All open connections of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    // Counted apart: a flood from outside must not keep the application from calling others.
    inbound: Side,
    outbound: Side,
    most: usize,
    most_of_peer: usize,
    peers: Peers,
}

/// How many connections of each proven peer are open.
type Peers = Arc<Mutex<HashMap<SpiffeId, usize>>>;

#[derive(Debug, Clone)]
struct Side {
    open: Arc<AtomicUsize>,
    gauge: Gauge,
}

/// One open connection; dropping it gives its place back.
#[must_use = "a connection counts for as long as this lives"]
#[derive(Debug)]
pub(crate) struct OpenConnection {
    side: Side,
    most_of_peer: usize,
    peers: Peers,
    peer: Option<SpiffeId>,
}

/// A proven peer has all the connections that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer has {most} connections open, which is the limit")]
pub(crate) struct TooManyOfPeer {
    most: usize,
}

impl Connections {
    /// None open.
    pub(crate) fn new(limits: &Limits, metrics: &SidecarMetrics) -> Self {
        let side = |direction| Side { open: Arc::default(), gauge: metrics.connections_open(direction) };
        Self {
            inbound: side(Direction::Inbound),
            outbound: side(Direction::Outbound),
            most: limits.connections,
            most_of_peer: limits.connections_per_peer,
            peers: Arc::default(),
        }
    }

    /// A place for a new connection; `None` if all of that direction are taken.
    pub(crate) fn enter(&self, direction: Direction) -> Option<OpenConnection> {
        let side = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        if side.open.fetch_add(1, Ordering::Relaxed) >= self.most {
            side.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        side.gauge.inc();
        Some(OpenConnection {
            side: side.clone(),
            most_of_peer: self.most_of_peer,
            peers: Arc::clone(&self.peers),
            peer: None,
        })
    }

    /// How many are open, in both directions.
    pub(crate) fn open(&self) -> usize {
        self.inbound.open.load(Ordering::Relaxed) + self.outbound.open.load(Ordering::Relaxed)
    }
}

impl OpenConnection {
    /// Counts the connection as one of this peer's too. To be called once, after the handshake.
    ///
    /// # Errors
    /// When the peer has too many; the connection must be closed then.
    pub(crate) fn belongs_to(&mut self, peer: &SpiffeId) -> Result<(), TooManyOfPeer> {
        let most = self.most_of_peer;
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = peers.entry(peer.clone()).or_default();
        if *count >= most {
            return Err(TooManyOfPeer { most });
        }
        *count += 1;
        self.peer = Some(peer.clone());
        Ok(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.side.gauge.dec();
        self.side.open.fetch_sub(1, Ordering::Relaxed);
        let Some(peer) = self.peer.take() else { return };
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        // A peer without connections leaves no trace: the map is bounded by what is open.
        if let Entry::Occupied(mut count) = peers.entry(peer) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(most: usize, most_of_peer: usize) -> Connections {
        let limits = Limits { connections: most, connections_per_peer: most_of_peer, ..Limits::default() };
        Connections::new(&limits, &SidecarMetrics::for_test())
    }

    #[test]
    fn f14_each_direction_is_capped_and_places_come_back() {
        let connections = connections(2, 2);
        let first = connections.enter(Direction::Inbound).unwrap();
        let _second = connections.enter(Direction::Inbound).unwrap();
        assert!(connections.enter(Direction::Inbound).is_none());
        let _own = connections.enter(Direction::Outbound).unwrap();
        drop(first);
        assert!(connections.enter(Direction::Inbound).is_some());
        assert_eq!(connections.open(), 2);
    }

    #[test]
    fn f14_one_peer_cannot_take_the_places_of_others() {
        let connections = connections(10, 1);
        let greedy: SpiffeId = "spiffe://cluster.local/ns/a/sa/greedy".parse().unwrap();
        let other: SpiffeId = "spiffe://cluster.local/ns/a/sa/other".parse().unwrap();
        let mut first = connections.enter(Direction::Inbound).unwrap();
        first.belongs_to(&greedy).unwrap();
        let mut second = connections.enter(Direction::Inbound).unwrap();
        assert_eq!(second.belongs_to(&greedy), Err(TooManyOfPeer { most: 1 }));
        second.belongs_to(&other).unwrap();
        drop(first);
        let mut third = connections.enter(Direction::Inbound).unwrap();
        third.belongs_to(&greedy).unwrap();
        drop((second, third));
        assert!(connections.peers.lock().unwrap().is_empty());
    }
}
