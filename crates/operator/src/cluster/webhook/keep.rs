//! Keeps the Secret of the webhooks' certificate, and serves what it holds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bailiwick_authn::AdmissionTls;
use bailiwick_runtime::ready::Blocker;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::certificate::{Parts, SECRET, names};
use crate::cluster::bundles::Leads;
use crate::cluster::context::ClusterContext;
use crate::cluster::events::{self, Events, Reason};
use crate::cluster::single;

/// Between two looks at the dates.
const LOOK: Duration = Duration::from_secs(30);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);

/// What is known of the Secret: nothing yet, or its last version.
type Known = Option<Option<Secret>>;

/// Serves the certificate of the Secret, makes and renews it, until the drain begins.
pub(super) struct Keeper {
    pub(super) context: ClusterContext,
    pub(super) tls: Arc<AdmissionTls>,
    /// What the API server is to believe.
    pub(super) bundle: watch::Sender<Option<String>>,
    pub(super) leads: Leads,
    pub(super) events: Events,
    /// Not ready before there is a certificate.
    pub(super) blocker: Option<Blocker>,
}

impl Keeper {
    pub(super) async fn run(mut self) {
        let api = Api::<Secret>::namespaced(self.context.client.clone(), self.context.namespace.as_str());
        let drain = self.context.drain.clone();
        let (sender, mut versions) = watch::channel::<Known>(None);
        let follow = single::follow(api.clone(), SECRET, &drain, |version| {
            sender.send_replace(Some(version));
        });
        let names = names(self.context.namespace.as_str());
        let keep = async {
            loop {
                let version = versions.borrow_and_update().clone();
                if let Some(version) = version {
                    self.take(&api, version, &names).await;
                }
                tokio::select! {
                    told = versions.changed() => if told.is_err() { return },
                    () = sleep(LOOK) => {}
                }
            }
        };
        tokio::select! {
            () = follow => {}
            () = keep => {}
        }
    }

    async fn take(&mut self, api: &Api<Secret>, version: Option<Secret>, names: &[String]) {
        let parts = version.as_ref().and_then(Parts::read);
        if let Some(parts) = &parts {
            self.serve(parts);
        }
        let now = SystemTime::now();
        let next = match (&version, &parts) {
            // Whoever comes first makes it: there is no leader before an operator is ready.
            (None, _) => Parts::make(names, now).map(Some),
            (Some(_), _) if !(self.leads)() => return,
            (Some(_), Some(parts)) => parts.next(names, now),
            // What cannot be read is nobody's backup: the API server learns of a new one at once.
            (Some(_), None) => Parts::make(names, now).map(Some),
        };
        match next {
            Ok(None) => {}
            Ok(Some(next)) => self.write(api, version.as_ref(), &next).await,
            Err(error) => self.problem(&format!("its next certificate cannot be made: {error}")),
        }
    }

    fn serve(&mut self, parts: &Parts) {
        if let Err(error) = self.tls.replace(parts.certificate.as_bytes(), parts.key.as_bytes()) {
            return self.problem(&format!("its certificate cannot be served: {error}"));
        }
        self.bundle.send_if_modified(|known| {
            let bundle = Some(parts.bundle());
            let changed = *known != bundle;
            *known = bundle;
            changed
        });
        if let Some(blocker) = self.blocker.take() {
            blocker.done();
        }
    }

    /// Writes only over the version that was read: of two writers the second reads again.
    async fn write(&self, api: &Api<Secret>, version: Option<&Secret>, next: &Parts) {
        let parameters = PostParams {
            field_manager: Some(crate::cluster::context::OPERATOR.to_owned()),
            ..PostParams::default()
        };
        let secret = next.secret(version.and_then(|secret| secret.metadata.resource_version.clone()));
        let written = match version {
            None => timeout(REQUEST, api.create(&parameters, &secret)).await,
            Some(_) => timeout(REQUEST, api.replace(SECRET, &parameters, &secret)).await,
        };
        match written {
            Ok(Ok(_)) => tracing::info!("the webhooks' certificate was renewed in Secret `{SECRET}`"),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
            Ok(Err(error)) => self.problem(&format!("its Secret cannot be written: {error}")),
            Err(_) => self.problem("its Secret cannot be written in time"),
        }
    }

    fn problem(&self, what: &str) {
        tracing::error!("the webhooks: {what}; it is tried again");
        let about = events::core("Secret", self.context.namespace.as_str(), SECRET);
        self.events.warn(about, Reason::WebhookNotReady, what);
    }
}
