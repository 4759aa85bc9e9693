//! What is written down of a call. Each system has its own events: authentication says who was not believed,
//! authorization says what was decided; the connection's id joins them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bailiwick_agent::audit::{
    AuthenticationEvent, AuthenticationOutcome, AuthorizationEvent, CallRecord, ConnectionId, DecisionId,
    Destination, Outcome as Became, Protocol, Reason, Source, Verdict as Said, WouldBe,
};
use bailiwick_authn::{AuthnError, RequestRefusal, Unauthenticated};
use bailiwick_identity::{Port, Subject};
use bailiwick_policy::{ConnectionAttributes, Decision, Denied, Reasons, Snapshot, Verdict};
use http::Version;
use http::request::Parts;

use crate::inbound::attributes::{BadRequest, HttpAttributes};
use crate::inbound::caller::Caller;
use crate::metrics::{Direction, Protocol as Spoken};
use crate::sessions::Session;
use crate::shared::{Shared, Worker};

/// Records a decision, before any byte of the call moves.
pub(crate) fn decision(
    caller: &Caller,
    subject: &Subject,
    decision: &Decision,
    call: Option<(&HttpAttributes, Version)>,
) -> DecisionId {
    let shared = &caller.worker.shared;
    shared.metrics.decided(decision);
    shared.metrics.request(Direction::Inbound, spoken(call));
    let id = shared.ids.decision();
    let (became, status) = match (decision, call) {
        (Decision::Permit(_), _) => (Became::Forwarded, None),
        (Decision::Denied(denied), Some(_)) if denied.unauthenticated_hint() => (Became::Refused, Some(401)),
        (Decision::Denied(_), Some(_)) => (Became::Refused, Some(403)),
        (Decision::Denied(_), None) => (Became::Closed, None),
    };
    let snapshot = decision.snapshot();
    write(
        shared,
        AuthorizationEvent {
            time: SystemTime::now(),
            connection_id: caller.id,
            decision_id: id,
            verdict: said(decision.verdict()),
            outcome: became,
            reasons: reasons(snapshot, decision.verdict()),
            reason_count: count(&decision.verdict().reasons),
            would_be: decision.would_be().map(|verdict| would_be(snapshot, verdict)),
            source: source(subject, caller.source),
            destination: destination(&caller.worker, caller.port),
            call: call_record(call),
            status,
            snapshot: snapshot.id(),
        },
    );
    id
}

/// Records that a call in flight was cut.
pub(crate) fn cut(worker: &Worker, session: &Session, denied: &Denied) {
    let attributes = session.attributes.at(crate::clock::now());
    let snapshot = denied.snapshot();
    worker.shared.metrics.settled(denied.verdict().outcome);
    write(
        &worker.shared,
        AuthorizationEvent {
            time: SystemTime::now(),
            connection_id: session.connection,
            decision_id: worker.shared.ids.decision(),
            verdict: Said::Deny,
            outcome: Became::Cut,
            reasons: reasons(snapshot, denied.verdict()),
            reason_count: count(&denied.verdict().reasons),
            would_be: None,
            source: source(&session.subject, attributes.source),
            destination: destination(worker, attributes.port),
            call: call_in_flight(&attributes),
            status: None,
            snapshot: snapshot.id(),
        },
    );
}

/// Records a connection that was closed before its first byte.
pub(crate) fn refused_early(
    worker: &Worker,
    id: ConnectionId,
    snapshot: &Snapshot,
    attributes: &ConnectionAttributes,
    rules: &Reasons,
) {
    worker.shared.metrics.connection_refused(Direction::Inbound, "denied-early");
    write(
        &worker.shared,
        AuthorizationEvent {
            time: SystemTime::now(),
            connection_id: id,
            decision_id: worker.shared.ids.decision(),
            verdict: Said::Deny,
            outcome: Became::Closed,
            reasons: listed(snapshot, rules),
            reason_count: count(rules),
            would_be: None,
            source: Source { identity: None, unproven: None, address: attributes.source },
            destination: destination(worker, attributes.port),
            call: call_record(None),
            status: None,
            snapshot: snapshot.id(),
        },
    );
}

/// Records a handshake that proved nobody.
pub(crate) fn refused_handshake(
    worker: &Worker,
    id: ConnectionId,
    source: SocketAddr,
    port: Port,
    error: &AuthnError,
) {
    worker.shared.metrics.handshake_failed(Direction::Inbound, error.reason());
    tracing::debug!(connection = %id, %error, "a handshake failed");
    rejected(worker, AuthenticationOutcome::Rejected, error.reason(), (id, source, port), None);
}

/// Records plaintext on a port that takes mesh TLS only.
pub(crate) fn plaintext_on_strict(
    worker: &Worker,
    id: ConnectionId,
    source: SocketAddr,
    port: Port,
    http: bool,
) {
    worker.shared.metrics.unauthenticated("plaintext");
    let status = http.then_some(401);
    rejected(worker, AuthenticationOutcome::Rejected, "plaintext", (id, source, port), status);
}

/// Records a request whose caller is not proven as its port requires.
pub(crate) fn refused_authentication(caller: &Caller, refused: &RequestRefusal) {
    let (reason, status) = match refused {
        RequestRefusal::Unauthenticated(reason) => (reason.reason(), 401),
        RequestRefusal::Unavailable(_) => ("invalid-authentication", 503),
    };
    caller.worker.shared.metrics.unauthenticated(reason);
    let place = (caller.id, caller.source, caller.port);
    rejected(&caller.worker, AuthenticationOutcome::Rejected, reason, place, Some(status));
}

/// Records a caller that only a namespace in authentication audit believes.
pub(crate) fn would_be_unauthenticated(caller: &Caller, reason: &Unauthenticated) {
    let place = (caller.id, caller.source, caller.port);
    rejected(&caller.worker, AuthenticationOutcome::WouldReject, reason.reason(), place, Some(401));
}

/// Records a request that has more than one reading. It is no decision: no policy was asked.
pub(crate) fn bad_request(caller: &Caller, parts: &Parts, bad: BadRequest) {
    caller.worker.shared.metrics.connection_refused(Direction::Inbound, "bad-request");
    tracing::info!(
        connection = %caller.id,
        source = %caller.source,
        identity = caller.connection.peer().map(|peer| peer.id().as_str()),
        method = %parts.method,
        reason = %bad,
        "a request was refused before policy: it has more than one reading"
    );
}

/// Records a connection whose protocol could not be told within the limit.
pub(crate) fn undetected(caller: &Caller) {
    caller.worker.shared.metrics.connection_refused(Direction::Inbound, "undetected");
    tracing::info!(connection = %caller.id, source = %caller.source, "a connection was closed: its protocol is not declared and could not be told");
}

/// Records an HTTP request on a TCP port that an `http` or `grpc` Deny selects.
pub(crate) fn http_on_tcp(caller: &Caller) {
    caller.worker.shared.metrics.connection_refused(Direction::Inbound, "http-on-tcp");
    tracing::info!(connection = %caller.id, source = %caller.source, "a connection was closed: HTTP on a TCP port that a Deny selects by path");
}

/// Into the audit log, and to the operator if it is a denial.
fn write(shared: &Shared, event: AuthorizationEvent) {
    // One that was replaced meanwhile is still told apart by its id.
    let current = shared.config.current().filter(|active| active.id == event.snapshot);
    shared.reports.decided(&event, current.map_or(0, |active| active.position.version));
    shared.audit.authorization(event);
}

fn rejected(
    worker: &Worker,
    outcome: AuthenticationOutcome,
    reason: &str,
    (id, source, port): (ConnectionId, SocketAddr, Port),
    status: Option<u16>,
) {
    let mut event = AuthenticationEvent::caller(outcome, reason, id, source, destination(worker, port));
    event.status = status;
    worker.shared.audit.authentication(event);
}

fn spoken(call: Option<(&HttpAttributes, Version)>) -> Spoken {
    match call {
        None => Spoken::Tcp,
        Some((attributes, _)) if attributes.is_grpc() => Spoken::Grpc,
        Some((_, Version::HTTP_2)) => Spoken::Http2,
        Some(_) => Spoken::Http1,
    }
}

fn said(verdict: &Verdict) -> Said {
    if verdict.outcome.permits() { Said::Allow } else { Said::Deny }
}

fn count(reasons: &Reasons) -> u32 {
    u32::try_from(reasons.total()).unwrap_or(u32::MAX)
}

fn would_be(snapshot: &Snapshot, verdict: &Verdict) -> WouldBe {
    WouldBe { verdict: said(verdict), reasons: reasons(snapshot, verdict) }
}

/// The deciding rules; the default is written as one, so that every denial names what denied it.
fn reasons(snapshot: &Snapshot, verdict: &Verdict) -> Vec<Reason> {
    let listed = listed(snapshot, &verdict.reasons);
    if !listed.is_empty() {
        return listed;
    }
    let rule = Arc::from(verdict.outcome.as_str());
    vec![Reason { kind: "Default", namespace: Arc::from(""), name: Arc::from(""), rule }]
}

fn listed(snapshot: &Snapshot, reasons: &Reasons) -> Vec<Reason> {
    let rules = reasons.iter().filter_map(|rule| snapshot.rule(rule));
    rules
        .map(|rule| Reason {
            kind: rule.origin.layer.kind(),
            namespace: Arc::clone(&rule.origin.namespace),
            name: Arc::clone(&rule.origin.name),
            rule: match &rule.uncompilable {
                Some(reason) => Arc::from(format!("(invalid: {reason})")),
                None => Arc::clone(&rule.name),
            },
        })
        .collect()
}

fn source(subject: &Subject, address: SocketAddr) -> Source {
    Source { identity: subject.id().cloned(), unproven: subject.unproven(), address }
}

fn destination(worker: &Worker, port: Port) -> Destination {
    Destination { workload: worker.shared.workload.clone(), port }
}

fn call_record(call: Option<(&HttpAttributes, Version)>) -> CallRecord {
    match call {
        None => CallRecord { protocol: Protocol::Tcp, method: None, path: None, host: None, grpc: false },
        Some((attributes, version)) => CallRecord {
            protocol: if version == Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 },
            method: Some(attributes.method().as_str().into()),
            path: Some(attributes.audited_path().into()),
            host: Some(attributes.host().into()),
            grpc: attributes.is_grpc(),
        },
    }
}

fn call_in_flight(attributes: &bailiwick_policy::RequestAttributes<'_>) -> CallRecord {
    match attributes.call {
        bailiwick_policy::Call::Tcp => call_record(None),
        bailiwick_policy::Call::Http(http) => CallRecord {
            protocol: if http.grpc { Protocol::Http2 } else { Protocol::Http1 },
            method: Some(http.method.into()),
            path: match http.target {
                bailiwick_policy::RequestTarget::Path(path) => Some(path.as_str().into()),
                bailiwick_policy::RequestTarget::Asterisk => Some("*".into()),
                bailiwick_policy::RequestTarget::Ambiguous => None,
            },
            host: Some(http.host.into()),
            grpc: http.grpc,
        },
    }
}
