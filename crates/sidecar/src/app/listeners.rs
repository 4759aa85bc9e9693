//! Every port of the data plane, bound before anything runs.

mod captured;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use bailiwick_runtime::accept::{BindError, bind_group};

use crate::config::{Config, DataPlane, InboundPort, OutboundService};
use crate::shared::OwnListeners;

/// All listeners, one of each port for each thread.
#[derive(Debug)]
pub(super) struct Listeners {
    threads: Vec<ThreadListeners>,
    own: OwnListeners,
    pod_port: Vec<TcpListener>,
}

/// The listeners of one thread.
#[derive(Debug, Default)]
pub(super) struct ThreadListeners {
    pub(super) inbound: Vec<(InboundPort, TcpListener)>,
    pub(super) outbound: Vec<(OutboundService, TcpListener)>,
    /// For redirected connections to the pod.
    pub(super) captured_inbound: Vec<TcpListener>,
    /// For redirected connections of the application.
    pub(super) captured_outbound: Vec<TcpListener>,
}

/// Takes every port.
///
/// # Errors
/// When a port cannot be had; the message names it.
pub(super) fn bind(config: &Config) -> Result<Listeners, BindError> {
    // One runtime for all threads needs one listener.
    let count = if config.runtime.multi_thread { NonZeroUsize::MIN } else { config.runtime.threads() };
    let mut listeners = Listeners {
        threads: (0..count.get()).map(|_| ThreadListeners::default()).collect(),
        own: OwnListeners::default(),
        pod_port: Vec::new(),
    };
    match &config.data_plane {
        DataPlane::Listed { inbound, outbound } => listeners.listed(count, inbound, outbound)?,
        DataPlane::Captured(pod) => listeners.captured(count, pod)?,
    }
    Ok(listeners)
}

fn address(group: &[TcpListener]) -> Option<SocketAddr> {
    group.first().and_then(|listener| listener.local_addr().ok())
}

impl Listeners {
    fn listed(
        &mut self,
        count: NonZeroUsize,
        inbound: &[InboundPort],
        outbound: &[OutboundService],
    ) -> Result<(), BindError> {
        for port in inbound {
            let group = bind_group(port.listen, count)?;
            self.own.inbound.extend(address(&group));
            for (thread, listener) in self.threads.iter_mut().zip(group) {
                thread.inbound.push((port.clone(), listener));
            }
        }
        for service in outbound {
            let group = bind_group(service.listen, count)?;
            self.own.outbound.extend(address(&group));
            for (thread, listener) in self.threads.iter_mut().zip(group) {
                thread.outbound.push((service.clone(), listener));
            }
        }
        Ok(())
    }

    /// The addresses, with the ports that the system chose.
    pub(super) fn own(&self) -> OwnListeners {
        self.own.clone()
    }

    /// The port for probes, which the control thread serves; taken once.
    pub(super) fn take_pod_port(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.pod_port)
    }

    /// What each thread gets.
    pub(super) fn into_threads(self) -> Vec<ThreadListeners> {
        self.threads
    }
}
