//! A call of the application whose endpoint is its own pod: through the pod's own inbound side, in this process.
//!
//! INVARIANT: it is decided like any other. The other end of a pair of sockets is accepted as the inbound listener
//! accepts any caller, so who calls is proven by the same handshake, with this workload's own certificate.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::inbound::application;
use crate::outbound::failure::Failure;
use crate::shared::Worker;

/// A connection to one of the application's own ports, as `destination` names it.
///
/// # Errors
/// When it leads to the sidecar itself, or the system gives no sockets.
pub(crate) async fn connect(worker: &Arc<Worker>, destination: SocketAddr) -> Result<TcpStream, Failure> {
    let listener = application(worker, destination).map_err(|_| Failure::Loop)?;
    let shared = &worker.shared;
    let (ours, theirs) = timeout(shared.limits.connect, pair())
        .await
        .map_err(|_| Failure::Connect(io::ErrorKind::TimedOut.into()))?
        .map_err(Failure::Connect)?;
    // What another pod would see of us: its own address is the pod's.
    let port = ours.local_addr().map_err(Failure::Connect)?.port();
    let source = SocketAddr::new(destination.ip(), port);
    let watch = shared.drain.watch();
    tokio::spawn(async move { listener.connection(theirs, source, watch).await });
    Ok(ours)
}

/// Two ends of one TCP connection over loopback, which is never redirected.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await {
        Ok(listener) => listener,
        // A node without IPv4.
        Err(_) => TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await?,
    };
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let us = ours.local_addr()?;
    loop {
        // Whoever else found the port in this moment is not us, and is closed.
        let (theirs, peer) = listener.accept().await?;
        if peer == us {
            return Ok((ours, theirs));
        }
    }
}
