//! Values that are computed at each scrape.

use std::sync::Arc;

use bailiwick_runtime::metrics::Metrics;

use crate::clock::now;
use crate::metrics::Computed;
use crate::shared::Shared;

/// Registers them.
pub(super) fn register(registry: &Metrics, shared: &Arc<Shared>) {
    registry.build_info(env!("CARGO_PKG_VERSION"));
    let state = Arc::clone(shared);
    let age = Computed::gauge(move || {
        // Before the first snapshot there is no age; the sidecar is not ready then.
        state.config.age().map_or(-1, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
    });
    let help = "Seconds since the enforced snapshot was last known to be the newest; -1 before the first";
    drop(registry.register("snapshot_age_seconds", help, age));
    let state = Arc::clone(shared);
    let expiry = Computed::gauge(move || {
        state.credentials.current().map_or(-1, |current| current.leaf().not_after().saturating_sub(now().0))
    });
    let help = "Seconds until this workload's certificate ends; -1 before the first";
    drop(registry.register("certificate_expiry_seconds", help, expiry));
    let state = Arc::clone(shared);
    let dropped = Computed::counter(move || i64::try_from(state.audit.dropped()).unwrap_or(i64::MAX));
    let help = "Audit events that were lost because they could not be written fast enough";
    drop(registry.register("audit_events_dropped", help, dropped));
    let state = Arc::clone(shared);
    let left_out = Computed::counter(move || i64::try_from(state.reports.left_out()).unwrap_or(i64::MAX));
    let help = "Denials that were not reported to the operator, because there were too many at once";
    drop(registry.register("reports_left_out", help, left_out));
}
