//! Where calls to one Service lead, asked once and kept current while calls come.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bailiwick_agent::Subscription;
use bailiwick_policy::PortProtocol;
use bailiwick_wire::{Destination, Endpoint, Query};

use crate::config::ServicePort;
use crate::outbound::failure::Failure;
use crate::shared::{Shared, Worker};

/// How long a missing answer is not asked for again.
const REFUSAL_HOLDS: Duration = Duration::from_millis(200);

/// The way to one Service, for one thread.
#[derive(Debug)]
pub(crate) struct Route {
    service: ServicePort,
    // INVARIANT: once there is an answer it is held, so that it stays subscribed; a newer one replaces it.
    answer: Mutex<Option<Answer>>,
    refused: Mutex<Option<Instant>>,
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
    /// Nothing is asked before the first connection.
    pub(crate) fn new(service: ServicePort) -> Self {
        Self { service, answer: Mutex::new(None), refused: Mutex::new(None) }
    }

    /// A route whose answer is known.
    #[cfg(test)]
    pub(crate) fn fixed(service: ServicePort, destination: Destination) -> Self {
        Self { answer: Mutex::new(Some(Answer::Fixed(Arc::new(destination)))), ..Self::new(service) }
    }

    /// How the Service's bytes are read, if its endpoints agree; `None` where it is not known.
    pub(crate) async fn protocol(&self, shared: &Shared) -> Option<PortProtocol> {
        let destination = self.destination(shared).await.ok()?;
        let endpoints = endpoints(&destination)?;
        let first = endpoints.first()?.protocol;
        let agreed = endpoints.iter().all(|endpoint| endpoint.protocol == first);
        Some(if agreed { first } else { PortProtocol::Undeclared })
    }

    /// One of the ready endpoints that were not tried yet.
    ///
    /// # Errors
    /// When there is none, or the control plane does not say where the Service leads.
    pub(crate) async fn choose(&self, worker: &Worker, tried: &[SocketAddr]) -> Result<Endpoint, Failure> {
        let destination = self.destination(&worker.shared).await?;
        // A Service is the mesh's own; an answer that says otherwise is not one to send bytes by.
        let endpoints = endpoints(&destination).ok_or_else(|| Failure::Unknown(self.to_string()))?;
        worker.outbound.loads().choose_any(endpoints, tried).cloned().ok_or(Failure::NoEndpoints)
    }

    /// True if there is an endpoint that was not tried yet.
    pub(crate) fn has_more(&self, tried: &[SocketAddr]) -> bool {
        let destination = self.known();
        let endpoints = destination.as_deref().and_then(endpoints).unwrap_or_default();
        endpoints.iter().any(|endpoint| !tried.contains(&endpoint.address))
    }

    /// The Service's name inside the cluster, for HTTP/2 requests that name no host.
    pub(crate) fn host(&self) -> String {
        let ServicePort { namespace, name, port } = &self.service;
        format!("{name}.{namespace}:{port}")
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
        let ServicePort { namespace, name, port } = self.service.clone();
        let query = Query::Service { namespace, name: name.to_string(), port };
        let subscription = shared.destinations.lookup(query).await.map_err(|error| {
            tracing::warn!(service = %self, %error, "an outbound call is refused");
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
        self.service.fmt(formatter)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are stored, also when a thread panicked beside it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn endpoints(destination: &Destination) -> Option<&[Endpoint]> {
    match destination {
        Destination::Endpoints(endpoints) => Some(&endpoints.ready),
        Destination::Outside | Destination::Unknown => None,
    }
}
