//! The ports that a pod's connections are redirected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use bailiwick_pod::ports;
use bailiwick_runtime::accept::{BindError, bind_group_of_family};

use super::{Listeners, address};
use crate::config::Captured;

impl Listeners {
    /// Takes every port in both families. A family that the node has not is left out, if the pod has no address of it;
    /// a port that is taken is an error whatever the family (security case J12).
    pub(super) fn captured(&mut self, count: NonZeroUsize, pod: &Captured) -> Result<(), BindError> {
        tracing::info!(addresses = ?pod.addresses, "the pod's connections are captured");
        let families: [(bool, IpAddr, IpAddr); 2] = [
            (pod.has_v4(), Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into()),
            (pod.has_v6(), Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into()),
        ];
        for (needed, loopback, every) in families {
            if let Some(group) = family(SocketAddr::new(loopback, ports::OUTBOUND), count, needed)? {
                self.own.outbound.extend(address(&group));
                for (thread, listener) in self.threads.iter_mut().zip(group) {
                    thread.captured_outbound.push(listener);
                }
            }
            if let Some(group) = family(SocketAddr::new(every, ports::INBOUND), count, needed)? {
                self.own.inbound.extend(address(&group));
                for (thread, listener) in self.threads.iter_mut().zip(group) {
                    thread.captured_inbound.push(listener);
                }
            }
            let probes = family(SocketAddr::new(every, ports::PROBES), NonZeroUsize::MIN, needed)?;
            self.pod_port.extend(probes.into_iter().flatten());
        }
        Ok(())
    }
}

fn family(
    address: SocketAddr,
    count: NonZeroUsize,
    needed: bool,
) -> Result<Option<Vec<TcpListener>>, BindError> {
    match bind_group_of_family(address, count) {
        Ok(group) => Ok(Some(group)),
        Err(BindError::NotLocal(_) | BindError::System { .. }) if !needed => {
            tracing::info!(%address, "not listening: this node has no such addresses, and neither has the pod");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
