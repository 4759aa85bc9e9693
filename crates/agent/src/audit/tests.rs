use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use bailiwick_identity::Unproven;
use bailiwick_policy::{SnapshotId, WorkloadKey};

use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn source() -> SocketAddr {
    "10.0.0.7:40000".parse().unwrap()
}

fn destination() -> Destination {
    let workload = WorkloadKey { namespace: "shop".parse().unwrap(), name: "orders".parse().unwrap() };
    Destination { workload, port: 8080_u16.try_into().unwrap() }
}

fn decision(ids: &EventIds, path: &str) -> AuthorizationEvent {
    AuthorizationEvent {
        time: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        connection_id: ids.connection(),
        decision_id: ids.decision(),
        verdict: Verdict::Deny,
        outcome: Outcome::Refused,
        reasons: vec![Reason {
            kind: "Policy",
            namespace: "shop".into(),
            name: "orders".into(),
            rule: "no-admin".into(),
        }],
        reason_count: 1,
        would_be: None,
        source: Source { identity: None, unproven: Some(Unproven::Plaintext), address: source() },
        destination: destination(),
        call: CallRecord {
            protocol: Protocol::Http1,
            method: Some("GET".into()),
            path: Some(path.into()),
            host: Some("orders.shop".into()),
            grpc: false,
        },
        status: Some(403),
        snapshot: SnapshotId([0xab; 32]),
    }
}

#[test]
fn a_decision_is_one_line_with_the_documented_fields() {
    let log = Log::default();
    let sink = AuditSink::to_writer(log.clone(), 8).unwrap();
    let ids = EventIds::default();
    let event = decision(&ids, "/admin");
    let (connection, decision) = (event.connection_id.to_string(), event.decision_id.to_string());
    sink.authorization(event);
    assert!(sink.flush(Duration::from_secs(5)));
    let expected = serde_json::json!({
        "event": "authorization",
        "time": "2023-11-14T22:13:20.123Z",
        "connectionId": connection,
        "decisionId": decision,
        "verdict": "deny",
        "outcome": "refused",
        "reasons": [{"kind": "Policy", "namespace": "shop", "name": "orders", "rule": "no-admin"}],
        "reasonCount": 1,
        "source": {"unproven": "plaintext", "ip": "10.0.0.7", "port": 40000},
        "destination": {"workload": "shop/orders", "port": 8080},
        "protocol": "http/1",
        "method": "GET",
        "path": "/admin",
        "host": "orders.shop",
        "grpc": false,
        "status": 403,
        "snapshot": "ab".repeat(32),
    });
    assert_eq!(log.lines(), [expected]);
}

#[test]
fn c5_nothing_a_caller_sends_breaks_the_line_or_speaks_to_a_terminal() {
    let log = Log::default();
    let sink = AuditSink::to_writer(log.clone(), 8).unwrap();
    let path = "/a\n{\"event\":\"authorization\"}\r\u{1b}[2J\u{9b}31m\u{2028}\u{7f}\"";
    sink.authorization(decision(&EventIds::default(), path));
    assert!(sink.flush(Duration::from_secs(5)));
    let bytes = log.0.lock().unwrap().clone();
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    assert!(!text.trim_end().chars().any(|character| character.is_control() || character == '\u{2028}'));
    assert_eq!(log.lines()[0]["path"], path, "and nothing of it is lost");
}

#[test]
fn a_rejected_caller_is_an_event_of_its_own() {
    let log = Log::default();
    let sink = AuditSink::to_writer(log.clone(), 8).unwrap();
    let rejected = AuthenticationOutcome::Rejected;
    let connection = EventIds::default().connection();
    sink.authentication(AuthenticationEvent::caller(
        rejected,
        "expired",
        connection,
        source(),
        destination(),
    ));
    assert!(sink.flush(Duration::from_secs(5)));
    let line = &log.lines()[0];
    assert_eq!(
        (&line["event"], &line["outcome"], &line["reason"]),
        (&"authentication".into(), &"rejected".into(), &"expired".into())
    );
    assert_eq!(
        (&line["source"], &line["connectionId"]),
        (&"10.0.0.7:40000".into(), &connection.to_string().into())
    );
}

/// A log that stands still until it is released.
struct Stuck(Receiver<()>, Log);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _released = self.0.recv();
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_log_holds_up_nobody_and_what_is_lost_is_counted_in_the_log() {
    let (release, released): (Sender<()>, _) = channel();
    let log = Log::default();
    let sink = AuditSink::to_writer(Stuck(released, log.clone()), 4).unwrap();
    let ids = EventIds::default();
    let start = std::time::Instant::now();
    for _ in 0..100_000 {
        sink.authorization(decision(&ids, "/a"));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "recording never waits");
    let lost = sink.dropped();
    assert!(lost > 0);
    drop(release);
    assert!(sink.flush(Duration::from_secs(5)));
    let lines = log.lines();
    let counted: u64 = lines
        .iter()
        .filter(|line| line["event"] == "dropped")
        .map(|line| line["count"].as_u64().unwrap())
        .sum();
    let written = lines.iter().filter(|line| line["event"] == "authorization").count();
    assert_eq!((counted, u64::try_from(written).unwrap() + lost), (lost, 100_000));
}

#[test]
fn ids_differ_between_decisions_and_processes() {
    let (one, two) = (EventIds::default(), EventIds::default());
    let ids = [
        one.decision().to_string(),
        one.decision().to_string(),
        two.decision().to_string(),
        one.connection().to_string(),
    ];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
}

/// A log that is not read, and calls with long paths: the queue must not take the sidecar's memory.
#[test]
fn h7_what_waits_for_a_slow_log_is_bounded_in_bytes() {
    struct Stuck(Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Ends with the test.
            let _ended = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (end, ended) = channel();
    let sink = AuditSink::to_writer(Stuck(ended), 8192).unwrap();
    let (ids, path) = (EventIds::default(), "/x".repeat(15_000));
    for _ in 0..2_000 {
        sink.authorization(decision(&ids, &path));
    }
    assert!(sink.dropped() > 1_000, "{} events of 30 kB were kept", 2_000 - sink.dropped());
    drop(end);
    assert!(sink.flush(Duration::from_secs(5)));
    let dropped = sink.dropped();
    sink.authorization(decision(&ids, &path));
    assert_eq!(sink.dropped(), dropped, "there is room again");
}
