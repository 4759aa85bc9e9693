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
        let (worker, stop) = (Worker::new(Arc::clone(shared)), stop.clone());
        let thread = Builder::new().name(format!("data-plane-{index}")).spawn(move || {
            let _ended = stop.clone().drop_guard();
            // What still runs when the drain is over ends with the runtime.
            runtime.block_on(serve(worker, listeners, stop))
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
async fn serve(worker: Arc<Worker>, listeners: ThreadListeners, stop: CancellationToken) -> io::Result<()> {
    tokio::spawn(enforcer::run(Arc::clone(&worker)));
    tokio::spawn(sweep(Arc::clone(&worker)));
    for (port, listener) in listeners.inbound {
        let serving = inbound::run(Arc::clone(&worker), TcpListener::from_std(listener)?, port);
        tokio::spawn(open(Arc::clone(&worker.shared), serving));
    }
    for (service, listener) in listeners.outbound {
        let serving = outbound::run(Arc::clone(&worker), TcpListener::from_std(listener)?, service);
        tokio::spawn(open(Arc::clone(&worker.shared), serving));
    }
    for listener in listeners.captured_inbound {
        let serving = inbound::run_captured(Arc::clone(&worker), TcpListener::from_std(listener)?);
        tokio::spawn(until_last_call(Arc::clone(&worker.shared), serving));
    }
    for listener in listeners.captured_outbound {
        let serving = outbound::run_captured(Arc::clone(&worker), TcpListener::from_std(listener)?);
        tokio::spawn(until_last_call(Arc::clone(&worker.shared), serving));
    }
    stop.cancelled().await;
    Ok(())
}

/// Accepts from the moment when there is something to decide with, until the drain's last call.
///
/// FAIL-CLOSED: connections that come before certificate, bundle and snapshot wait in the kernel's queue; no byte of
/// them is read (security case I1).
async fn open(shared: Arc<Shared>, serving: impl Future<Output = ()>) {
    let watch = shared.drain.watch();
    tokio::select! {
        biased;
        () = watch.signaled() => return,
        () = shared.readiness.ready() => {}
    }
    drop(watch);
    until_last_call(shared, serving).await;
}

/// Accepts until the drain's last call. What was accepted is served on.
async fn until_last_call(shared: Arc<Shared>, serving: impl Future<Output = ()>) {
    let watch = shared.drain.watch();
    tokio::select! {
        biased;
        () = watch.last_called() => {}
        () = serving => {}
    }
}

async fn sweep(worker: Arc<Worker>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let generation = worker.shared.credentials.current().map_or(0, |current| current.generation());
        worker.outbound.sweep(generation);
        worker.applications.sweep();
        worker.routes.sweep();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bailiwick_runtime::drain::Drained;
    use bailiwick_testkit::TestAuthority;
    use tokio::net::TcpStream;
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::Limits;
    use crate::shared::for_test;

    #[tokio::test]
    async fn after_the_announcement_connections_are_still_taken_and_after_the_last_call_none() {
        let authority = TestAuthority::new("cluster.local");
        let shared = for_test::shared(&authority, "spiffe://cluster.local/ns/shop/sa/web", Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (served, mut calls) = mpsc::channel(8);
        let accepting = async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.send(stream).await.unwrap();
            }
        };
        tokio::spawn(until_last_call(Arc::clone(&shared), accepting));
        shared.drain.signal();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let _late = TcpStream::connect(address).await.unwrap();
        let in_flight = calls.recv().await.unwrap();
        let watch = shared.drain.watch();
        let drained = shared.drain.drained(Duration::from_secs(5));
        let last = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(TcpStream::connect(address).await.is_err(), "nothing new after the last call");
            drop((in_flight, watch));
        };
        assert_eq!(tokio::join!(drained, last).0, Drained::Complete);
    }
}
