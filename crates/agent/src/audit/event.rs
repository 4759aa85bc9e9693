//! The events. INVARIANT: no field holds a credential, a header or a query string.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bailiwick_identity::{Leaf, Port, SpiffeId, Unproven};
use bailiwick_policy::{SnapshotId, WorkloadKey};
use serde::{Serialize, Serializer};

use super::{ConnectionId, DecisionId};

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum AuditEvent {
    /// May this caller do this?
    Authorization(Box<AuthorizationEvent>),
    /// Who is this?
    Authentication(Box<AuthenticationEvent>),
    /// Events were lost, because the writer could not keep up or its output failed.
    Dropped {
        /// When it was noticed.
        #[serde(serialize_with = "rfc3339")]
        time: SystemTime,
        /// How many since the last such event.
        count: u64,
    },
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationEvent {
    /// When it was decided.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The connection that the call came on.
    pub connection_id: ConnectionId,
    /// This decision.
    pub decision_id: DecisionId,
    /// What was decided.
    pub verdict: Verdict,
    /// What became of the call.
    pub outcome: Outcome,
    /// The first deciding rules, sorted by kind, namespace, name, rule.
    pub reasons: Vec<Reason>,
    /// How many there are in all.
    pub reason_count: u32,
    /// What objects in Audit mode, or a namespace in audit, would have made of it, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_be: Option<WouldBe>,
    /// Who called.
    pub source: Source,
    /// Who was called.
    pub destination: Destination,
    /// The call.
    #[serde(flatten)]
    pub call: CallRecord,
    /// The status that was answered, if the call was refused with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The snapshot that decided.
    #[serde(serialize_with = "whole_digest")]
    pub snapshot: SnapshotId,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It is permitted.
    Allow,
    /// It is not.
    Deny,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It went on to the application; after a denial only in a namespace in authorization audit.
    Forwarded,
    /// It was answered with a status.
    Refused,
    /// Its connection was closed.
    Closed,
    /// It was in flight and was cut, because the verdict changed.
    Cut,
}

/// A rule that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// `ClusterPolicy`, `Policy`, or `Default` where nothing allowed the call.
    pub kind: &'static str,
    /// The object's namespace; empty for a `ClusterPolicy`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: Arc<str>,
    /// The object's name; empty for the default.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Arc<str>,
    /// The rule; `default` where nothing allowed the call.
    pub rule: Arc<str>,
}

/// What would have been decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WouldBe {
    /// The other verdict.
    pub verdict: Verdict,
    /// Its first deciding rules.
    pub reasons: Vec<Reason>,
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The proven identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<SpiffeId>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "unproven")]
    pub unproven: Option<Unproven>,
    /// The TCP peer's address and port.
    #[serde(flatten, serialize_with = "address")]
    pub address: SocketAddr,
}

/// Who was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// `namespace/workload`.
    #[serde(serialize_with = "display")]
    pub workload: WorkloadKey,
    /// The container port.
    pub port: Port,
}

/// The call, as far as its protocol lets one see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// How it came.
    pub protocol: Protocol,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Box<str>>,
    /// The canonical path, without the query; as received where it is ambiguous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Box<str>>,
    /// The canonical host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Box<str>>,
    /// True for a gRPC call.
    pub grpc: bool,
}

/// How a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    #[serde(rename = "http/1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "http/2")]
    Http2,
    /// Opaque bytes.
    #[serde(rename = "tcp")]
    Tcp,
}

/// Something that authentication did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationEvent {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// What it came to.
    pub outcome: AuthenticationOutcome,
    /// Why, for outcomes that need a reason: a word of a fixed set where the caller was rejected, else a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// The identity of an issued certificate, or that of a rejected caller where it was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<SpiffeId>,
    /// The serial number of an issued certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Box<str>>,
    /// When an issued certificate ends, seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<i64>,
    /// The connection of a rejected caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<ConnectionId>,
    /// The address of a rejected caller.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_display")]
    pub source: Option<SocketAddr>,
    /// Who was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// The status that a rejected caller was answered; absent for a TLS alert or a closed connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// What authentication came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthenticationOutcome {
    /// This workload got its first certificate.
    Issued,
    /// This workload got its next certificate.
    Renewed,
    /// This workload asked for a certificate and got none.
    Refused,
    /// A caller was not believed.
    Rejected,
    /// A caller would not have been believed, but the namespace is in authentication audit.
    WouldReject,
    /// A caller is no longer believed, and its connection was closed.
    Revoked,
}

impl AuthenticationEvent {
    fn now(outcome: AuthenticationOutcome) -> Self {
        Self {
            time: SystemTime::now(),
            outcome,
            reason: None,
            identity: None,
            serial: None,
            not_after: None,
            connection_id: None,
            source: None,
            destination: None,
            status: None,
        }
    }

    /// This workload got a certificate.
    #[must_use]
    pub fn issued(leaf: &Leaf, first: bool) -> Self {
        let outcome = if first { AuthenticationOutcome::Issued } else { AuthenticationOutcome::Renewed };
        Self {
            identity: Some(leaf.id().clone()),
            serial: Some(leaf.serial().into()),
            not_after: Some(leaf.not_after()),
            ..Self::now(outcome)
        }
    }

    /// This workload asked for a certificate and got none.
    #[must_use]
    pub fn refused(reason: impl Into<Box<str>>) -> Self {
        Self { reason: Some(reason.into()), ..Self::now(AuthenticationOutcome::Refused) }
    }

    /// A caller was not believed (`outcome`: rejected, would be, or no longer). `reason` is a word of a fixed set.
    #[must_use]
    pub fn caller(
        outcome: AuthenticationOutcome,
        reason: &str,
        connection_id: ConnectionId,
        source: SocketAddr,
        destination: Destination,
    ) -> Self {
        Self {
            reason: Some(reason.into()),
            connection_id: Some(connection_id),
            source: Some(source),
            destination: Some(destination),
            ..Self::now(outcome)
        }
    }
}

/// RFC 3339 with milliseconds, in UTC. A time that the calendar does not hold is written as the epoch.
pub(super) fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let timestamp = jiff::Timestamp::try_from(*time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    serializer.collect_str(&format_args!("{timestamp:.3}"))
}

fn whole_digest<S: Serializer>(id: &SnapshotId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&bailiwick_wire::Digest(id.0))
}

fn display<S: Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(clippy::ref_option, reason = "the form that the serializer calls")]
fn optional_display<S: Serializer>(
    value: &Option<impl std::fmt::Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

#[expect(clippy::ref_option, reason = "the form that the serializer calls")]
fn unproven<S: Serializer>(reason: &Option<Unproven>, serializer: S) -> Result<S::Ok, S::Error> {
    optional_display(reason, serializer)
}

fn address<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap as _;
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("ip", &address.ip())?;
    map.serialize_entry("port", &address.port())?;
    map.end()
}
