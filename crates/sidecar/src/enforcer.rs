//! One task a data-plane thread: whenever the truth changes, it authenticates open connections again, decides calls in
//! flight again, and only then confirms the change.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bailiwick_agent::Active;
use bailiwick_policy::Timestamp;

use crate::clock::now;
use crate::inbound::record;
use crate::shared::Worker;

/// How often time itself is looked at: certificates end and rules begin or end at an instant, and the wall clock can
/// jump, which a timer would not see.
const TICK: Duration = Duration::from_secs(1);

/// Enforces every change until the process ends.
pub(crate) async fn run(worker: Arc<Worker>) {
    let mut applier = worker.shared.config.register();
    let mut trust = worker.shared.trust.subscribe();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looked = now();
    loop {
        tokio::select! {
            active = applier.next() => {
                authenticate_again(&worker, &active);
                decide_again(&worker, &active, now());
                // INVARIANT: confirmed, and so acknowledged, only after the calls in flight were decided again.
                applier.confirm(&active);
            }
            Ok(()) = trust.changed() => {
                if let Some(active) = worker.shared.config.current() {
                    authenticate_again(&worker, &active);
                }
            }
            _ = tick.tick() => looked = pass_time(&worker, looked),
        }
    }
}

/// What the passing of time alone changes: certificates that ended, and rules whose window opened or closed.
fn pass_time(worker: &Worker, looked: Timestamp) -> Timestamp {
    let now = now();
    let closed = worker.sessions.close_expired(now);
    if closed > 0 {
        tracing::info!(closed, "connections were closed: their peers' certificates ended");
    }
    if let Some(active) = worker.shared.config.current() {
        let due = active.snapshot.next_change(looked).is_some_and(|change| change <= now);
        if due || now < looked {
            decide_again(worker, &active, now);
        }
    }
    now
}

fn authenticate_again(worker: &Worker, active: &Active) {
    let trust = worker.shared.trust.current();
    let closed = worker.sessions.authenticate_again(&trust, &active.trust, SystemTime::now());
    if closed > 0 {
        tracing::info!(closed, "connections were closed: their peers are no longer believed");
    }
}

fn decide_again(worker: &Worker, active: &Active, now: Timestamp) {
    let cut = worker.sessions.decide_again(&active.snapshot, now, |session, denied| {
        record::cut(worker, session, denied);
    });
    if cut > 0 {
        worker.shared.metrics.sessions_cut(cut);
        tracing::info!(cut, snapshot = %active.id, "calls in flight were cut: they are no longer permitted");
    }
}
