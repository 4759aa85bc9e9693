//! Where calls to one Service lead, asked once and kept current while calls come.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bailiwick_agent::Subscription;
use bailiwick_policy::PortProtocol;
use bailiwick_wire::{Destination, Endpoint, Query};

use crate::config::ServicePort;
use crate::outbound::failure::Failure;
use crate::shared::{Shared, Worker};

/// The way to one Service, for one thread.
#[derive(Debug)]
pub(crate) struct Route {
    service: ServicePort,
    // INVARIANT: once there is an answer it is held, so that it stays subscribed; a newer one replaces it.
    answer: Mutex<Option<Answer>>,
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
    pub(crate) const fn new(service: ServicePort) -> Self {
        Self { service, answer: Mutex::new(None) }
    }

    /// A route whose answer is known.
    #[cfg(test)]
    pub(crate) fn fixed(service: ServicePort, destination: Destination) -> Self {
        Self { service, answer: Mutex::new(Some(Answer::Fixed(Arc::new(destination)))) }
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
        let ServicePort { namespace, name, port } = self.service.clone();
        let query = Query::Service { namespace, name: name.to_string(), port };
        let subscription = shared.destinations.lookup(query).await.map_err(|error| {
            tracing::warn!(service = %self, %error, "an outbound call is refused");
            Failure::NoAnswer(self.to_string())
        })?;
        let destination = subscription.current();
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Answer::Subscribed(subscription));
        Ok(destination)
    }

    fn known(&self) -> Option<Arc<Destination>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Answer::current)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(formatter)
    }
}

fn endpoints(destination: &Destination) -> Option<&[Endpoint]> {
    match destination {
        Destination::Endpoints(endpoints) => Some(endpoints),
        Destination::Outside | Destination::Unknown => None,
    }
}
