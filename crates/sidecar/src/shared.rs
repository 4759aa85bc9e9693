//! What all threads of the data plane share, and what each of them has alone.
//!
//! ```text
//!  control thread ──writes──> Shared (one a process) <──reads── Worker (one a thread): its sessions, its pools
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bailiwick_agent::audit::{AuditSink, EventIds};
use bailiwick_agent::{ConfigStore, Destinations, Reports};
use bailiwick_authn::{ClientTls, CredentialStore, ServerTls, TrustStore};
use bailiwick_policy::WorkloadKey;
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::ready::Readiness;
use tokio::sync::SetOnce;

use crate::config::Limits;
use crate::connections::Connections;
use crate::inbound::Applications;
use crate::metrics::SidecarMetrics;
use crate::node::Node;
use crate::outbound::{Pool, Routes};
use crate::proof::OutputProof;
use crate::sessions::Sessions;

/// One a process: made by `app`, read by every thread. Nothing in it blocks, and nothing in it is a secret that can
/// be read out: the credential store gives configurations for handshakes, never a key.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The workload that this sidecar stands before.
    pub(crate) workload: WorkloadKey,
    /// What is enforced now. FAIL-CLOSED: without a snapshot there is nothing to decide with, and nothing passes.
    pub(crate) config: Arc<ConfigStore>,
    /// Our own certificate, of the newest generation.
    pub(crate) credentials: Arc<CredentialStore>,
    /// The roots that may vouch for peers.
    pub(crate) trust: Arc<TrustStore>,
    /// Settings to connect to other sidecars with.
    pub(crate) client_tls: ClientTls,
    /// Answers where calls lead.
    pub(crate) destinations: Destinations,
    /// Takes every decision, before bytes move.
    pub(crate) audit: AuditSink,
    /// Tells the operator of denials, for `why`.
    pub(crate) reports: Reports,
    /// Names connections and decisions in events and answers.
    pub(crate) ids: EventIds,
    /// Counters, with their handles ready.
    pub(crate) metrics: SidecarMetrics,
    /// Counts open connections against the limits.
    pub(crate) connections: Connections,
    /// Deadlines and sizes.
    pub(crate) limits: Limits,
    /// Where this sidecar itself listens.
    pub(crate) own_listeners: OwnListeners,
    /// The pod's own addresses, where its connections are captured; else empty.
    pub(crate) pod_addresses: Vec<IpAddr>,
    /// Who the node is, where connections are captured.
    pub(crate) node: Node,
    /// Gives a watch to each connection. INVARIANT: the shared state itself holds no watch, or a drain would never
    /// complete.
    pub(crate) drain: Drain,
    /// How long after the drain began callers may still not know of it.
    pub(crate) grace: Duration,
    /// True once certificate, bundle and first snapshot are there.
    pub(crate) readiness: Readiness,
    /// Set once certificate, bundle and first snapshot were there. Unlike readiness it never goes back: a sidecar that
    /// drains still serves.
    pub(crate) started: SetOnce<()>,
    /// Proofs of the capture that are under way.
    pub(crate) output_proof: Arc<OutputProof>,
}

impl Shared {
    /// True for an address of the pod itself: what is called there is called through our own inbound side.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.pod_addresses.contains(&address.to_canonical())
    }

    /// False for an endpoint that a Service must not lead to (security case J9): whoever may write endpoints could reach
    /// what listens on this node or in this pod for nobody else. On a laptop everything is on loopback.
    pub(crate) fn may_be_endpoint(&self, address: SocketAddr) -> bool {
        if self.pod_addresses.is_empty() || self.is_own(address.ip()) {
            return true;
        }
        let local = match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                ip.is_loopback()
                    || ip.is_link_local()
                    || ip.is_unspecified()
                    || ip.is_multicast()
                    || ip.is_broadcast()
            }
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast()
            }
        };
        !local
    }
}

/// The addresses that this sidecar listens on.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnListeners {
    /// For callers of the application.
    pub(crate) inbound: Vec<SocketAddr>,
    /// For the application.
    pub(crate) outbound: Vec<SocketAddr>,
}

impl OwnListeners {
    /// True if a call to this address would come back here without end (security case J4): to an outbound listener,
    /// or without mesh TLS to an inbound one. A meshed call to oneself ends at the application and is no loop.
    pub(crate) fn lead_back(&self, address: SocketAddr, meshed: bool) -> bool {
        let to = address.ip().to_canonical();
        let local = to.is_loopback() || to.is_unspecified();
        let reached = |listener: &SocketAddr| {
            let at = listener.ip().to_canonical();
            listener.port() == address.port() && (at == to || (at.is_unspecified() && local))
        };
        self.outbound.iter().any(reached) || (!meshed && self.inbound.iter().any(reached))
    }
}

/// One a thread (or one in all, with `runtime.multiThread`): what needs no sharing while every thread has its own.
/// It is `Send + Sync` all the same, so that the choice of runtime stays one switch.
#[derive(Debug)]
pub(crate) struct Worker {
    /// What it shares with the other threads.
    pub(crate) shared: Arc<Shared>,
    /// Calls in flight that came in through this thread: decided again when the truth changes.
    pub(crate) sessions: Sessions,
    /// How callers are accepted.
    pub(crate) server_tls: ServerTls,
    /// The application's ports that are called, where connections are captured.
    pub(crate) applications: Applications,
    /// Connections to other sidecars that this thread keeps.
    pub(crate) outbound: Pool,
    /// Where the application's calls lead, where connections are captured.
    pub(crate) routes: Routes,
}

impl Worker {
    /// A thread's own state, empty.
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        let outbound = Pool::new(&shared.limits);
        let server_tls = ServerTls::mesh(Arc::clone(&shared.credentials), Arc::clone(&shared.trust));
        Arc::new(Self {
            shared,
            sessions: Sessions::default(),
            server_tls,
            applications: Applications::default(),
            outbound,
            routes: Routes::default(),
        })
    }
}

#[cfg(test)]
pub(crate) mod for_test;
