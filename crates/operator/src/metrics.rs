//! What the operator counts. Every label's values are words of ours, so no caller can add a series.

use bailiwick_runtime::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

type Labels = Vec<(&'static str, &'static str)>;

/// The operator's metrics; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct OperatorMetrics {
    pub(crate) compile_seconds: Histogram,
    pub(crate) publication_lag_seconds: Histogram,
    pub(crate) snapshots_published: Counter,
    pub(crate) sidecars_connected: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) acknowledged: Counter,
    pub(crate) not_acknowledged: Counter,
    pub(crate) slow_sidecars_dropped: Counter,
    pub(crate) issued: Counter,
    pub(crate) audit_events_dropped: Counter,
    pub(crate) source_problems: Gauge,
    pub(crate) denials_reported: Counter,
    pub(crate) denials_left_out: Counter,
    refused: Family<Labels, Counter>,
}

impl OperatorMetrics {
    /// Registers everything.
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let times = || Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0]);
        Self {
            compile_seconds: metrics.register(
                "compile_seconds",
                "Time to compile and encode the whole world",
                times(),
            ),
            publication_lag_seconds: metrics.register(
                "publication_lag_seconds",
                "Time from a publication to a sidecar's acknowledgement",
                times(),
            ),
            snapshots_published: metrics
                .counter("snapshots_published", "Snapshots that changed and were published"),
            sidecars_connected: metrics.gauge("sidecars_connected", "Sidecars with a configuration stream"),
            connections: metrics.gauge("control_connections", "Open connections to the control plane"),
            acknowledged: metrics.counter("snapshots_acknowledged", "Snapshots that sidecars enforce"),
            not_acknowledged: metrics.counter("snapshots_refused", "Snapshots that sidecars refused"),
            slow_sidecars_dropped: metrics
                .counter("slow_sidecars_dropped", "Streams that were ended because the sidecar did not read"),
            issued: metrics.counter("authn_certificates_issued", "Certificates that were issued"),
            audit_events_dropped: metrics
                .counter("audit_events_dropped", "Audit events that did not fit into the queue"),
            source_problems: metrics.gauge("source_errors", "Errors in the objects of the source"),
            denials_reported: metrics
                .counter("denials_reported", "Denials that sidecars told of and that were kept for `why`"),
            denials_left_out: metrics.counter(
                "denials_left_out",
                "Denials that were not kept for `why`, since there were too many",
            ),
            refused: metrics.register(
                "authn_refused",
                "Proofs of identity that were refused, by reason",
                Family::default(),
            ),
        }
    }

    /// Counts a refused proof of identity.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create_owned(&vec![("reason", reason)]).inc();
    }
}

/// What only a replica in a cluster counts; cheap to clone.
#[cfg(feature = "cluster")]
#[derive(Debug, Clone)]
pub(crate) struct ClusterMetrics {
    pub(crate) leads: Gauge,
    pods_in_audit: Family<Labels, Gauge>,
}

#[cfg(feature = "cluster")]
impl ClusterMetrics {
    /// Registers everything.
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            leads: metrics.gauge("leads", "1 while this replica writes the status of objects"),
            pods_in_audit: metrics.register(
                "pods_in_audit",
                "Running pods with a sidecar whose namespace is in audit, by system",
                Family::default(),
            ),
        }
    }

    /// How many pods enforce less than everything, since their namespace is in audit of a system.
    pub(crate) fn in_audit(&self, system: &'static str, pods: i64) {
        self.pods_in_audit.get_or_create_owned(&vec![("system", system)]).set(pods);
    }
}
