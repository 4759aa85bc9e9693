//! One inbound connection: who is on it, where it leads, and how its calls are decided.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bailiwick_agent::audit::ConnectionId;
use bailiwick_identity::{Connection, Port, Subject};
use bailiwick_policy::{Binding, Call, Decision, RequestAttributes, Snapshot, Timestamp};

use crate::connections::OpenConnection;
use crate::inbound::accept::Listener;
use crate::inbound::upstream::{OwnHttp2, Upstream};
use crate::sessions::{ConnectionRegistration, Cut, Proof};
use crate::shared::Worker;

/// An accepted connection. Authentication is done; what it may do is decided call by call.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Joins the audit events of both systems.
    pub(crate) id: ConnectionId,
    /// The proven peer, or why there is none.
    pub(crate) connection: Connection,
    /// The TCP peer's address, folded.
    pub(crate) source: SocketAddr,
    /// The container port that is called.
    pub(crate) port: Port,
    /// The thread that serves it.
    pub(crate) worker: Arc<Worker>,
    /// The application.
    pub(crate) upstream: Arc<Upstream>,
    /// The HTTP/2 connection to the application that this caller has to itself.
    pub(crate) http2: OwnHttp2,
    // Counted for as long as anything of the connection lives, what it was upgraded to included.
    open: OnceLock<OpenConnection>,
    alive: ConnectionRegistration,
    binding: Mutex<Option<Binding>>,
}

impl Caller {
    /// A connection whose authentication is done.
    pub(crate) fn new(
        id: ConnectionId,
        connection: Connection,
        source: SocketAddr,
        listener: &Listener,
        proof: Proof,
    ) -> Self {
        let worker = Arc::clone(&listener.worker);
        let port = listener.port;
        let alive = worker.sessions.register_connection(proof, port);
        let upstream = Arc::clone(&listener.upstream);
        Self {
            id,
            connection,
            source,
            port,
            worker,
            upstream,
            http2: OwnHttp2::default(),
            open: OnceLock::new(),
            alive,
            binding: Mutex::default(),
        }
    }

    /// Takes over the connection's place among those that may be open. To be called once.
    pub(crate) fn keep(&self, open: OpenConnection) {
        // A second one would be dropped, and the first still counts.
        drop(self.open.set(open));
    }

    /// Told when the peer stops being valid.
    pub(crate) const fn cut(&self) -> &Cut {
        self.alive.cut()
    }

    /// The attributes of a call on this connection, now.
    pub(crate) fn attributes<'a>(&self, call: Call<'a>, now: Timestamp) -> RequestAttributes<'a> {
        RequestAttributes { source: self.source, port: self.port, now, call }
    }

    /// Decides a call. The caller is bound to a snapshot once, not once a call.
    pub(crate) fn decide(
        &self,
        snapshot: &Arc<Snapshot>,
        subject: &Subject,
        attributes: &RequestAttributes<'_>,
    ) -> Decision {
        // A panic while this was locked leaves an old binding or none, and both are checked against the snapshot.
        let mut bound = self.binding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(binding) = bound.as_ref().filter(|binding| Arc::ptr_eq(binding.snapshot(), snapshot)) {
            return binding.authorize(attributes);
        }
        let binding = snapshot.bind(subject, self.source.ip());
        let decision = binding.authorize(attributes);
        *bound = Some(binding);
        decision
    }
}
