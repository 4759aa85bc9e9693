//! Calls in flight, which are decided again whenever the truth changes, and cut when their own verdict became deny.
//!
//! INVARIANT: a call is registered before it is decided. So a snapshot that arrives between the two finds it here, and
//! no call escapes a change.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bailiwick_agent::audit::ConnectionId;
use bailiwick_authn::{Evidence, Trust};
use bailiwick_identity::{MtlsMode, Port, Subject, TrustConfig};
use bailiwick_policy::{Decision, Denied, OwnedAttributes, Snapshot, Timestamp, authorize};
use futures_util::task::AtomicWaker;

/// The calls in flight of one data-plane thread. Clones are the same registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    next: AtomicU64,
    live: Mutex<HashMap<u64, Arc<Session>>>,
    connections: Mutex<HashMap<u64, Arc<OpenConnection>>>,
}

/// A connection that closes when its peer stops being valid.
#[derive(Debug)]
struct OpenConnection {
    proof: Proof,
    port: Port,
    cut: Cut,
}

/// What authentication of an open connection rests on.
#[derive(Debug)]
pub(crate) enum Proof {
    /// The chain that the peer proved.
    Peer(Evidence),
    /// Nothing: the port accepts callers without proof.
    Unproven,
}

/// Keeps a connection registered; dropping it ends the registration.
#[derive(Debug)]
pub(crate) struct ConnectionRegistration {
    sessions: Sessions,
    key: u64,
    cut: Cut,
}

impl ConnectionRegistration {
    /// The connection's signal.
    pub(crate) const fn cut(&self) -> &Cut {
        &self.cut
    }
}

impl Drop for ConnectionRegistration {
    fn drop(&mut self) {
        self.sessions.connections().remove(&self.key);
    }
}

/// One call in flight.
#[derive(Debug)]
pub(crate) struct Session {
    /// Who opened it.
    pub(crate) subject: Arc<Subject>,
    /// The attributes of its opening.
    pub(crate) attributes: OwnedAttributes,
    /// The connection it came over, as in audit events.
    pub(crate) connection: ConnectionId,
    cut: Cut,
}

/// Told to a call when it must end. Clones are the same signal; each clone that waits has a waker of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(Arc<CutState>);

#[derive(Debug, Default)]
struct CutState {
    is_cut: AtomicBool,
    // A call has at most three places that wait at a time: its handler, its request body and its response body.
    wakers: [AtomicWaker; 3],
}

/// Which part of a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// The handler, or a copy loop.
    Handler,
    /// The request's body.
    RequestBody,
    /// The response's body.
    ResponseBody,
}

impl Waiter {
    const fn index(self) -> usize {
        match self {
            Self::Handler => 0,
            Self::RequestBody => 1,
            Self::ResponseBody => 2,
        }
    }
}

impl Cut {
    /// Ends the call.
    pub(crate) fn cut(&self) {
        self.0.is_cut.store(true, Ordering::Release);
        for waker in &self.0.wakers {
            waker.wake();
        }
    }

    /// True if the call was cut; otherwise the waiter is woken when it is.
    pub(crate) fn poll(&self, waiter: Waiter, context: &Context<'_>) -> bool {
        // Registered first: a cut between the two is then seen or wakes.
        if let Some(waker) = self.0.wakers.get(waiter.index()) {
            waker.register(context.waker());
        }
        self.is_cut()
    }

    /// True if the call was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.is_cut.load(Ordering::Acquire)
    }

    /// Waits for the cut.
    pub(crate) async fn wait(&self, waiter: Waiter) {
        poll_fn(|context| if self.poll(waiter, context) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// Keeps a call registered; dropping it ends the registration.
#[derive(Debug)]
pub(crate) struct Registration {
    sessions: Sessions,
    key: u64,
    cut: Cut,
}

impl Registration {
    /// The call's signal.
    pub(crate) const fn cut(&self) -> &Cut {
        &self.cut
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.sessions.live().remove(&self.key);
    }
}

impl Sessions {
    /// Registers a call. Do this before deciding it.
    pub(crate) fn register(
        &self,
        subject: Arc<Subject>,
        attributes: OwnedAttributes,
        connection: ConnectionId,
    ) -> Registration {
        let cut = Cut::default();
        let key = self.0.next.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session { subject, attributes, connection, cut: cut.clone() });
        self.live().insert(key, session);
        Registration { sessions: self.clone(), key, cut }
    }

    /// Registers a connection whose authentication is done.
    pub(crate) fn register_connection(&self, proof: Proof, port: Port) -> ConnectionRegistration {
        let cut = Cut::default();
        let key = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.connections().insert(key, Arc::new(OpenConnection { proof, port, cut: cut.clone() }));
        ConnectionRegistration { sessions: self.clone(), key, cut }
    }

    /// Verifies every open connection again and closes those whose peer is no longer valid: expired, its root
    /// withdrawn, its trust domain no longer accepted, or unproven on a port that is Strict now.
    pub(crate) fn authenticate_again(&self, trust: &Trust, config: &TrustConfig, now: SystemTime) -> usize {
        let connections: Vec<Arc<OpenConnection>> = self.connections().values().cloned().collect();
        let mut closed = 0;
        for connection in connections {
            let port = config.port(connection.port);
            // FAIL-CLOSED: under an invalid Authentication nothing is known about whom to believe, so nobody is.
            let valid = port.invalid.is_none()
                && match &connection.proof {
                    Proof::Peer(evidence) => evidence.still_trusted(trust, &port.trust_domains, now).is_ok(),
                    Proof::Unproven => port.mode != MtlsMode::Strict,
                };
            if !valid && !connection.cut.is_cut() {
                connection.cut.cut();
                closed += 1;
            }
        }
        closed
    }

    /// Closes the connections whose peer's certificate has ended.
    pub(crate) fn close_expired(&self, now: Timestamp) -> usize {
        let expired = |connection: &OpenConnection| match &connection.proof {
            Proof::Peer(evidence) => evidence.not_after() < now.0,
            Proof::Unproven => false,
        };
        let connections = self.connections();
        let ended = connections.values().filter(|open| expired(open) && !open.cut.is_cut());
        ended.map(|open| open.cut.cut()).count()
    }

    /// How many calls are in flight.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.live().len()
    }

    /// Decides every call again and cuts exactly those that are denied now; each is told to `report`.
    pub(crate) fn decide_again(
        &self,
        snapshot: &Arc<Snapshot>,
        now: Timestamp,
        mut report: impl FnMut(&Session, &Denied),
    ) -> usize {
        // Decided outside of the lock: calls come and go meanwhile, and new ones see the new snapshot themselves.
        let sessions: Vec<Arc<Session>> = self.live().values().cloned().collect();
        let mut cut = 0;
        for session in sessions {
            match authorize(snapshot, &session.subject, &session.attributes.at(now)) {
                Decision::Permit(_) => {}
                Decision::Denied(denied) => {
                    if !session.cut.is_cut() {
                        report(&session, &denied);
                        cut += 1;
                    }
                    session.cut.cut();
                }
            }
        }
        cut
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, Arc<OpenConnection>>> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<u64, Arc<Session>>> {
        // A panic while the map was locked leaves it whole: every operation on it is a single call.
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
