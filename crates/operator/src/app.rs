//! The process: start from a folder or in a cluster, then serve until told to end.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bailiwick_runtime::admin::BoundAdmin;
use bailiwick_runtime::drain::{Drain, Drained, shutdown_signal};
use bailiwick_runtime::ready::Readiness;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::config::{Config, Mode};
use crate::control::{Places, Worker};
use crate::folder;

/// How long streams may take to end at SIGTERM. They are told at once, and sidecars come again by themselves.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// When the state folder, the cluster, a port or the runtime cannot be had, or the thread that compiles ends.
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
    tokio::pin!(shutdown);
    let running = tokio::select! {
        signal = shutdown.as_mut() => {
            tracing::info!(signal = signal.name(), "stopping before anything was served");
            return Ok(());
        }
        running = start(&config) => running?,
    };
    let ended = tokio::select! {
        signal = shutdown => {
            tracing::info!(signal = signal.name(), "stopping");
            Ok(())
        }
        () = running.worker.dead.cancelled() => {
            Err(anyhow!("the thread that reads and compiles has ended; see the log"))
        }
    };
    running.stop().await;
    ended
}

async fn start(config: &Config) -> anyhow::Result<Running> {
    match &config.mode {
        Mode::Folder(settings) => folder::start(config, settings),
        #[cfg(feature = "cluster")]
        Mode::Cluster(settings) => crate::cluster::start(config, settings).await,
    }
}

/// An operator that serves.
pub(crate) struct Running {
    drain: Drain,
    readiness: Readiness,
    /// The thread that reads and compiles.
    worker: Worker,
    /// The admin server ends when this is dropped: last of all.
    admin: oneshot::Sender<()>,
    places: Places,
}

/// Serves the admin port until what is returned is dropped; `held` lives as long.
pub(crate) fn serve_admin(admin: BoundAdmin, held: impl Send + 'static) -> oneshot::Sender<()> {
    let (end, ended) = oneshot::channel::<()>();
    tokio::spawn(async move {
        admin.serve(async move { drop(ended.await) }).await;
        drop(held);
    });
    end
}

impl Running {
    pub(crate) fn new(
        drain: Drain,
        readiness: Readiness,
        worker: Worker,
        admin: oneshot::Sender<()>,
        places: Places,
    ) -> Self {
        Self { drain, readiness, worker, admin, places }
    }

    async fn stop(self) {
        let _draining = self.readiness.block("draining");
        drop(self.worker.watching);
        // The state folder is not left to another operator while that thread may still write to it.
        if timeout(DRAIN_DEADLINE, self.worker.dead.cancelled()).await.is_err() {
            tracing::warn!("the compile did not end in time");
        }
        if let Drained::DeadlinePassed { left } = self.drain.drained(DRAIN_DEADLINE).await {
            tracing::warn!(left, "not every stream ended in time");
        }
        tracing::debug!(admin = %self.places.admin, "stopped");
        drop(self.admin);
    }
}

#[cfg(test)]
mod tests;
