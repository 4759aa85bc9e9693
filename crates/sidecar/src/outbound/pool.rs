//! Connections to endpoints that one thread keeps, and what makes two of them interchangeable.
//!
//! INVARIANT: a connection is used again only under the same key: address, expected identity, own credentials'
//! generation and HTTP version (security case G18). So two identities never share one, and after a renewal the old
//! connections finish what is on them and end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bailiwick_identity::SpiffeId;
use bailiwick_wire::{Endpoint, Transport};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;

use crate::config::Limits;
use crate::http_settings::{http1_client, http2_client};
use crate::outbound::body::RequestBody;
use crate::outbound::connect::{PeerConnection, Validity, connect};
use crate::outbound::failure::Failure;
use crate::outbound::load::Loads;
use crate::shared::{Shared, Worker};

/// The connections of one thread. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    loads: Loads,
    http1: Mutex<HashMap<Key, Vec<Idle>>>,
    http2: Mutex<HashMap<Key, Http2Slot>>,
    most_idle: usize,
    idle_time: Duration,
    most_streams: usize,
}

/// What two connections must have in common to be interchangeable; the HTTP version is which map it is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    address: SocketAddr,
    // `None`: as the application sent it, without TLS.
    expected: Option<SpiffeId>,
    generation: u64,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// Locked while connecting, so that a burst of calls makes one connection and not one each.
type Http2Slot = Arc<tokio::sync::Mutex<Vec<Http2Connection>>>;

#[derive(Debug)]
struct Http2Connection {
    sender: http2::SendRequest<RequestBody>,
    // How many streams are open is how many others hold this. True: no stream must be added.
    streams: Arc<AtomicBool>,
    used: Instant,
}

/// An HTTP/1 connection that one call has to itself. It goes back to the pool when it is dropped, unless the call
/// left something on it.
#[derive(Debug)]
pub(crate) struct Http1Lease {
    pool: Pool,
    key: Key,
    sender: Option<http1::SendRequest<RequestBody>>,
    /// False for one that was used before: it may have been closed meanwhile by the other side.
    pub(crate) fresh: bool,
}

/// A stream's place on an HTTP/2 connection; the place is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Http2Lease {
    /// Sends the call.
    pub(crate) sender: http2::SendRequest<RequestBody>,
    stream: Arc<AtomicBool>,
}

impl Pool {
    /// Without connections.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Inner {
            loads: Loads::default(),
            http1: Mutex::default(),
            http2: Mutex::default(),
            most_idle: limits.pooled_connections,
            idle_time: limits.pooled_idle,
            most_streams: usize::try_from(limits.http2_streams).unwrap_or(usize::MAX),
        }))
    }

    /// How busy each endpoint is.
    pub(crate) fn loads(&self) -> &Loads {
        &self.0.loads
    }

    /// A connection for one HTTP/1 call: a kept one, or a new one.
    ///
    /// # Errors
    /// When the endpoint cannot be reached or is somebody else.
    pub(crate) async fn http1(
        &self,
        worker: &Arc<Worker>,
        endpoint: &Endpoint,
    ) -> Result<Http1Lease, Failure> {
        let shared = &worker.shared;
        let key = Key::new(shared, endpoint);
        if let Some(sender) = self.take_idle(&key) {
            return Ok(Http1Lease { pool: self.clone(), key, sender: Some(sender), fresh: false });
        }
        let (sender, connection, validity) = http1_handshake(connect(worker, endpoint).await?).await?;
        drive(shared, validity, connection.with_upgrades());
        Ok(Http1Lease { pool: self.clone(), key, sender: Some(sender), fresh: true })
    }

    /// A place for one HTTP/2 call, on a kept connection or a new one.
    ///
    /// # Errors
    /// When the endpoint cannot be reached or is somebody else.
    pub(crate) async fn http2(
        &self,
        worker: &Arc<Worker>,
        endpoint: &Endpoint,
    ) -> Result<Http2Lease, Failure> {
        let shared = &worker.shared;
        let key = Key::new(shared, endpoint);
        let slot = Arc::clone(lock(&self.0.http2).entry(key).or_default());
        let limits = &shared.limits;
        // Who waits for others that connect waits no longer than a connection may take.
        let mut kept = tokio::time::timeout(limits.connect + limits.handshake, slot.lock())
            .await
            .map_err(|_| Failure::Connect(std::io::ErrorKind::TimedOut.into()))?;
        kept.retain(Http2Connection::is_usable);
        let free =
            |connection: &&mut Http2Connection| Arc::strong_count(&connection.streams) <= self.0.most_streams;
        if let Some(connection) = kept.iter_mut().find(free) {
            return Ok(connection.lease());
        }
        let peer = connect(worker, endpoint).await?;
        let (sender, connection) =
            http2_client().handshake(TokioIo::new(peer.stream)).await.map_err(Failure::Exchange)?;
        drive(shared, peer.validity, connection);
        let mut connection = Http2Connection { sender, streams: Arc::default(), used: Instant::now() };
        let lease = connection.lease();
        kept.push(connection);
        Ok(lease)
    }

    /// Ends connections that nobody used for a while, and those of earlier credentials, once they are free.
    pub(crate) fn sweep(&self, generation: u64) {
        let (idle_time, now) = (self.0.idle_time, Instant::now());
        let unused = |since: Instant| now.saturating_duration_since(since) >= idle_time;
        let current = |key: &Key| key.generation == generation || key.expected.is_none();
        lock(&self.0.http1).retain(|key, idle| {
            idle.retain(|kept| current(key) && !kept.sender.is_closed() && !unused(kept.since));
            !idle.is_empty()
        });
        lock(&self.0.http2).retain(|key, slot| {
            if !current(key) {
                // Streams that are open hold the connection; nobody can begin another.
                return false;
            }
            // Locked: somebody uses it just now.
            let Ok(mut kept) = slot.try_lock() else { return true };
            kept.retain(|kept| {
                let free = Arc::strong_count(&kept.streams) == 1;
                kept.is_usable() && (!free || !unused(kept.used))
            });
            !kept.is_empty()
        });
        self.0.loads.sweep();
    }

    fn take_idle(&self, key: &Key) -> Option<http1::SendRequest<RequestBody>> {
        let mut http1 = lock(&self.0.http1);
        let idle = http1.get_mut(key)?;
        // The one used last is the least likely to have been closed by the other side.
        while let Some(kept) = idle.pop() {
            if kept.sender.is_ready() && kept.since.elapsed() < self.0.idle_time {
                return Some(kept.sender);
            }
        }
        None
    }

    fn keep(&self, key: Key, sender: http1::SendRequest<RequestBody>) {
        let mut http1 = lock(&self.0.http1);
        let idle = http1.entry(key).or_default();
        if idle.len() < self.0.most_idle {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }
}

impl Key {
    fn new(shared: &Shared, endpoint: &Endpoint) -> Self {
        let address = endpoint.address;
        match &endpoint.transport {
            Transport::AsSent => Self { address, expected: None, generation: 0 },
            Transport::Mesh(expected) => {
                let generation = shared.credentials.current().map_or(0, |current| current.generation());
                Self { address, expected: Some(expected.clone()), generation }
            }
        }
    }
}

impl Http2Connection {
    fn lease(&mut self) -> Http2Lease {
        self.used = Instant::now();
        Http2Lease { sender: self.sender.clone(), stream: Arc::clone(&self.streams) }
    }

    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && !self.streams.load(Ordering::Relaxed)
    }
}

impl Http2Lease {
    /// The connection refused the call before any byte of it was sent (it is going away): nobody must try it again.
    pub(crate) fn discard(self) {
        self.stream.store(true, Ordering::Relaxed);
    }
}

impl Http1Lease {
    /// Sends the call; none if the lease was ended already.
    pub(crate) fn sender(&mut self) -> Option<&mut http1::SendRequest<RequestBody>> {
        self.sender.as_mut()
    }

    /// The connection must not serve another call.
    pub(crate) fn discard(mut self) {
        self.sender = None;
    }
}

impl Drop for Http1Lease {
    fn drop(&mut self) {
        let Some(mut sender) = self.sender.take().filter(|sender| !sender.is_closed()) else { return };
        let (pool, key) = (self.pool.clone(), self.key.clone());
        if sender.is_ready() {
            pool.keep(key, sender);
            return;
        }
        // The library is not done: the end of the response is not read, or the request's body not written. It says
        // "ready" only when both are, and fails if the call left a body unfinished.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let ready = tokio::time::timeout(pool.0.idle_time, sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                pool.keep(key, sender);
            }
        });
    }
}

/// An HTTP/1 connection that is no one else's and is never pooled, for a WebSocket, and how long its peer stays
/// proven: after an upgrade only its user can watch that.
///
/// # Errors
/// When the endpoint cannot be reached or is somebody else.
pub(crate) async fn dedicated(
    worker: &Arc<Worker>,
    endpoint: &Endpoint,
) -> Result<(http1::SendRequest<RequestBody>, Validity), Failure> {
    let (sender, connection, validity) = http1_handshake(connect(worker, endpoint).await?).await?;
    drive(&worker.shared, validity.clone(), connection.with_upgrades());
    Ok((sender, validity))
}

type Http1Parts = (
    http1::SendRequest<RequestBody>,
    http1::Connection<TokioIo<crate::outbound::connect::PeerStream>, RequestBody>,
    Validity,
);

async fn http1_handshake(peer: PeerConnection) -> Result<Http1Parts, Failure> {
    let (sender, connection) =
        http1_client().handshake(TokioIo::new(peer.stream)).await.map_err(Failure::Exchange)?;
    Ok((sender, connection, peer.validity))
}

/// Moves a connection's bytes until it ends, or its peer is no longer proven.
fn drive(
    shared: &Arc<Shared>,
    validity: Validity,
    connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static,
) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "a connection to an endpoint ended");
            },
            () = validity.ended(&shared) => {}
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every operation on the maps is whole, also when a thread panicked beside it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
