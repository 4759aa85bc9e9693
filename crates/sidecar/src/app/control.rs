//! The control thread: certificate, configuration, destinations, admin server, and the end of the process.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use anyhow::bail;
use bailiwick_agent::{
    ConfigStream, DestinationsTask, Dialer, Renewal, RenewalSettings, ReportsTask, StreamSettings,
};
use bailiwick_runtime::admin::Admin;
use bailiwick_runtime::drain::{drain_signal, shutdown_signal};
use bailiwick_runtime::metrics::Metrics;
use bailiwick_runtime::ready::Blocker;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{drain, dump};
use crate::config::{Captured, Config, DataPlane};
use crate::pod_port::PodPort;
use crate::proof::Prover;
use crate::shared::Shared;

/// What the control thread works with.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) identity: Dialer,
    pub(super) configuration: Dialer,
    pub(super) lookups: DestinationsTask,
    pub(super) reporting: ReportsTask,
    pub(super) registry: Metrics,
    pub(super) pod_port: Vec<TcpListener>,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: CancellationToken,
}

impl Control {
    /// Works until a signal came and the drain is over.
    ///
    /// # Errors
    /// When the admin server cannot start, or the data plane ended unasked.
    pub(super) async fn run(self, config: &Config, starting: Blocker) -> anyhow::Result<()> {
        let shutdown = shutdown_signal()?;
        let announced = drain_signal()?;
        let shared = Arc::clone(&self.shared);
        let dumped = Arc::clone(&shared);
        let admin = Admin::new(shared.readiness.clone(), self.registry.clone())
            .with_config(move || dump::json(&dumped))
            .bind(&config.admin)?;
        tracing::info!(
            workload = %shared.workload, admin = %admin.address(), inbound = ?shared.own_listeners.inbound,
            outbound = ?shared.own_listeners.outbound,
            version = env!("CARGO_PKG_VERSION"), "the sidecar starts"
        );
        wait_for_first_state(&shared);
        match &config.data_plane {
            DataPlane::Captured(pod) => self.serve_pod(pod)?,
            DataPlane::Listed { .. } => {}
        }
        starting.done();
        tokio::spawn(admin.serve(std::future::pending()));
        let stop = self.stop.clone();
        self.spawn_agents(config);
        let _draining = tokio::select! {
            draining = drain::asked(&shared, announced, shutdown) => draining,
            () = stop.cancelled() => bail!("a data-plane thread ended unasked"),
        };
        drain::finish(&shared, config).await
    }

    /// What only a pod's sidecar does: proves the capture, family by family, and answers the kubelet.
    fn serve_pod(&self, pod: &Captured) -> io::Result<()> {
        let first = |is_family: fn(&IpAddr) -> bool| pod.addresses.iter().copied().find(is_family);
        for address in [first(IpAddr::is_ipv4), first(IpAddr::is_ipv6)].into_iter().flatten() {
            let prover = Prover::new(address, &self.shared.readiness);
            tokio::spawn(prover.run(Arc::clone(&self.shared.output_proof)));
        }
        let port = PodPort::new(
            pod,
            self.shared.node.clone(),
            Admin::new(self.shared.readiness.clone(), self.registry.clone()),
        );
        for listener in &self.pod_port {
            let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
            tokio::spawn(Arc::clone(&port).serve(listener));
        }
        Ok(())
    }

    fn spawn_agents(self, config: &Config) {
        let shared = &self.shared;
        let settings = RenewalSettings {
            token_file: config.control.token_file.clone(),
            bundle_file: config.control.bundle_file.clone(),
            // The token names the service account; the first certificate binds this process to it.
            expected: None,
        };
        let (credentials, trust) = (Arc::clone(&shared.credentials), Arc::clone(&shared.trust));
        let renewal = Renewal::new(self.identity, settings, credentials, trust, shared.audit.clone());
        tokio::spawn(renewal.run());
        let settings = StreamSettings {
            workload: shared.workload.clone(),
            instance: config.instance.clone().unwrap_or_else(|| shared.ids.connection().to_string()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let stream = ConfigStream::new(
            self.configuration,
            settings,
            Arc::clone(&shared.credentials),
            Arc::clone(&shared.config),
            Arc::clone(&shared.trust),
        );
        tokio::spawn(stream.run());
        tokio::spawn(self.lookups.run());
        tokio::spawn(self.reporting.run());
    }
}

/// Holds the process unready until there is a certificate, somebody to believe, and something to enforce.
fn wait_for_first_state(shared: &Arc<Shared>) {
    let certificate = shared.readiness.block("certificate");
    let bundle = shared.readiness.block("bundle");
    let snapshot = shared.readiness.block("snapshot");
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        reached(shared.credentials.subscribe(), |generation| *generation != 0).await;
        certificate.done();
        reached(shared.trust.subscribe(), |_| !shared.trust.current().bundle().is_empty()).await;
        bundle.done();
        reached(shared.config.subscribe(), |generation| *generation != 0).await;
        snapshot.done();
        // Set here only, so it cannot have been set before.
        drop(shared.started.set(()));
        tracing::info!("ready: certificate, bundle and first snapshot are there");
    });
}

/// FAIL-CLOSED: if what is waited for went away, it is waited for without end, and the process stays unready.
async fn reached(mut state: watch::Receiver<u64>, condition: impl FnMut(&u64) -> bool) {
    if state.wait_for(condition).await.is_err() {
        std::future::pending::<()>().await;
    }
}
