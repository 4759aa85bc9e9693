//! Where calls to one destination lead, asked once and kept current while calls come.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bailiwick_agent::Subscription;
use bailiwick_identity::Port;
use bailiwick_policy::PortProtocol;
use bailiwick_wire::{Destination, Endpoint, Endpoints, Query, Transport};

use crate::config::ServicePort;
use crate::outbound::failure::Failure;
use crate::outbound::sticky;
use crate::shared::{Shared, Worker};

/// How long a missing answer is not asked for again.
const REFUSAL_HOLDS: Duration = Duration::from_millis(200);

/// The way to one destination, for one thread.
#[derive(Debug)]
pub(crate) struct Route {
    target: Target,
    // INVARIANT: once there is an answer it is held, so that it stays subscribed; a newer one replaces it.
    answer: Mutex<Option<Answer>>,
    refused: Mutex<Option<Instant>>,
}

/// What the application called.
#[derive(Debug, Clone)]
enum Target {
    /// A Service, by the port that stands for it.
    Service(ServicePort),
    /// An address, as it dialled it.
    Address(SocketAddr, Port),
}

/// How the bytes of a connection are to be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As bytes, at once: the server may speak first, or nothing of it is meshed and it leaves as it was sent.
    Bytes,
    /// As HTTP.
    Http,
    /// As the first bytes say.
    Undeclared,
    /// It leads nowhere; HTTP is told why.
    Nowhere,
}

#[derive(Debug, Clone)]
enum Answer {
    Subscribed(Subscription),
    #[cfg(test)]
    Fixed(Arc<Destination>),
}

impl Answer {
    fn current(&self) -> Arc<Destination> {
        match self {
            Self::Subscribed(subscription) => subscription.current(),
            #[cfg(test)]
            Self::Fixed(destination) => Arc::clone(destination),
        }
    }
}

impl Route {
    /// To a Service. Nothing is asked before the first connection.
    pub(crate) fn new(service: ServicePort) -> Self {
        Self::to(Target::Service(service))
    }

    /// To an address; `None` if nothing can be connected to there.
    pub(crate) fn to_address(address: SocketAddr) -> Option<Self> {
        Some(Self::to(Target::Address(address, Port::try_from(address.port()).ok()?)))
    }

    fn to(target: Target) -> Self {
        Self { target, answer: Mutex::new(None), refused: Mutex::new(None) }
    }

    /// The same with an answer that is known.
    #[cfg(test)]
    pub(crate) fn answered(self, destination: Destination) -> Self {
        Self { answer: Mutex::new(Some(Answer::Fixed(Arc::new(destination)))), ..self }
    }

    /// How a connection is to be handled.
    pub(crate) async fn way(&self, shared: &Shared) -> Way {
        let Ok(destination) = self.destination(shared).await else { return Way::Nowhere };
        match (&*destination, &self.target) {
            (Destination::Endpoints(endpoints), _) => way_to(&endpoints.ready),
            // INVARIANT: what is outside is never read. Its protocol is nobody's to say, and its server may speak first.
            (Destination::Outside, Target::Address(..)) => Way::Bytes,
            (Destination::Outside, Target::Service(_)) | (Destination::Unknown, _) => Way::Nowhere,
        }
    }

    /// One of the ready endpoints that were not tried yet; outside of the mesh, the address that was called.
    ///
    /// # Errors
    /// When there is none, or the control plane does not say where the call leads.
    pub(crate) async fn choose(&self, worker: &Worker, tried: &[SocketAddr]) -> Result<Endpoint, Failure> {
        let shared = &worker.shared;
        let destination = self.destination(shared).await?;
        let endpoints = match (&*destination, &self.target) {
            (Destination::Endpoints(endpoints), _) => endpoints,
            (Destination::Outside, Target::Address(address, _)) if tried.is_empty() => {
                return Ok(outside(*address));
            }
            (Destination::Outside, Target::Address(..)) => return Err(Failure::NoEndpoints),
            // A Service is the mesh's own; an answer that says otherwise is not one to send bytes by.
            (Destination::Outside, Target::Service(_)) | (Destination::Unknown, _) => {
                return Err(Failure::Unknown(self.to_string()));
            }
        };
        let ready = callable(shared, endpoints);
        let chosen = if endpoints.sticky {
            sticky::choose(&shared.workload, ready.iter(), tried)
        } else {
            worker.outbound.loads().choose_any(&ready, tried)
        };
        chosen.cloned().ok_or(Failure::NoEndpoints)
    }

    /// True if there is an endpoint that was not tried yet.
    pub(crate) fn has_more(&self, tried: &[SocketAddr]) -> bool {
        let destination = self.known();
        match destination.as_deref() {
            Some(Destination::Endpoints(endpoints)) => {
                endpoints.ready.iter().any(|endpoint| !tried.contains(&endpoint.address))
            }
            Some(Destination::Outside | Destination::Unknown) | None => false,
        }
    }

    /// The destination's name inside the cluster, for HTTP/2 requests that name no host.
    pub(crate) fn host(&self) -> String {
        match &self.target {
            Target::Service(ServicePort { namespace, name, port }) => format!("{name}.{namespace}:{port}"),
            Target::Address(address, _) => address.to_string(),
        }
    }

    fn query(&self) -> Query {
        match &self.target {
            Target::Service(ServicePort { namespace, name, port }) => {
                Query::Service { namespace: namespace.clone(), name: name.to_string(), port: *port }
            }
            Target::Address(address, port) => Query::Address { ip: address.ip(), port: *port },
        }
    }

    /// FAIL-CLOSED: without an answer in time there is no way, never a guessed one.
    async fn destination(&self, shared: &Shared) -> Result<Arc<Destination>, Failure> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        // A connection is looked up when it is accepted and its first call again: the application waits once.
        let refused = *lock(&self.refused);
        if refused.is_some_and(|refused| refused.elapsed() < REFUSAL_HOLDS) {
            return Err(Failure::NoAnswer(self.to_string()));
        }
        let subscription = shared.destinations.lookup(self.query()).await.map_err(|error| {
            tracing::warn!(destination = %self, %error, "an outbound call is refused");
            *lock(&self.refused) = Some(Instant::now());
            Failure::NoAnswer(self.to_string())
        })?;
        let destination = subscription.current();
        *lock(&self.answer) = Some(Answer::Subscribed(subscription));
        Ok(destination)
    }

    fn known(&self) -> Option<Arc<Destination>> {
        lock(&self.answer).as_ref().map(Answer::current)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Service(service) => service.fmt(formatter),
            Target::Address(address, _) => address.fmt(formatter),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are stored, also when a thread panicked beside it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How bytes to these endpoints are handled: as all of them declare it.
fn way_to(endpoints: &[Endpoint]) -> Way {
    let Some(first) = endpoints.first() else { return Way::Nowhere };
    let agreed = endpoints.iter().all(|endpoint| endpoint.protocol == first.protocol);
    let protocol = if agreed { first.protocol } else { PortProtocol::Undeclared };
    match protocol {
        PortProtocol::Tcp => Way::Bytes,
        PortProtocol::Http => Way::Http,
        PortProtocol::Undeclared => {
            // Nothing of it is meshed: there is nothing to decide by its first bytes, and its server may speak first.
            let meshed = endpoints.iter().any(|endpoint| matches!(endpoint.transport, Transport::Mesh(_)));
            if meshed { Way::Undeclared } else { Way::Bytes }
        }
    }
}

/// The endpoints that a Service may lead to.
fn callable<'a>(shared: &Shared, endpoints: &'a Endpoints) -> Cow<'a, [Endpoint]> {
    let may = |endpoint: &Endpoint| shared.may_be_endpoint(endpoint.address);
    if endpoints.ready.iter().all(may) {
        return Cow::Borrowed(&endpoints.ready);
    }
    Cow::Owned(endpoints.ready.iter().filter(|endpoint| may(endpoint)).cloned().collect())
}

fn outside(address: SocketAddr) -> Endpoint {
    Endpoint { address, transport: Transport::AsSent, protocol: PortProtocol::Undeclared, workload: None }
}
