//! What the sidecar counts. Every label has a closed set of values that no caller can add to (security case L2).

use std::fmt;
use std::sync::Arc;

use bailiwick_policy::{Decision, Outcome};
use bailiwick_runtime::metrics::Metrics;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Which side of the application a connection or request is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Towards the application.
    Inbound,
    /// From the application.
    Outbound,
}

/// What a call speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 that is not gRPC.
    Http2,
    /// gRPC.
    Grpc,
    /// A WebSocket.
    WebSocket,
    /// Bytes.
    Tcp,
}

/// The handles of all counters. Cheap to clone; counting takes no lock that a scrape holds for long.
#[derive(Debug, Clone)]
pub(crate) struct SidecarMetrics {
    handshakes: Family<Labels<3>, Counter>,
    unauthenticated: Family<Labels<1>, Counter>,
    decisions: DecisionCounters,
    inbound: RequestCounters,
    outbound: RequestCounters,
    open: Family<Labels<1>, Gauge>,
    refused: Family<Labels<2>, Counter>,
    failures: Family<Labels<1>, Counter>,
    connected: Family<Labels<1>, Counter>,
    sessions_cut: Counter,
}

/// One counter for each outcome: no lookup on the way of a request.
#[derive(Debug, Clone)]
struct DecisionCounters {
    allow: Counter,
    cluster_deny: Counter,
    policy_deny: Counter,
    default: Counter,
    audit_namespace: Counter,
}

#[derive(Debug, Clone)]
struct RequestCounters {
    http1: Counter,
    http2: Counter,
    grpc: Counter,
    websocket: Counter,
    tcp: Counter,
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl SidecarMetrics {
    /// Registers everything.
    pub(crate) fn new(registry: &Metrics) -> Self {
        let handshakes = Family::default();
        let help = "Handshakes between workloads, by direction, result and reason";
        let handshakes = registry.register("authn_handshakes", help, handshakes);
        let help = "Requests and connections refused because nobody was proven, by reason";
        let unauthenticated = registry.register("authn_refusals", help, Family::default());
        let help = "Decisions on inbound calls, by decision and what settled it";
        let decisions = registry.register("authz_decisions", help, Family::<Labels<2>, Counter>::default());
        let help = "Calls, by direction and protocol";
        let requests = registry.register("requests", help, Family::<Labels<2>, Counter>::default());
        let open = registry.register("connections_open", "Connections open now", Family::default());
        let help = "Connections closed without being served, by direction and reason";
        let refused = registry.register("connections_refused", help, Family::default());
        let help = "Outbound calls that reached no endpoint, by reason";
        let failures = registry.register("outbound_failures", help, Family::default());
        let help = "Connections made for the application, by how they travel";
        let connected = registry.register("outbound_connections", help, Family::default());
        let help = "Calls in flight that a change of the truth ended";
        let sessions_cut = registry.counter("sessions_cut", help);
        Self {
            handshakes,
            unauthenticated,
            decisions: DecisionCounters::new(&decisions),
            inbound: RequestCounters::new(&requests, Direction::Inbound),
            outbound: RequestCounters::new(&requests, Direction::Outbound),
            open,
            refused,
            failures,
            connected,
            sessions_cut,
        }
    }

    /// A handshake that proved the other side.
    pub(crate) fn handshake_proven(&self, direction: Direction) {
        self.handshake(direction, "proven", "");
    }

    /// A handshake that failed; the reason is `AuthnError::reason`.
    pub(crate) fn handshake_failed(&self, direction: Direction, reason: &'static str) {
        self.handshake(direction, "refused", reason);
    }

    fn handshake(&self, direction: Direction, result: &'static str, reason: &'static str) {
        let labels = [("direction", direction.as_str()), ("result", result), ("reason", reason)];
        self.handshakes.get_or_create(&labels).inc();
    }

    /// A request or connection that was refused with 401, or closed, because nobody was proven.
    pub(crate) fn unauthenticated(&self, reason: &'static str) {
        self.unauthenticated.get_or_create(&[("reason", reason)]).inc();
    }

    /// A decision, of a request, a connection, or a call that was decided again.
    pub(crate) fn decided(&self, decision: &Decision) {
        self.settled(decision.verdict().outcome);
    }

    /// As [`SidecarMetrics::decided`], where only the outcome is at hand.
    pub(crate) fn settled(&self, outcome: Outcome) {
        let counters = &self.decisions;
        match outcome {
            Outcome::Allow => counters.allow.inc(),
            Outcome::ClusterDeny => counters.cluster_deny.inc(),
            Outcome::PolicyDeny => counters.policy_deny.inc(),
            Outcome::Default => counters.default.inc(),
            Outcome::AuditNamespace => counters.audit_namespace.inc(),
        };
    }

    /// A call.
    pub(crate) fn request(&self, direction: Direction, protocol: Protocol) {
        let counters = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        match protocol {
            Protocol::Http1 => counters.http1.inc(),
            Protocol::Http2 => counters.http2.inc(),
            Protocol::Grpc => counters.grpc.inc(),
            Protocol::WebSocket => counters.websocket.inc(),
            Protocol::Tcp => counters.tcp.inc(),
        };
    }

    /// A connection that was closed without being served.
    pub(crate) fn connection_refused(&self, direction: Direction, reason: &'static str) {
        self.refused.get_or_create(&[("direction", direction.as_str()), ("reason", reason)]).inc();
    }

    /// An outbound call that reached no endpoint.
    pub(crate) fn outbound_failed(&self, reason: &'static str) {
        self.failures.get_or_create(&[("reason", reason)]).inc();
    }

    /// A connection that is made for the application: `mesh`, `as-sent`, or to the pod `itself`.
    pub(crate) fn outbound_connection(&self, how: &'static str) {
        self.connected.get_or_create(&[("to", how)]).inc();
    }

    /// Calls in flight that were cut.
    pub(crate) fn sessions_cut(&self, count: usize) {
        self.sessions_cut.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// The gauge of open connections; kept by who counts them.
    pub(crate) fn connections_open(&self, direction: Direction) -> Gauge {
        self.open.get_or_create_owned(&[("direction", direction.as_str())])
    }

    /// Handles of a registry that nobody reads.
    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self::new(&Metrics::new("test"))
    }
}

impl DecisionCounters {
    fn new(family: &Family<Labels<2>, Counter>) -> Self {
        let counter = |outcome: Outcome| {
            let decision = if outcome.permits() { "allow" } else { "deny" };
            family.get_or_create_owned(&[("decision", decision), ("reason", outcome.as_str())])
        };
        Self {
            allow: counter(Outcome::Allow),
            cluster_deny: counter(Outcome::ClusterDeny),
            policy_deny: counter(Outcome::PolicyDeny),
            default: counter(Outcome::Default),
            audit_namespace: counter(Outcome::AuditNamespace),
        }
    }
}

impl RequestCounters {
    fn new(family: &Family<Labels<2>, Counter>, direction: Direction) -> Self {
        let counter = |protocol| {
            family.get_or_create_owned(&[("direction", direction.as_str()), ("protocol", protocol)])
        };
        Self {
            http1: counter("http1"),
            http2: counter("http2"),
            grpc: counter("grpc"),
            websocket: counter("websocket"),
            tcp: counter("tcp"),
        }
    }
}

/// A value that is computed when it is read, so that an age is right at each scrape.
#[derive(Clone)]
pub(crate) struct Computed {
    kind: MetricType,
    value: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Computed {
    /// A gauge.
    pub(crate) fn gauge(value: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { kind: MetricType::Gauge, value: Arc::new(value) }
    }

    /// A count that only grows and is kept elsewhere.
    pub(crate) fn counter(value: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { kind: MetricType::Counter, value: Arc::new(value) }
    }
}

impl TypedMetric for Computed {
    const TYPE: MetricType = MetricType::Gauge;
}

impl EncodeMetric for Computed {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let value = (self.value)();
        if matches!(self.kind, MetricType::Counter) {
            let count = u64::try_from(value).unwrap_or_default();
            return encoder.encode_counter::<Labels<0>, u64, u64>(&count, None);
        }
        encoder.encode_gauge(&value)
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

impl fmt::Debug for Computed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Computed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_have_their_documented_names_and_labels() {
        let registry = Metrics::new("bailiwick");
        let metrics = SidecarMetrics::new(&registry);
        metrics.handshake_failed(Direction::Inbound, "expired");
        metrics.settled(Outcome::ClusterDeny);
        metrics.request(Direction::Outbound, Protocol::Grpc);
        metrics.sessions_cut(2);
        let age = Computed::gauge(|| 7);
        let dropped = Computed::counter(|| 3);
        drop(registry.register("snapshot_age_seconds", "Age", age));
        drop(registry.register("audit_dropped", "Dropped", dropped));
        let text = registry.encode().unwrap();
        for line in [
            r#"bailiwick_authn_handshakes_total{direction="inbound",result="refused",reason="expired"} 1"#,
            r#"bailiwick_authz_decisions_total{decision="deny",reason="cluster-deny"} 1"#,
            r#"bailiwick_requests_total{direction="outbound",protocol="grpc"} 1"#,
            "bailiwick_sessions_cut_total 2",
            "bailiwick_snapshot_age_seconds 7",
            "bailiwick_audit_dropped_total 3",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
