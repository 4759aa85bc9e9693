//! Every port of the data plane, bound before anything runs.

use std::net::{SocketAddr, TcpListener};

use bailiwick_runtime::accept::{BindError, bind_group};

use crate::config::{Config, InboundPort, OutboundService};
use crate::shared::OwnListeners;

/// All listeners, one of each port for each thread.
#[derive(Debug)]
pub(super) struct Listeners {
    threads: Vec<ThreadListeners>,
    own: OwnListeners,
}

/// The listeners of one thread.
#[derive(Debug, Default)]
pub(super) struct ThreadListeners {
    pub(super) inbound: Vec<(InboundPort, TcpListener)>,
    pub(super) outbound: Vec<(OutboundService, TcpListener)>,
}

/// Takes every port.
///
/// # Errors
/// When a port cannot be had; the message names it.
pub(super) fn bind(config: &Config) -> Result<Listeners, BindError> {
    // One runtime for all threads needs one listener.
    let count =
        if config.runtime.multi_thread { std::num::NonZeroUsize::MIN } else { config.runtime.threads() };
    let mut threads: Vec<ThreadListeners> = (0..count.get()).map(|_| ThreadListeners::default()).collect();
    let mut own = OwnListeners::default();
    for port in &config.inbound {
        let group = bind_group(port.listen, count)?;
        own.inbound.extend(address(&group));
        for (thread, listener) in threads.iter_mut().zip(group) {
            thread.inbound.push((port.clone(), listener));
        }
    }
    for service in &config.outbound {
        let group = bind_group(service.listen, count)?;
        own.outbound.extend(address(&group));
        for (thread, listener) in threads.iter_mut().zip(group) {
            thread.outbound.push((service.clone(), listener));
        }
    }
    Ok(Listeners { threads, own })
}

fn address(group: &[TcpListener]) -> Option<SocketAddr> {
    group.first().and_then(|listener| listener.local_addr().ok())
}

impl Listeners {
    /// The addresses, with the ports that the system chose.
    pub(super) fn own(&self) -> OwnListeners {
        self.own.clone()
    }

    /// What each thread gets.
    pub(super) fn into_threads(self) -> Vec<ThreadListeners> {
        self.threads
    }
}
