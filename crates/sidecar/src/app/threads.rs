//! The data-plane threads: one runtime each, or one runtime for all.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::anyhow;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;

use super::listeners::{Listeners, ThreadListeners};
use crate::config::{Config, RuntimeConfig};
use crate::shared::{Shared, Worker};
use crate::{enforcer, inbound, outbound};

/// How often unused connections are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// The threads that carry calls.
#[derive(Debug)]
pub(super) struct DataPlane {
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// Starts them all. A thread that ends, for whatever reason, cancels `stop`: half a data plane is none.
///
/// # Errors
/// When the system gives no thread or runtime.
pub(super) fn start(
    config: &Config,
    listeners: Listeners,
    shared: &Arc<Shared>,
    stop: &CancellationToken,
) -> io::Result<DataPlane> {
    let mut threads = Vec::new();
    for (index, listeners) in listeners.into_threads().into_iter().enumerate() {
        let runtime = runtime(&config.runtime)?;
        let (worker, stop, grace) = (Worker::new(Arc::clone(shared)), stop.clone(), config.drain.grace);
        let thread = Builder::new().name(format!("data-plane-{index}")).spawn(move || {
            let _ended = stop.clone().drop_guard();
            // What still runs when the drain is over ends with the runtime.
            runtime.block_on(serve(worker, listeners, stop, grace))
        })?;
        threads.push(thread);
    }
    Ok(DataPlane { threads })
}

impl DataPlane {
    /// Waits for all threads to end.
    ///
    /// # Errors
    /// When one failed.
    pub(super) fn join(self) -> anyhow::Result<()> {
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("it panicked"))??;
        }
        Ok(())
    }
}

/// The one switch between the two ways to run.
fn runtime(config: &RuntimeConfig) -> io::Result<Runtime> {
    let mut builder = if config.multi_thread {
        let mut builder = runtime::Builder::new_multi_thread();
        builder.worker_threads(config.threads().get()).thread_name("data-plane");
        builder
    } else {
        runtime::Builder::new_current_thread()
    };
    builder.enable_all().build()
}

/// What one runtime does until it is stopped. Each part is a task, so that a multi-thread runtime can spread them.
async fn serve(
    worker: Arc<Worker>,
    listeners: ThreadListeners,
    stop: CancellationToken,
    grace: Duration,
) -> io::Result<()> {
    tokio::spawn(enforcer::run(Arc::clone(&worker)));
    tokio::spawn(sweep(Arc::clone(&worker)));
    for (port, listener) in listeners.inbound {
        let serving = inbound::run(Arc::clone(&worker), TcpListener::from_std(listener)?, port);
        tokio::spawn(open(Arc::clone(&worker.shared), grace, serving));
    }
    for (service, listener) in listeners.outbound {
        let serving = outbound::run(Arc::clone(&worker), TcpListener::from_std(listener)?, service);
        tokio::spawn(open(Arc::clone(&worker.shared), grace, serving));
    }
    for listener in listeners.captured_inbound {
        tokio::spawn(inbound::run_captured(Arc::clone(&worker), TcpListener::from_std(listener)?));
    }
    for listener in listeners.captured_outbound {
        tokio::spawn(outbound::run_captured(Arc::clone(&worker), TcpListener::from_std(listener)?));
    }
    stop.cancelled().await;
    Ok(())
}

/// Accepts from the moment when there is something to decide with, until a short while after the drain began.
///
/// FAIL-CLOSED: connections that come before certificate, bundle and snapshot wait in the kernel's queue; no byte of
/// them is read (security case I1).
async fn open(shared: Arc<Shared>, grace: Duration, serving: impl Future<Output = ()>) {
    let drain = shared.drain.watch();
    tokio::select! {
        biased;
        () = drain.signaled() => return,
        () = shared.readiness.ready() => {}
    }
    let closing = async {
        drain.signaled().await;
        // Callers learn late that this sidecar goes away.
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        () = closing => {}
        () = serving => {}
    }
}

async fn sweep(worker: Arc<Worker>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let generation = worker.shared.credentials.current().map_or(0, |current| current.generation());
        worker.outbound.sweep(generation);
    }
}
