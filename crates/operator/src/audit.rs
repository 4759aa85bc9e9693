//! Authentication events as JSON lines on stdout: issued, refused. Never a token, a key or a request.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

/// Events that may wait for a reader of stdout that is slow.
const QUEUE: usize = 4096;

/// What happened to somebody's proof.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub(crate) enum AuthenticationEvent {
    /// A certificate was issued.
    #[serde(rename_all = "camelCase")]
    Issued {
        #[serde(flatten)]
        origin: EventOrigin,
        workload: String,
        identity: String,
        serial: String,
        /// Seconds since the Unix epoch.
        not_after: i64,
    },
    /// A proof was refused.
    #[serde(rename_all = "camelCase")]
    Refused {
        #[serde(flatten)]
        origin: EventOrigin,
        /// Where: `identity`, `configuration` or `destinations`.
        at: &'static str,
        /// One word, for scripts.
        reason: &'static str,
        /// A sentence, for people.
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        workload: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        identity: Option<String>,
    },
}

/// Which connection an event belongs to.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventOrigin {
    /// Joins the events of one connection.
    pub(crate) connection: u64,
    pub(crate) peer_address: SocketAddr,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    kind: &'static str,
    /// Milliseconds since the Unix epoch.
    time: u128,
    #[serde(flatten)]
    event: &'a AuthenticationEvent,
}

/// Takes events without ever making the caller wait; what does not fit is counted.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog {
    lines: SyncSender<String>,
    dropped: Counter,
}

impl AuditLog {
    /// Starts the thread that writes; it ends when every clone is gone.
    pub(crate) fn start(mut output: impl Write + Send + 'static, dropped: Counter) -> io::Result<Self> {
        let (lines, queue) = sync_channel::<String>(QUEUE);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            while let Ok(line) = queue.recv() {
                // Nobody reads: serving goes on, as for any log.
                if output.write_all(line.as_bytes()).and_then(|()| output.flush()).is_err() {
                    tracing::debug!("an audit event could not be written");
                }
            }
        })?;
        Ok(Self { lines, dropped })
    }

    pub(crate) fn record(&self, event: &AuthenticationEvent) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let line = Line { kind: "authentication", time, event };
        let written = serde_json::to_string(&line).map(|text| self.lines.try_send(text + "\n"));
        if !matches!(written, Ok(Ok(()))) {
            self.dropped.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_a_stranger_wrote() {
        let event = AuthenticationEvent::Refused {
            origin: EventOrigin { connection: 7, peer_address: "127.0.0.1:9".parse().unwrap() },
            at: "identity",
            reason: "request",
            message: "asks for `a\nb\"}`".to_owned(),
            workload: None,
            identity: None,
        };
        let line = Line { kind: "authentication", time: 5, event: &event };
        let text = serde_json::to_string(&line).unwrap();
        assert!(!text.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((value["event"].as_str(), value["connection"].as_u64()), (Some("refused"), Some(7)));
        assert_eq!(value["peerAddress"], "127.0.0.1:9");
    }

    #[test]
    fn a_reader_that_is_stuck_costs_events_and_not_the_caller() {
        struct Stuck;
        impl Write for Stuck {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                loop {
                    std::thread::park();
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let dropped = Counter::default();
        let log = AuditLog::start(Stuck, dropped.clone()).unwrap();
        for connection in 0..6_000 {
            log.record(&AuthenticationEvent::Issued {
                origin: EventOrigin { connection, peer_address: "127.0.0.1:9".parse().unwrap() },
                workload: "shop/web".into(),
                identity: "spiffe://a/b".into(),
                serial: "1".into(),
                not_after: 1,
            });
        }
        assert!(dropped.get() > 1_000);
    }
}
