//! How the process ends.
//!
//! ```text
//!  pod:    SIGUSR1 (preStop) --serve on, tell everyone--> SIGTERM: the application has ended --finish--> exit
//!  file:                                                  SIGTERM --serve on for the grace--finish--> exit
//! ```

use std::time::Duration;

use bailiwick_runtime::drain::{Drained, ShutdownSignal, shutdown_signal};
use bailiwick_runtime::ready::Blocker;
use tokio::time::timeout;

use crate::config::{Config, DataPlane};
use crate::shared::Shared;

/// How long the last audit events may take to be written.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Waits until the process is to end. If it is told before that its pod goes away, everybody is sent elsewhere, but
/// who comes is served: the application is still there. From then on the process is not ready.
pub(super) async fn asked(
    shared: &Shared,
    announced: impl Future<Output = ()>,
    shutdown: impl Future<Output = ShutdownSignal>,
) -> Blocker {
    tokio::pin!(shutdown);
    let (signal, draining) = tokio::select! {
        biased;
        signal = &mut shutdown => (signal, shared.readiness.block("draining")),
        () = announced => {
            tracing::info!("the pod goes away: callers are sent elsewhere, and served until the application has ended");
            let draining = shared.readiness.block("draining");
            shared.drain.signal();
            (shutdown.await, draining)
        }
    };
    tracing::info!(signal = signal.name(), "draining");
    draining
}

/// Ends without cutting what is in flight: nothing new is taken, connections close after their last answer, and all of
/// it by the deadline or a second signal.
pub(super) async fn finish(shared: &Shared, config: &Config) -> anyhow::Result<()> {
    let again = shutdown_signal()?;
    let drained = async {
        match config.data_plane {
            // Callers learn late that this sidecar goes away.
            DataPlane::Listed { .. } => {
                shared.drain.signal();
                drop(timeout(config.drain.grace, shared.drain.idle()).await);
                shared.drain.drained(config.drain.deadline.saturating_sub(config.drain.grace)).await
            }
            // The kubelet ends a native sidecar last: there is nobody left to call or to be called.
            DataPlane::Captured(_) => shared.drain.drained(config.drain.deadline).await,
        }
    };
    tokio::select! {
        drained = drained => match drained {
            Drained::Complete => tracing::info!("drained"),
            Drained::DeadlinePassed { left } => {
                tracing::warn!(left, "the drain's deadline has passed; what is left is cut");
            }
        },
        signal = again => tracing::warn!(signal = signal.name(), "asked again: what is left is cut"),
    }
    if !shared.audit.flush(LAST_EVENTS) {
        tracing::error!("the last audit events could not be written in time");
    }
    Ok(())
}
