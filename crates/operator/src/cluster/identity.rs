//! Who a token speaks for, in a cluster: the API server reviews it, and the pod it is bound to must be there.
//!
//! ```text
//!  token --peek--> shape, audience, bound to a pod   (costs us nothing, so that garbage costs nobody anything)
//!        --TokenReview--> Bound { namespace, service account and its uid, pod and its uid, node }
//!        --pod, namespace, service account--> Proven { pod, identity }
//! ```
//!
//! INVARIANT: an identity comes from the review and from nothing else. What the reflectors hold can only agree; where it
//! does not, the API server is asked, so a watch that lags refuses nobody.

mod api;
mod gate;
mod pod;
mod refusal;
mod review;
mod token;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bailiwick_identity::{SpiffeId, TrustDomain};

use self::api::Api;
use self::gate::Gate;
use self::pod::check_pod;
use self::refusal::Refusal;
use self::review::Bound;
use self::token::peek;
use super::context::ClusterContext;
use super::events::{self, Events, Reason};
use super::injection::Injection;
use super::stores::Stores;
use crate::identity::{Proven, Unproven};

/// Asks the API server about tokens.
pub(crate) struct Reviewer {
    api: Api,
    stores: Arc<Stores>,
    trust_domain: TrustDomain,
    injection: Injection,
    events: Events,
    gate: Gate,
    /// Whether a token must come from its own pod's address.
    check_pod_address: bool,
}

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Reviewer")
            .field("trust_domain", &self.trust_domain)
            .field("check_pod_address", &self.check_pod_address)
            .finish_non_exhaustive()
    }
}

impl Reviewer {
    pub(crate) fn new(
        context: &ClusterContext,
        injection: Injection,
        events: Events,
        check_pod_address: bool,
    ) -> Self {
        Self {
            api: Api::new(context.client.clone()),
            stores: Arc::clone(&context.stores),
            trust_domain: context.trust_domain.clone(),
            injection,
            events,
            gate: Gate::default(),
            check_pod_address,
        }
    }

    /// The pod that a token speaks for and its identity, shown by a peer at this address.
    ///
    /// No answer is remembered: a sidecar asks twice a day, and a token may be void the next second.
    pub(crate) async fn prove(&self, token: &[u8], peer: IpAddr) -> Result<Proven, Unproven> {
        let bound = self.review(token, peer).await.map_err(|refusal| refusal.into_unproven(None))?;
        match self.check(&bound, peer).await {
            Ok(identity) => Ok(Proven { workload: bound.pod, identity: Some(identity) }),
            Err(refusal) => {
                if refusal.is_for_people() {
                    let about = events::pod(&bound.pod, &bound.pod_uid);
                    self.events.warn(about, Reason::CertificateRefused, &refusal.to_string());
                }
                Err(refusal.into_unproven(Some(bound.pod)))
            }
        }
    }

    async fn review(&self, token: &[u8], peer: IpAddr) -> Result<Bound, Refusal> {
        let token = peek(token)?;
        // Behind a network that hides addresses all pods would share one turn.
        if self.check_pod_address {
            self.gate.address(peer, Instant::now()).map_err(|wait| Refusal::Busy { wait })?;
        }
        let turn = self.gate.review(Instant::now()).map_err(|wait| Refusal::Busy { wait })?;
        tokio::time::sleep(turn).await;
        Ok(Bound::read(&self.api.review(token).await?)?)
    }

    async fn check(&self, bound: &Bound, peer: IpAddr) -> Result<SpiffeId, Refusal> {
        self.check_namespace(bound).await?;
        self.check_pod(bound, peer).await?;
        self.check_account(bound).await?;
        SpiffeId::for_service_account(&self.trust_domain, &bound.pod.namespace, &bound.service_account)
            .map_err(|_| Refusal::NoIdentity)
    }

    async fn check_namespace(&self, bound: &Bound) -> Result<(), Refusal> {
        let namespace = &bound.pod.namespace;
        if self.injection.is_exempt(namespace.as_str(), bound.service_account.as_str()) {
            return Err(Refusal::Exempt);
        }
        if self.stores.is_enrolled(namespace.as_str()) || self.api.is_enrolled(namespace).await? {
            return Ok(());
        }
        Err(Refusal::NotEnrolled { namespace: namespace.clone() })
    }

    async fn check_pod(&self, bound: &Bound, peer: IpAddr) -> Result<(), Refusal> {
        let from = self.check_pod_address.then_some(peer);
        let (namespace, name) = (bound.pod.namespace.as_str(), bound.pod.name.as_str());
        let held = self.stores.pods.get(namespace, name);
        if held.is_some_and(|item| check_pod(bound, &item.uid, &item.content, from).is_ok()) {
            return Ok(());
        }
        let live = self.api.pod(&bound.pod).await?;
        let (uid, live) = live.ok_or(Refusal::Pod(pod::PodRefusal::Gone))?;
        Ok(check_pod(bound, &uid, &live, from)?)
    }

    /// The review names the uid of the service account that the token was made for; an account of the same name that
    /// was made anew is another one.
    async fn check_account(&self, bound: &Bound) -> Result<(), Refusal> {
        match self.api.service_account_uid(&bound.pod.namespace, &bound.service_account).await? {
            Some(uid) if uid == bound.service_account_uid => Ok(()),
            Some(_) => Err(Refusal::OtherAccount),
            None => Err(Refusal::AccountGone),
        }
    }
}
