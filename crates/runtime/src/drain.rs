//! Ending a process without cutting what it is doing.
//!
//! [`Drain`] is the one that says "finish"; each [`Watch`] hears it, and by living says "not finished yet". There is
//! no endpoint that begins a drain, only signals (security case L1).
//!
//! ```text
//!  signal: tell everyone to go elsewhere, serve on --> last_call: take nothing new --> every watch gone: drained
//! ```

use std::{future::Future, io, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

/// The side that starts the drain and waits for its end.
#[derive(Debug)]
pub struct Drain {
    signal: CancellationToken,
    last_call: CancellationToken,
    // Every watch holds a receiver, so "closed" means that no watch is left.
    watches: watch::Sender<()>,
}

/// The side that listens, works, and keeps the drain waiting for as long as it lives. Clone one for each connection.
#[must_use = "a watch that is dropped at once delays nothing"]
#[derive(Clone, Debug)]
pub struct Watch {
    signal: CancellationToken,
    last_call: CancellationToken,
    _held: watch::Receiver<()>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Drained {
    /// All watches were dropped.
    Complete,
    /// The deadline passed first.
    DeadlinePassed {
        /// How many watches were still alive.
        left: usize,
    },
}

/// Which signal asked the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownSignal {
    /// SIGTERM, from an orchestrator.
    Terminate,
    /// SIGINT, from a person.
    Interrupt,
}

impl Drain {
    /// A drain that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self {
            signal: CancellationToken::new(),
            last_call: CancellationToken::new(),
            watches: watch::Sender::new(()),
        }
    }

    /// A new watch, which may be taken to any thread or runtime.
    pub fn watch(&self) -> Watch {
        Watch {
            signal: self.signal.clone(),
            last_call: self.last_call.clone(),
            _held: self.watches.subscribe(),
        }
    }

    /// Tells all watches, those to come included, to finish. What is new is still served: callers learn late. Calling
    /// it again changes nothing.
    pub fn signal(&self) {
        self.signal.cancel();
    }

    /// Signals, if that was not done yet, and tells all watches to take nothing new from now on.
    pub fn last_call(&self) {
        self.signal();
        self.last_call.cancel();
    }

    /// How many watches are alive.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.watches.receiver_count()
    }

    /// Waits until all watches are dropped, whether or not the drain has begun; at once if there is none.
    pub async fn idle(&self) {
        self.watches.closed().await;
    }

    /// Makes the last call, if that was not done yet, and waits until all watches are dropped or `deadline` has passed.
    pub async fn drained(&self, deadline: Duration) -> Drained {
        self.last_call();
        match tokio::time::timeout(deadline, self.idle()).await {
            Ok(()) => Drained::Complete,
            Err(_) => Drained::DeadlinePassed { left: self.remaining() },
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        // Nobody could say it any more, and a worker that waits for it must not wait for ever.
        self.last_call();
    }
}

impl Watch {
    /// Waits until the drain begins; at once if it has begun. Safe to cancel and to call again.
    pub async fn signaled(&self) {
        self.signal.cancelled().await;
    }

    /// Waits until nothing new is to be taken; at once if that is so. Safe to cancel and to call again.
    pub async fn last_called(&self) {
        self.last_call.cancelled().await;
    }

    /// True once the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Runs `work` to its end, with this watch held meanwhile.
    pub async fn hold<T>(self, work: impl Future<Output = T>) -> T {
        let result = work.await;
        drop(self);
        result
    }
}

impl ShutdownSignal {
    /// The signal's name, for a log line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }
}

/// A future that completes at the first SIGUSR1, by which an orchestrator says that the end is near: [`Drain::signal`].
/// It is caught from the moment of the call. Needs a runtime with IO enabled.
///
/// # Errors
/// If the handler cannot be installed.
pub fn drain_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut asked = signal(SignalKind::user_defined1())?;
    Ok(async move {
        asked.recv().await;
    })
}

/// A future that completes at the first SIGTERM or SIGINT. Both are caught from the moment of the call, not from the
/// first poll, so one that comes during the start is not lost. Needs a runtime with IO enabled.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ShutdownSignal> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => ShutdownSignal::Terminate,
            _ = interrupt.recv() => ShutdownSignal::Interrupt,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn waits_for_every_watch_and_its_clones() {
        let drain = Drain::new();
        let watch = drain.watch();
        let connection = watch.clone();
        let worker = tokio::spawn(async move {
            watch.signaled().await;
            assert!(watch.is_draining());
        });
        let slow = tokio::spawn(connection.hold(async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            "finished"
        }));
        assert_eq!(drain.remaining(), 2);
        assert_eq!(drain.drained(SOON).await, Drained::Complete);
        worker.await.unwrap();
        assert_eq!(slow.await.unwrap(), "finished");
        assert_eq!(drain.remaining(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_a_drain_that_does_not_finish() {
        let drain = Drain::new();
        let _stuck = drain.watch();
        assert_eq!(drain.drained(SOON).await, Drained::DeadlinePassed { left: 1 });
    }

    #[tokio::test]
    async fn with_nothing_to_wait_for_it_ends_at_once() {
        assert_eq!(Drain::new().drained(Duration::ZERO).await, Drained::Complete);
    }

    #[tokio::test]
    async fn a_watch_taken_after_the_signal_knows_and_can_ask_again() {
        let drain = Drain::new();
        let early = drain.watch();
        assert!(!early.is_draining());
        drain.signal();
        drain.signal();
        let late = drain.watch();
        late.signaled().await;
        late.signaled().await;
        assert!(early.is_draining() && late.is_draining());
    }

    #[tokio::test]
    async fn dropping_the_drain_releases_those_who_wait() {
        let drain = Drain::new();
        let watch = drain.watch();
        drop(drain);
        watch.signaled().await;
        watch.last_called().await;
    }

    #[tokio::test]
    async fn the_last_call_comes_after_the_signal_or_with_it() {
        let drain = Drain::new();
        let watch = drain.watch();
        drain.signal();
        watch.signaled().await;
        let waited = tokio::time::timeout(Duration::from_millis(20), watch.last_called()).await;
        assert!(waited.is_err(), "what is new is still taken");
        drain.last_call();
        watch.last_called().await;
        let both = Drain::new();
        let watch = both.watch();
        both.last_call();
        watch.signaled().await;
        watch.last_called().await;
    }

    #[tokio::test]
    async fn sigterm_completes_the_future_even_when_it_comes_before_the_first_poll() {
        let shutdown = shutdown_signal().unwrap();
        let status = std::process::Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", std::process::id())])
            .status()
            .unwrap();
        assert!(status.success());
        let received = tokio::time::timeout(SOON, shutdown).await.unwrap();
        assert_eq!((received, received.name()), (ShutdownSignal::Terminate, "SIGTERM"));
    }
}
