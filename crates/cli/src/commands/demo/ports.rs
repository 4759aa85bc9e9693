//! Ports of this machine that nobody else gets while the demonstration runs.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::net::TcpSocket;

/// The ports that were taken.
#[derive(Debug, Default)]
pub(super) struct Ports {
    sockets: Vec<TcpSocket>,
}

impl Ports {
    /// A free port of the loopback address, chosen by the system.
    ///
    /// A socket stays bound to it without listening, so that neither another demonstration nor an outgoing connection
    /// is given it before our own process listens there.
    pub(super) fn take(&mut self) -> Result<SocketAddr> {
        let bound = || -> std::io::Result<(TcpSocket, SocketAddr)> {
            let socket = TcpSocket::new_v4()?;
            // What lets a listener of this user join.
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let address = socket.local_addr()?;
            Ok((socket, address))
        };
        let (socket, address) = bound().context("no free port on 127.0.0.1")?;
        self.sockets.push(socket);
        Ok(address)
    }

    /// Gives the ports up where the system lets no listener join a bound socket; a port that somebody else takes in
    /// between is told by the process that wanted it.
    pub(super) fn hand_over(&mut self) {
        if !cfg!(target_os = "linux") {
            self.sockets.clear();
        }
    }
}
