//! What a folder and a cluster have in common: everything that serves, around one publisher.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::Context as _;
use bailiwick_authn::{CredentialStore, ServerTls, TrustStore};
use bailiwick_ca::Authority;
use bailiwick_identity::SpiffeId;
use bailiwick_runtime::accept::{Acceptor, ReusePort, listen};
use bailiwick_runtime::admin::{Admin, BoundAdmin};
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::metrics::Metrics;
use bailiwick_runtime::ready::Readiness;
use bailiwick_wire::encode_bundle;
use tokio_util::sync::CancellationToken;

use crate::audit::AuditLog;
use crate::config::Config;
use crate::configuration::ConfigurationService;
use crate::destinations::{DestinationsService, Directory};
use crate::identity::{IdentityService, Prover};
use crate::metrics::OperatorMetrics;
use crate::own_certificate;
use crate::pipeline::Outlets;
use crate::publish::Publisher;
use crate::rate::{IssueLimits, Rate};
use crate::reports::{Denials, ReportsService};
use crate::serve::{Listener, Services};
use crate::status::StatusBoard;

/// Five thousand sidecars that come at once are all served within ten seconds.
const ISSUE_ALL: Rate = Rate { burst: 1000, per_second: 500 };
/// A workload's replicas may all start at once; a loop of one workload stays small.
const ISSUE_EACH: Rate = Rate { burst: 200, per_second: 10 };
/// Denials of an answer where the question does not say how many.
const DENIALS: usize = 100;

/// Everything that serves, whatever the source of the world is.
pub(crate) struct Control {
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    pub(crate) outlets: Outlets,
    pub(crate) limits: Arc<IssueLimits>,
    pub(crate) authority: Arc<Authority>,
    /// The operator's own identity.
    pub(crate) id: SpiffeId,
    pub(crate) credentials: Arc<CredentialStore>,
    pub(crate) trust: Arc<TrustStore>,
    pub(crate) audit: AuditLog,
    /// What `why` answers from.
    pub(crate) denials: Arc<Denials>,
}

/// The ports, taken and not answered yet.
pub(crate) struct Bound {
    pub(crate) identity: Acceptor,
    pub(crate) configuration: Acceptor,
    pub(crate) admin: BoundAdmin,
}

/// Where everything is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) identity: SocketAddr,
    pub(crate) configuration: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// A thread of ours. It ends when `watching` is dropped; `dead` is cancelled once it has ended, also by a panic.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) watching: Sender<()>,
    pub(crate) dead: CancellationToken,
}

impl Worker {
    /// Runs `work` until it returns, which it does once its receiver is disconnected.
    pub(crate) fn spawn(work: impl FnOnce(&Receiver<()>) + Send + 'static) -> io::Result<Self> {
        let (watching, stopped) = channel();
        let dead = CancellationToken::new();
        let guard = dead.clone().drop_guard();
        let run = move || {
            let _ended = guard;
            work(&stopped);
        };
        std::thread::Builder::new().name("pipeline".to_owned()).spawn(run)?;
        Ok(Self { watching, dead })
    }
}

impl Bound {
    pub(crate) fn places(&self) -> io::Result<Places> {
        Ok(Places {
            identity: self.identity.local_addr()?,
            configuration: self.configuration.local_addr()?,
            admin: self.admin.address(),
        })
    }
}

impl Control {
    /// `namespace` is the operator's own.
    pub(crate) fn open(
        authority: Arc<Authority>,
        namespace: &str,
        metrics: Metrics,
        readiness: Readiness,
    ) -> anyhow::Result<Self> {
        let counted = OperatorMetrics::register(&metrics);
        let domain = authority.trust_domain().clone();
        let bundle = authority.bundle();
        let outlets = Outlets {
            publisher: Arc::new(Publisher::new(domain.clone(), Arc::from(encode_bundle(&bundle)))),
            status: Arc::new(StatusBoard::new(counted.clone())),
            metrics: counted,
        };
        let id = own_certificate::operator_id(&domain, namespace)?;
        let credentials = Arc::new(CredentialStore::default());
        own_certificate::renew(&authority, &id, &credentials)?;
        let audit = AuditLog::start(events(), outlets.metrics.audit_events_dropped.clone())
            .context("the audit thread cannot start")?;
        Ok(Self {
            readiness,
            metrics,
            outlets,
            limits: Arc::new(IssueLimits::new(ISSUE_ALL, ISSUE_EACH)),
            authority,
            id,
            credentials,
            trust: Arc::new(TrustStore::new(bundle)?),
            audit,
            denials: Arc::default(),
        })
    }

    /// Takes the ports that both sources have. `dump` is what `/config` answers.
    pub(crate) fn bind(
        &self,
        config: &Config,
        dump: impl Fn() -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Bound> {
        let identity = Acceptor::new(listen(config.identity_listen, ReusePort::No)?);
        let configuration = Acceptor::new(listen(config.configuration_listen, ReusePort::No)?);
        let (why, list) = (Arc::clone(&self.denials), Arc::clone(&self.denials));
        let admin = Admin::new(self.readiness.clone(), self.metrics.clone())
            .with_config(dump)
            .with_route("/why", move |query| why.why(query.get("id")?))
            .with_route("/denials", move |query| {
                let limit = query.get("limit").and_then(|limit| limit.parse().ok());
                Some(list.list(query.get("namespace"), limit.unwrap_or(DENIALS)))
            })
            .bind(&config.admin)?;
        Ok(Bound { identity, configuration, admin })
    }

    /// Serves sidecars, and keeps the own certificate fresh, until the drain begins.
    pub(crate) fn serve(
        &self,
        identity: Acceptor,
        configuration: Acceptor,
        (prover, directory): (Prover, Directory),
        drain: &Drain,
    ) {
        let (identity_listener, configuration_listener) = self.listeners(prover, directory, drain);
        let (authority, id, credentials) =
            (Arc::clone(&self.authority), self.id.clone(), Arc::clone(&self.credentials));
        tokio::spawn(own_certificate::keep(authority, id, credentials, drain.watch()));
        tokio::spawn(drain.watch().hold(identity_listener.serve(identity)));
        tokio::spawn(drain.watch().hold(configuration_listener.serve(configuration)));
    }

    fn listeners(&self, prover: Prover, directory: Directory, drain: &Drain) -> (Listener, Listener) {
        let Outlets { publisher, status, metrics } = self.outlets.clone();
        let identity = Services::identity(IdentityService {
            authority: Arc::clone(&self.authority),
            prover,
            limits: Arc::clone(&self.limits),
            publisher: Arc::clone(&publisher),
            operator: self.id.clone(),
            audit: self.audit.clone(),
            metrics: metrics.clone(),
        });
        let configuration = ConfigurationService {
            publisher: Arc::clone(&publisher),
            status,
            audit: self.audit.clone(),
            metrics: metrics.clone(),
            drain: drain.watch(),
        };
        let reports = ReportsService {
            publisher: Arc::clone(&publisher),
            denials: Arc::clone(&self.denials),
            metrics,
            drain: drain.watch(),
        };
        let destinations = DestinationsService::new(publisher, directory, drain.watch());
        let workloads = Services::workloads(configuration, destinations, reports);
        (self.listener(identity, drain), self.listener(workloads, drain))
    }

    /// A listener with the operator's own certificate.
    pub(crate) fn listener(&self, services: Services, drain: &Drain) -> Listener {
        Listener {
            services,
            tls: Arc::new(ServerTls::control(Arc::clone(&self.credentials), Arc::clone(&self.trust))),
            domain: self.authority.trust_domain().clone(),
            audit: self.audit.clone(),
            metrics: self.outlets.metrics.clone(),
            drain: drain.watch(),
        }
    }
}

/// Where authentication events go.
#[cfg(not(test))]
fn events() -> io::Stdout {
    io::stdout()
}

#[cfg(test)]
fn events() -> io::Sink {
    io::sink()
}
