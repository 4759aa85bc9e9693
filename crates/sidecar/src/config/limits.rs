//! Deadlines and sizes: what one caller can cost (security cases F13, F14).

use std::time::Duration;

use bailiwick_runtime::config::{Collector, ConfigErrors, parse};
use serde::Deserialize;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The `limits` section, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawLimits {
    detection: Option<String>,
    handshake: Option<String>,
    connect: Option<String>,
    request_header: Option<String>,
    idle: Option<String>,
    connections: Option<String>,
    connections_per_peer: Option<String>,
    http2_streams: Option<String>,
    pooled_connections: Option<String>,
    pooled_idle: Option<String>,
}

/// Checked limits.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// How long a connection may leave open which protocol it speaks.
    pub(crate) detection: Duration,
    /// How long a TLS handshake may take, inbound and outbound.
    pub(crate) handshake: Duration,
    /// How long connecting may take, to the application and to another sidecar.
    pub(crate) connect: Duration,
    /// How long a request's head may take from its first byte to its last.
    pub(crate) request_header: Duration,
    /// How long an HTTP/1 connection may wait for its next request.
    pub(crate) idle: Duration,
    /// How many connections may be open at once, in each direction.
    pub(crate) connections: usize,
    /// How many inbound ones one proven peer may have.
    pub(crate) connections_per_peer: usize,
    /// How many requests may be open at once on one HTTP/2 connection.
    pub(crate) http2_streams: u32,
    /// How many unused connections a thread keeps to one endpoint.
    pub(crate) pooled_connections: usize,
    /// How long they are kept.
    pub(crate) pooled_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            detection: 5 * SECOND,
            handshake: 5 * SECOND,
            connect: 5 * SECOND,
            request_header: 10 * SECOND,
            idle: 300 * SECOND,
            connections: 10_000,
            connections_per_peer: 1_000,
            http2_streams: 100,
            pooled_connections: 64,
            pooled_idle: 60 * SECOND,
        }
    }
}

impl TryFrom<RawLimits> for Limits {
    type Error = ConfigErrors;

    fn try_from(raw: RawLimits) -> Result<Self, ConfigErrors> {
        let usual = Self::default();
        let mut collector = Collector::new();
        let mut time = |field, text: Option<String>, default| {
            let value = collector.parsed(field, text.as_deref(), parse::duration, default);
            collector.within(field, value, Duration::from_millis(100)..=HOUR)
        };
        let detection = time("detection", raw.detection, usual.detection);
        let handshake = time("handshake", raw.handshake, usual.handshake);
        let connect = time("connect", raw.connect, usual.connect);
        let request_header = time("requestHeader", raw.request_header, usual.request_header);
        let idle = time("idle", raw.idle, usual.idle);
        let pooled_idle = time("pooledIdle", raw.pooled_idle, usual.pooled_idle);
        let mut count = |field, text: Option<String>, default, most| {
            let value = collector.parsed(field, text.as_deref(), parse::whole_number, default);
            collector.within(field, value, 1..=most)
        };
        let connections = count("connections", raw.connections, usual.connections, 1_000_000);
        let connections_per_peer =
            count("connectionsPerPeer", raw.connections_per_peer, usual.connections_per_peer, 1_000_000);
        let pooled_connections =
            count("pooledConnections", raw.pooled_connections, usual.pooled_connections, 10_000);
        let text = raw.http2_streams.as_deref();
        let http2_streams = collector.parsed("http2Streams", text, parse::whole_number, usual.http2_streams);
        let http2_streams = collector.within("http2Streams", http2_streams, 1..=10_000);
        collector.finish(|| {
            Some(Self {
                detection: detection?,
                handshake: handshake?,
                connect: connect?,
                request_header: request_header?,
                idle: idle?,
                connections: connections?,
                connections_per_peer: connections_per_peer?,
                http2_streams: http2_streams?,
                pooled_connections: pooled_connections?,
                pooled_idle: pooled_idle?,
            })
        })
    }
}
