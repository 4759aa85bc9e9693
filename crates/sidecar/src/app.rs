//! The process: what is started, in which order, on which thread, and how it ends.
//!
//! ```text
//!  main thread (control)         data-plane threads, one runtime each
//!  renewal, configuration,       inbound and outbound listeners (SO_REUSEPORT),
//!  destinations, admin, signals  enforcer, pools
//!            \______ Shared ______/
//! ```
//!
//! Control work never runs on a data-plane thread: a slow handshake of the control channel must not delay a call.

mod control;
mod drain;
mod dump;
mod gauges;
mod listeners;
mod threads;

use std::sync::Arc;

use anyhow::Context as _;
use bailiwick_agent::audit::{AuditSink, EventIds};
use bailiwick_agent::{ConfigStore, Destinations, Dialer, Reports};
use bailiwick_authn::{ClientTls, CredentialStore, TrustStore};
use bailiwick_identity::TrustBundle;
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::metrics::Metrics;
use bailiwick_runtime::ready::Readiness;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::connections::Connections;
use crate::metrics::SidecarMetrics;
use crate::proof::OutputProof;
use crate::shared::Shared;

/// Runs a sidecar until a signal ends it.
///
/// # Errors
/// When a port is taken, or a thread ends unasked.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    bailiwick_runtime::log::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Ports are taken before anything else is begun, so that a wrong one is told at once.
    let mut listeners = listeners::bind(&config)?;
    let (readiness, starting) = Readiness::starting();
    let registry = Metrics::new("bailiwick");
    let credentials = Arc::new(CredentialStore::default());
    let trust = Arc::new(TrustStore::new(TrustBundle::default())?);
    let control_tls = Arc::new(ClientTls::control(Arc::clone(&credentials), Arc::clone(&trust)));
    let dialer =
        |address: &str| Dialer::new(address, config.control.operator.clone(), Arc::clone(&control_tls));
    let (destinations, lookups) =
        Destinations::new(dialer(&config.control.configuration), Arc::clone(&credentials));
    let (reports, reporting) = Reports::new(dialer(&config.control.configuration), Arc::clone(&credentials));
    let metrics = SidecarMetrics::new(&registry);
    let shared = Arc::new(Shared {
        workload: config.workload.clone(),
        config: Arc::new(ConfigStore::default()),
        client_tls: ClientTls::mesh(Arc::clone(&credentials), Arc::clone(&trust)),
        credentials,
        trust,
        destinations,
        audit: AuditSink::open(&config.audit)?,
        reports,
        ids: EventIds::default(),
        connections: Connections::new(&config.limits, &metrics),
        metrics,
        limits: config.limits.clone(),
        own_listeners: listeners.own(),
        pod_addresses: config.data_plane.pod_addresses(),
        node: config.data_plane.node(),
        drain: Drain::new(),
        grace: config.drain.grace,
        readiness,
        started: SetOnce::new(),
        output_proof: Arc::new(OutputProof::default()),
    });
    gauges::register(&registry, &shared);
    let stop = CancellationToken::new();
    let control = control::Control {
        identity: dialer(&config.control.identity),
        configuration: dialer(&config.control.configuration),
        lookups,
        reporting,
        registry,
        pod_port: listeners.take_pod_port(),
        shared: Arc::clone(&shared),
        stop: stop.clone(),
    };
    let plane = threads::start(&config, listeners, &shared, &stop)?;
    let ended = runtime.block_on(control.run(&config, starting));
    stop.cancel();
    plane.join().context("a data-plane thread failed")?;
    ended
}
