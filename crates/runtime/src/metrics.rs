//! The metrics registry: a thin layer around `prometheus-client`, encoded as OpenMetrics 1.0 text.
//!
//! Metrics are registered once, at the start. The handles that `prometheus-client` gives are shared counters, so the
//! lock here is never taken on the way of a request, only for registering and for a scrape.

use std::{
    fmt,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, text},
    metrics::{
        TypedMetric,
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        info::Info,
    },
    registry::{Metric, Registry},
};

/// The content type of what [`Metrics::encode`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process's registry; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// An empty registry whose every metric is named `{prefix}_…`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { registry: Arc::new(Mutex::new(Registry::with_prefix(prefix))) }
    }

    /// Registers a metric and gives it back. Name in base units, without `_total`, which counters get on encoding;
    /// help in one sentence, without the final full stop, which is added.
    #[must_use]
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.lock().register(name, help, metric.clone());
        metric
    }

    /// A counter without labels.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// A gauge without labels.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// Registers `family` so that it never holds more than `limit` series besides `overflow`, under which all
    /// further label sets are counted together.
    #[must_use]
    pub fn bounded<S, M, C>(
        &self,
        (name, help): (&str, &str),
        family: Family<S, M, C>,
        limit: usize,
        overflow: S,
    ) -> BoundedFamily<S, M, C>
    where
        S: EncodeLabelSet + Clone + Hash + Eq + fmt::Debug + Send + Sync + 'static,
        M: EncodeMetric + TypedMetric + Clone + fmt::Debug + Send + Sync + 'static,
        C: MetricConstructor<M> + Clone + Send + Sync + 'static,
        Family<S, M, C>: Metric,
    {
        self.lock().register(name, help, family.clone());
        let shared = Arc::new(Created { limit, count: AtomicUsize::new(0), creating: Mutex::new(()) });
        BoundedFamily { family, overflow, shared }
    }

    /// Registers `{prefix}_build_info` with the version of this binary.
    pub fn build_info(&self, version: &'static str) {
        self.lock().register("build", "The version of this binary", Info::new([("version", version)]));
    }

    /// All metrics as OpenMetrics text, ending in `# EOF`.
    ///
    /// # Errors
    /// If a metric of the caller's refuses to be encoded.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut output = String::new();
        text::encode(&mut output, &self.lock())?;
        Ok(output)
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // A panic while registering leaves at worst one metric missing; the others must still be readable.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A family of metrics whose number of series is bounded, for labels that a caller of the process can influence
/// (security case L2: a label per `Host` must not become a leak).
#[derive(Clone)]
pub struct BoundedFamily<S, M, C = fn() -> M> {
    family: Family<S, M, C>,
    overflow: S,
    shared: Arc<Created>,
}

/// How many series a family has, besides the overflow's.
#[derive(Debug)]
struct Created {
    limit: usize,
    // Read without the lock, so that calls over the limit do not queue for it.
    count: AtomicUsize,
    creating: Mutex<()>,
}

impl<S, M, C> BoundedFamily<S, M, C>
where
    S: Clone + Hash + Eq,
    M: Clone,
    C: MetricConstructor<M>,
{
    /// The metric of these labels, or the overflow's when the limit is reached. Keep the handle where the labels do
    /// not change: getting it costs a lookup.
    #[must_use]
    pub fn get(&self, labels: &S) -> M {
        if let Some(metric) = self.family.get(labels) {
            return metric.clone();
        }
        if self.shared.is_full() || *labels == self.overflow {
            return self.family.get_or_create_owned(&self.overflow);
        }
        // INVARIANT: series are created and counted under this lock only, so two threads cannot take the last place.
        let _creating = self.shared.creating.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metric) = self.family.get(labels) {
            return metric.clone();
        }
        if self.shared.is_full() {
            return self.family.get_or_create_owned(&self.overflow);
        }
        self.shared.count.fetch_add(1, Ordering::Release);
        self.family.get_or_create_owned(labels)
    }
}

impl Created {
    fn is_full(&self) -> bool {
        self.count.load(Ordering::Acquire) >= self.limit
    }
}

impl<S: fmt::Debug, M, C> fmt::Debug for BoundedFamily<S, M, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BoundedFamily")
            .field("created", &self.shared)
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::histogram::Histogram;

    use super::*;

    type Labels = Vec<(&'static str, String)>;

    fn host(name: &str) -> Labels {
        vec![("host", name.to_owned())]
    }

    #[test]
    fn encodes_open_metrics_with_prefix_suffix_and_end() {
        let metrics = Metrics::new("bailiwick");
        metrics.build_info("0.1.0");
        metrics.counter("connections", "Connections accepted").inc_by(3);
        metrics.gauge("snapshot_age_seconds", "Age of the snapshot").set(-2);
        let text = metrics.encode().unwrap();
        assert!(text.contains("# TYPE bailiwick_connections counter"), "{text}");
        assert!(text.contains("\nbailiwick_connections_total 3\n"), "{text}");
        assert!(text.contains("\nbailiwick_snapshot_age_seconds -2\n"), "{text}");
        assert!(text.contains("bailiwick_build_info{version=\"0.1.0\"} 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn a_label_per_host_stays_bounded_and_counts_every_call() {
        let metrics = Metrics::new("bailiwick");
        let family = Family::<Labels, Counter>::default();
        let requests = metrics.bounded(("requests", "Requests by host"), family, 100, host("other"));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let requests = requests.clone();
                scope.spawn(move || {
                    for number in 0..5_000 {
                        requests.get(&host(&format!("h{thread}-{number}"))).inc();
                    }
                });
            }
        });
        let text = metrics.encode().unwrap();
        let series: Vec<u64> = text
            .lines()
            .filter(|line| line.starts_with("bailiwick_requests_total{"))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(series.len(), 101, "the limit and the overflow");
        assert_eq!(series.iter().sum::<u64>(), 20_000);
    }

    #[test]
    fn known_labels_keep_counting_after_the_limit() {
        let metrics = Metrics::new("bailiwick");
        let family = Family::<Labels, Counter>::default();
        let requests = metrics.bounded(("requests", "Requests"), family, 1, host("other"));
        requests.get(&host("a")).inc();
        requests.get(&host("b")).inc();
        requests.get(&host("a")).inc();
        assert_eq!(requests.get(&host("a")).get(), 2);
        assert_eq!(requests.get(&host("other")).get(), 1);
    }

    #[test]
    fn families_with_a_constructor_are_bounded_too() {
        let metrics = Metrics::new("bailiwick");
        let family = Family::<Labels, Histogram, fn() -> Histogram>::new_with_constructor(|| {
            Histogram::new([0.001, 0.01, 0.1])
        });
        let durations = metrics.bounded(("duration_seconds", "Time"), family, 8, host("other"));
        durations.get(&host("a")).observe(0.05);
        let text = metrics.encode().unwrap();
        assert!(text.contains("bailiwick_duration_seconds_bucket{le=\"0.1\",host=\"a\"} 1"), "{text}");
    }

    #[test]
    fn a_label_value_cannot_forge_a_line() {
        let metrics = Metrics::new("bailiwick");
        let family = Family::<Labels, Counter>::default();
        let requests = metrics.bounded(("requests", "Requests"), family, 8, host("other"));
        requests.get(&host("a\"} 9\nforged 1")).inc();
        let text = metrics.encode().unwrap();
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
    }
}
