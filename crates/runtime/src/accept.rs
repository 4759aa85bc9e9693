//! Listeners: binding with messages that tell what to do, and accepting that never ends by itself.
//!
//! `accept` fails for reasons that pass (no file descriptor free, a client gone before its turn). A loop that ends on
//! them turns a burst into an outage (RUSTSEC-2024-0376), so [`Acceptor::accept`] has no error at all.

use std::{
    future::Future,
    io,
    net::{self, SocketAddr},
    num::NonZeroUsize,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel completes and holds for us; the kernel lowers it to its own limit.
const BACKLOG: i32 = 1024;

/// The first and the longest pause after an error that says that a resource is used up.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why a listener could not be made.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another socket has the port.
    #[error("port {} of {} is taken by another process", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    /// The port needs rights that this process has not.
    #[error("this process may not listen on {0}: ports below 1024 need CAP_NET_BIND_SERVICE")]
    NotPermitted(SocketAddr),
    /// The address is none of this machine's.
    #[error("{} is not an address of this machine", .0.ip())]
    NotLocal(SocketAddr),
    /// Anything else that the system said.
    #[error("cannot listen on {address}: {source}")]
    System {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        let kind = source.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::PortTaken(address)
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::NotPermitted(address)
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Self::NotLocal(address)
        } else {
            Self::System { address, source }
        }
    }
}

/// Whether several listeners of this process share one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReusePort {
    /// The port is this listener's alone.
    No,
    /// `SO_REUSEPORT`: the kernel spreads new connections over all listeners of the port. Any process of the same
    /// user can join, so prefer [`bind_group`], which looks first whether the port is free.
    Yes,
}

/// What a listener of an IPv6 address takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    /// `[::]` takes IPv4 too.
    Both,
    /// IPv6 only.
    One,
}

/// A listening socket, non-blocking, for [`listen`] or `TcpListener::from_std` on whichever runtime will use it.
/// `[::]` takes IPv4 too. Port 0 lets the system choose.
///
/// # Errors
/// [`BindError`], with the address.
pub fn bind(address: SocketAddr, reuse_port: ReusePort) -> Result<net::TcpListener, BindError> {
    bind_as(address, reuse_port, Families::Both)
}

fn bind_as(
    address: SocketAddr,
    reuse_port: ReusePort,
    families: Families,
) -> Result<net::TcpListener, BindError> {
    let bound = || -> io::Result<net::TcpListener> {
        let socket = bound_socket(address, reuse_port, families)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bound().map_err(|source| BindError::new(address, source))
}

/// As [`bind`], for the current runtime. Must be called inside one.
///
/// # Errors
/// [`BindError`], with the address.
pub fn listen(address: SocketAddr, reuse_port: ReusePort) -> Result<TcpListener, BindError> {
    let listener = bind(address, reuse_port)?;
    TcpListener::from_std(listener).map_err(|source| BindError::new(address, source))
}

/// `count` listeners that share one port, one for each runtime; all exist before the first connection is accepted.
/// With port 0 the system chooses one port for all. A port that another process holds is an error, also when that
/// process would let us share it.
///
/// # Errors
/// [`BindError`], with the address.
pub fn bind_group(address: SocketAddr, count: NonZeroUsize) -> Result<Vec<net::TcpListener>, BindError> {
    group(address, count, Families::Both)
}

/// As [`bind_group`], but `[::]` leaves IPv4 to another listener.
///
/// # Errors
/// [`BindError`], with the address.
pub fn bind_group_of_family(
    address: SocketAddr,
    count: NonZeroUsize,
) -> Result<Vec<net::TcpListener>, BindError> {
    group(address, count, Families::One)
}

fn group(
    address: SocketAddr,
    count: NonZeroUsize,
    families: Families,
) -> Result<Vec<net::TcpListener>, BindError> {
    if count.get() == 1 {
        return bind_as(address, ReusePort::No, families).map(|listener| vec![listener]);
    }
    // Without SO_REUSEPORT this fails where any other listener has the port; two processes that silently share one
    // would each answer half of the calls.
    drop(bound_socket(address, ReusePort::No, families).map_err(|source| BindError::new(address, source))?);
    let first = bind_as(address, ReusePort::Yes, families)?;
    let chosen = first.local_addr().map_err(|source| BindError::new(address, source))?;
    let mut listeners = vec![first];
    for _ in 1..count.get() {
        listeners.push(bind_as(chosen, ReusePort::Yes, families)?);
    }
    Ok(listeners)
}

fn bound_socket(address: SocketAddr, reuse_port: ReusePort, families: Families) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Not left to the machine's `bindv6only`.
        socket.set_only_v6(families == Families::One)?;
    }
    // A restart must not wait for connections of the last run that are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port == ReusePort::Yes)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A listener whose `accept` cannot fail.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    pause: Pause,
}

impl Acceptor {
    /// Takes over a listener.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, pause: Pause::default() }
    }

    /// The address that it listens on, with the port that the system chose.
    ///
    /// # Errors
    /// What the system said.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection, with `TCP_NODELAY` set, and its peer's address. Safe to cancel.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let listener = &self.listener;
        let (stream, peer) = until_accepted(&mut self.pause, || listener.accept()).await;
        if let Err(error) = stream.set_nodelay(true) {
            // Only a peer that is gone already gets here; whoever reads from it will see that.
            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        (stream, peer)
    }

    /// Gives every connection to `handle`, which must not block (it spawns), until `shutdown` completes; the listener
    /// is closed then.
    pub async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
        mut handle: impl FnMut(TcpStream, SocketAddr),
    ) {
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                (stream, peer) = self.accept() => handle(stream, peer),
            }
        }
    }
}

/// The pause after the next resource error; back to the first after a success.
#[derive(Debug)]
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

async fn until_accepted<T, F>(pause: &mut Pause, mut accept: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        match accept().await {
            Ok(accepted) => {
                *pause = Pause::default();
                return accepted;
            }
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                let wait = pause.0;
                pause.0 = wait.saturating_mul(2).min(LONGEST_PAUSE);
                tracing::warn!(%error, retry_ms = wait.as_millis(), "cannot accept connections");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// True for errors of the connection at hand, after which the next can be taken at once (accept(2), "Error handling").
/// Everything else is taken for a lack of resources: pausing for nothing costs little, spinning costs a processor.
fn is_of_one_connection(error: &io::Error) -> bool {
    [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted]
        .contains(&error.kind())
}

#[cfg(test)]
mod tests;
