//! Ids that join events, and that a person can read out.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};

/// Makes ids that are unique among all sidecars: 48 random bits of this process and a counter.
#[derive(Debug)]
pub struct EventIds {
    process: u64,
    connections: AtomicU64,
    decisions: AtomicU64,
}

impl Default for EventIds {
    fn default() -> Self {
        let process = rand::random::<u64>() >> 16;
        Self { process, connections: AtomicU64::new(1), decisions: AtomicU64::new(1) }
    }
}

impl EventIds {
    /// The id of a connection that was accepted.
    pub fn connection(&self) -> ConnectionId {
        ConnectionId(Id { process: self.process, count: self.connections.fetch_add(1, Ordering::Relaxed) })
    }

    /// The id of a decision.
    pub fn decision(&self) -> DecisionId {
        DecisionId(Id { process: self.process, count: self.decisions.fetch_add(1, Ordering::Relaxed) })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Id {
    process: u64,
    count: u64,
}

impl Id {
    fn write(self, formatter: &mut fmt::Formatter<'_>, kind: char) -> fmt::Result {
        write!(formatter, "{:012x}-{kind}{:x}", self.process, self.count)
    }
}

/// Joins the events of one connection: who was believed, and every decision on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(Id);

/// Names one decision, in its event and in the answer to a proven peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionId(Id);

impl fmt::Display for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(formatter, 'c')
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(formatter, 'd')
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for DecisionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
