//! The process: open the state, read the source, publish, then serve until told to end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use bailiwick_authn::{CredentialStore, ServerTls, TrustStore};
use bailiwick_ca::{Authority, RootError, write_bundle_pem};
use bailiwick_compile::{Compiler, MeshSettings};
use bailiwick_identity::{SpiffeId, TrustDomain};
use bailiwick_runtime::accept::{Acceptor, ReusePort, listen};
use bailiwick_runtime::admin::{Admin, BoundAdmin};
use bailiwick_runtime::drain::{Drain, Drained, shutdown_signal};
use bailiwick_runtime::metrics::Metrics;
use bailiwick_runtime::ready::Readiness;
use bailiwick_wire::{Digest, encode_bundle};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::audit::AuditLog;
use crate::config::Config;
use crate::configuration::ConfigurationService;
use crate::destinations::DestinationsService;
use crate::identity::IdentityService;
use crate::metrics::OperatorMetrics;
use crate::own_certificate;
use crate::pipeline::{Outlets, Pipeline};
use crate::publish::Publisher;
use crate::rate::{IssueLimits, Rate};
use crate::ready_file::ReadyFile;
use crate::serve::{Listener, Services};
use crate::source::{Followers, Source, Watcher};
use crate::state::StateFolder;
use crate::status::StatusBoard;
use crate::tokens::Tokens;

/// Five thousand sidecars that come at once are all served within ten seconds.
const ISSUE_ALL: Rate = Rate { burst: 1000, per_second: 500 };
/// A workload's replicas may all start at once; a loop of one workload stays small.
const ISSUE_EACH: Rate = Rate { burst: 200, per_second: 10 };
/// How long streams may take to end at SIGTERM. They are told at once, and sidecars come again by themselves.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// When the state folder, a port or the runtime cannot be had, or the thread that compiles ends.
pub fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("operator")
        .build()
        .context("the runtime cannot start")?;
    let ended = runtime.block_on(serve(config));
    // Connections that did not end within the drain are cut here.
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let shutdown = shutdown_signal().context("signals cannot be caught")?;
    let running = start(config)?;
    let ended = tokio::select! {
        signal = shutdown => {
            tracing::info!(signal = signal.name(), "stopping");
            Ok(())
        }
        () = running.dead.cancelled() => Err(anyhow!("the thread that reads and compiles has ended; see the log")),
    };
    running.stop().await;
    ended
}

/// An operator that serves.
struct Running {
    drain: Drain,
    readiness: Readiness,
    /// Cancelled when the thread that reads and compiles has ended, also by a panic.
    dead: CancellationToken,
    /// That thread ends when this is dropped.
    watching: Sender<()>,
    /// The admin server ends when this is dropped: last of all.
    admin: oneshot::Sender<()>,
    #[cfg(test)]
    places: Places,
}

/// Where everything is.
#[derive(Debug, Clone, Copy)]
struct Places {
    identity: SocketAddr,
    configuration: SocketAddr,
    admin: SocketAddr,
}

/// Opens everything, publishes for the first time, and serves.
fn start(config: Config) -> anyhow::Result<Running> {
    let (readiness, starting) = Readiness::starting();
    let mut operator = Operator::open(config, readiness.clone())?;
    let drain = Drain::new();
    let (watching, dead) = operator.watch()?;
    let bound = operator.bind()?;
    let places = bound.places()?;
    let Bound { identity, configuration, admin } = bound;
    let (identity_listener, configuration_listener) = operator.listeners(&drain);
    let Operator { authority, id, credentials, .. } = &operator;
    let (authority, id, credentials) = (Arc::clone(authority), id.clone(), Arc::clone(credentials));
    tokio::spawn(own_certificate::keep(authority, id, credentials, drain.watch()));
    tokio::spawn(drain.watch().hold(identity_listener.serve(identity)));
    tokio::spawn(drain.watch().hold(configuration_listener.serve(configuration)));
    starting.done();
    operator.announce(places)?;
    let (end_admin, admin_ended) = oneshot::channel::<()>();
    // The lock of the state folder is held until the very end, too.
    let state = operator.state;
    tokio::spawn(async move {
        admin.serve(async move { drop(admin_ended.await) }).await;
        drop(state);
    });
    let Places { identity, configuration, admin } = places;
    tracing::info!(%identity, %configuration, %admin, "serving");
    Ok(Running {
        drain,
        readiness,
        dead,
        watching,
        admin: end_admin,
        #[cfg(test)]
        places,
    })
}

impl Running {
    async fn stop(self) {
        let _draining = self.readiness.block("draining");
        drop(self.watching);
        // The state folder is not left to another operator while that thread may still write to it.
        if timeout(DRAIN_DEADLINE, self.dead.cancelled()).await.is_err() {
            tracing::warn!("the compile did not end in time");
        }
        if let Drained::DeadlinePassed { left } = self.drain.drained(DRAIN_DEADLINE).await {
            tracing::warn!(left, "not every stream ended in time");
        }
        drop(self.admin);
    }
}

/// Everything that lives as long as the process.
struct Operator {
    config: Config,
    state: StateFolder,
    readiness: Readiness,
    metrics: Metrics,
    outlets: Outlets,
    tokens: Arc<Tokens>,
    limits: Arc<IssueLimits>,
    authority: Arc<Authority>,
    id: SpiffeId,
    credentials: Arc<CredentialStore>,
    trust: Arc<TrustStore>,
    audit: AuditLog,
    watcher: Option<Watcher>,
}

struct Bound {
    identity: Acceptor,
    configuration: Acceptor,
    admin: BoundAdmin,
}

impl Bound {
    fn places(&self) -> io::Result<Places> {
        Ok(Places {
            identity: self.identity.local_addr()?,
            configuration: self.configuration.local_addr()?,
            admin: self.admin.address(),
        })
    }
}

impl Operator {
    fn open(config: Config, readiness: Readiness) -> anyhow::Result<Self> {
        let state = StateFolder::open(&config.state)?;
        let source = Source::open(config.source.clone(), config.addresses.clone());
        let mut compiler = Compiler::default();
        let mesh = compiler.compile(&source.input().world).mesh;
        let authority = Arc::new(open_root(&state, &mesh)?);
        let domain = authority.trust_domain().clone();
        let marks = state.marks(&Digest::of(authority.root_der()), SystemTime::now())?;
        let metrics = Metrics::new("bailiwick_operator");
        metrics.build_info(env!("CARGO_PKG_VERSION"));
        let counted = OperatorMetrics::register(&metrics);
        let bundle = authority.bundle();
        write_bundle_pem(&state.bundle_file(), &bundle)?;
        let outlets = Outlets {
            publisher: Arc::new(Publisher::new(domain.clone(), Arc::from(encode_bundle(&bundle)))),
            status: Arc::new(StatusBoard::new(counted.clone())),
            metrics: counted,
        };
        let tokens = Arc::new(Tokens::open(state.tokens_folder())?);
        let limits = Arc::new(IssueLimits::new(ISSUE_ALL, ISSUE_EACH));
        let id = own_certificate::operator_id(&domain)?;
        let credentials = Arc::new(CredentialStore::default());
        own_certificate::renew(&authority, &id, &credentials)?;
        let audit = AuditLog::start(events(), outlets.metrics.audit_events_dropped.clone())
            .context("the audit thread cannot start")?;
        let pipeline = Pipeline::new(compiler, marks, domain, outlets.clone());
        let followers =
            Followers { tokens: Arc::clone(&tokens), limits: Arc::clone(&limits), operator: id.clone() };
        let watcher = Some(Watcher::new(source, pipeline, outlets.clone(), followers));
        let trust = Arc::new(TrustStore::new(bundle)?);
        Ok(Self {
            config,
            state,
            readiness,
            metrics,
            outlets,
            tokens,
            limits,
            authority,
            id,
            credentials,
            trust,
            audit,
            watcher,
        })
    }

    /// Publishes for the first time, and starts the thread that does it again whenever something changes. It ends
    /// when the first of the two is dropped; the second is cancelled once it has ended.
    fn watch(&mut self) -> anyhow::Result<(Sender<()>, CancellationToken)> {
        let mut watcher = self.watcher.take().context("the source is watched already")?;
        if !watcher.first() {
            return Err(anyhow!(
                "the state folder `{}` cannot be written; see the log",
                self.state.path().display()
            ));
        }
        let (stop, stopped): (Sender<()>, Receiver<()>) = channel();
        let dead = CancellationToken::new();
        let guard = dead.clone().drop_guard();
        let run = move || {
            let _ended = guard;
            watcher.run(&stopped);
        };
        std::thread::Builder::new().name("pipeline".to_owned()).spawn(run)?;
        Ok((stop, dead))
    }

    fn bind(&self) -> anyhow::Result<Bound> {
        let identity = Acceptor::new(listen(self.config.identity_listen, ReusePort::No)?);
        let configuration = Acceptor::new(listen(self.config.configuration_listen, ReusePort::No)?);
        let status = Arc::clone(&self.outlets.status);
        let admin = Admin::new(self.readiness.clone(), self.metrics.clone())
            .with_config(move || status.to_json())
            .bind(&self.config.admin)?;
        Ok(Bound { identity, configuration, admin })
    }

    fn listeners(&self, drain: &Drain) -> (Listener, Listener) {
        let Outlets { publisher, status, metrics } = self.outlets.clone();
        let identity = Services::identity(IdentityService {
            authority: Arc::clone(&self.authority),
            tokens: Arc::clone(&self.tokens),
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
        let workloads =
            Services::workloads(configuration, DestinationsService::new(publisher, drain.watch()));
        let listener = |services| Listener {
            services,
            tls: Arc::new(ServerTls::control(Arc::clone(&self.credentials), Arc::clone(&self.trust))),
            domain: self.authority.trust_domain().clone(),
            audit: self.audit.clone(),
            metrics: metrics.clone(),
            drain: drain.watch(),
        };
        (listener(identity), listener(workloads))
    }

    /// Says where everything listens, in the ready file.
    fn announce(&self, places: Places) -> anyhow::Result<()> {
        let Some(path) = &self.config.ready_file else { return Ok(()) };
        let bundle_file = std::path::absolute(self.state.bundle_file())?;
        let tokens_folder = std::path::absolute(self.state.tokens_folder())?;
        let ready = ReadyFile {
            identity: places.identity,
            configuration: places.configuration,
            admin: places.admin,
            operator: self.id.to_string(),
            trust_domain: self.authority.trust_domain().to_string(),
            bundle_file: &bundle_file,
            tokens_folder: &tokens_folder,
            pid: std::process::id(),
        };
        ready.write(path).with_context(|| format!("`{}` cannot be written", path.display()))
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

/// Opens the root of the mesh's own trust domain. Where the folder's TrustDomain objects are broken, nobody knows
/// what the domain should be: then the root's own one is kept, and nothing is issued.
fn open_root(state: &StateFolder, mesh: &MeshSettings) -> anyhow::Result<Authority> {
    let open = |domain: &TrustDomain| Authority::open(state.path(), domain, SystemTime::now());
    match open(&mesh.trust_domain) {
        Err(RootError::TrustDomain { found, .. }) if !mesh.issues => Ok(open(&found.parse()?)?),
        opened => Ok(opened?),
    }
}

#[cfg(test)]
mod tests;
