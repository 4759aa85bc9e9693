//! Reports of denials, from a sidecar to its operator, for `why`.

use std::net::{IpAddr, SocketAddr};

use bailiwick_identity::{Port, SpiffeId};
use bailiwick_policy::{SnapshotId, WorkloadKey};

use crate::decode_rule::port;
use crate::error::{FieldError, FieldProblem, FieldResult, each, parse, required};
use crate::{DecodeError, Digest, proto};

/// The longest text of a report, bytes. A sender cuts what is longer; a reader refuses it.
pub const MAXIMUM_REPORTED_TEXT_BYTES: usize = 1024;

/// The most rules of a report.
pub const MAXIMUM_REPORTED_RULES: usize = 8;

/// A denial, or one that an object or a namespace in audit would have made.
///
/// INVARIANT: no field holds a credential, a header or a query string, and each text is bounded and printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the caller was told, and what the audit event holds.
    pub decision_id: String,
    /// The connection that the call came on.
    pub connection_id: String,
    /// When, milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// The workload that refused.
    pub workload: WorkloadKey,
    /// Its container port.
    pub port: Port,
    /// Who called.
    pub caller: ReportedCaller,
    /// The TCP peer.
    pub source: SocketAddr,
    /// What was asked.
    pub call: ReportedCall,
    /// What was decided.
    pub verdict: ReportedVerdict,
    /// What became of the call.
    pub outcome: ReportedOutcome,
    /// The first deciding rules.
    pub rules: Vec<ReportedRule>,
    /// How many there are in all.
    pub rule_count: u32,
    /// Set where Audit would have decided otherwise.
    pub would_be: Option<ReportedWouldBe>,
    /// The status that was answered.
    pub status: Option<u16>,
    /// The snapshot that decided.
    pub snapshot: SnapshotId,
    /// That snapshot's version.
    pub snapshot_version: u64,
    /// How many reports were left out since the one before this.
    pub left_out: u64,
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportedCaller {
    /// A proven identity.
    Proven(SpiffeId),
    /// Nobody was proven: a word of a fixed set says why.
    Unproven(String),
}

/// What was asked; `method`, `path` and `host` are empty for TCP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReportedCall {
    /// `http/1`, `http/2` or `tcp`.
    pub protocol: String,
    /// The method.
    pub method: String,
    /// The canonical path, without the query.
    pub path: String,
    /// The canonical host.
    pub host: String,
    /// True for a gRPC call.
    pub grpc: bool,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedVerdict {
    /// It is permitted.
    Allow,
    /// It is not.
    Deny,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedOutcome {
    /// It went on to the application.
    Forwarded,
    /// It was answered with a status.
    Refused,
    /// Its connection was closed.
    Closed,
    /// It was in flight and was cut.
    Cut,
}

/// A rule that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedRule {
    /// `ClusterPolicy`, `Policy`, or `Default` where nothing allowed the call.
    pub kind: String,
    /// The object's namespace; empty for a `ClusterPolicy`.
    pub namespace: String,
    /// The object's name; empty for the default.
    pub name: String,
    /// The rule.
    pub rule: String,
}

/// What would have been decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedWouldBe {
    /// The other verdict.
    pub verdict: ReportedVerdict,
    /// Its first deciding rules.
    pub rules: Vec<ReportedRule>,
}

/// Encodes a report. Longer texts are cut, and characters that could speak to a terminal are replaced.
#[must_use]
pub fn encode_report(report: &Report) -> proto::DenialReport {
    use proto::reported_caller::Proof;
    let proof = match &report.caller {
        ReportedCaller::Proven(id) => Proof::Identity(id.to_string()),
        ReportedCaller::Unproven(reason) => Proof::Unproven(bounded(reason)),
    };
    proto::DenialReport {
        decision_id: bounded(&report.decision_id),
        connection_id: bounded(&report.connection_id),
        time_ms: report.time_ms,
        namespace: report.workload.namespace.to_string(),
        workload: report.workload.name.to_string(),
        port: report.port.into(),
        caller: Some(proto::ReportedCaller {
            proof: Some(proof),
            ip: report.source.ip().to_string(),
            port: report.source.port().into(),
        }),
        call: Some(proto::ReportedCall {
            protocol: bounded(&report.call.protocol),
            method: bounded(&report.call.method),
            path: bounded(&report.call.path),
            host: bounded(&report.call.host),
            grpc: report.call.grpc,
        }),
        verdict: encode_verdict(report.verdict).into(),
        outcome: encode_outcome(report.outcome).into(),
        rules: encode_rules(&report.rules),
        rule_count: report.rule_count,
        would_be: report.would_be.as_ref().map(|would_be| proto::ReportedWouldBe {
            verdict: encode_verdict(would_be.verdict).into(),
            rules: encode_rules(&would_be.rules),
        }),
        status: report.status.unwrap_or_default().into(),
        snapshot_id: report.snapshot.0.to_vec(),
        snapshot_version: report.snapshot_version,
        left_out: report.left_out,
    }
}

fn bounded(text: &str) -> String {
    let mut short = String::with_capacity(text.len().min(MAXIMUM_REPORTED_TEXT_BYTES));
    for character in text.chars() {
        let character = if printable(character) { character } else { char::REPLACEMENT_CHARACTER };
        if short.len() + character.len_utf8() > MAXIMUM_REPORTED_TEXT_BYTES {
            break;
        }
        short.push(character);
    }
    short
}

fn printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}')
}

const fn encode_verdict(verdict: ReportedVerdict) -> proto::ReportedVerdict {
    match verdict {
        ReportedVerdict::Allow => proto::ReportedVerdict::Allow,
        ReportedVerdict::Deny => proto::ReportedVerdict::Deny,
    }
}

const fn encode_outcome(outcome: ReportedOutcome) -> proto::ReportedOutcome {
    match outcome {
        ReportedOutcome::Forwarded => proto::ReportedOutcome::Forwarded,
        ReportedOutcome::Refused => proto::ReportedOutcome::Refused,
        ReportedOutcome::Closed => proto::ReportedOutcome::Closed,
        ReportedOutcome::Cut => proto::ReportedOutcome::Cut,
    }
}

fn encode_rules(rules: &[ReportedRule]) -> Vec<proto::ReportedRule> {
    let encode = |rule: &ReportedRule| proto::ReportedRule {
        kind: bounded(&rule.kind),
        namespace: bounded(&rule.namespace),
        name: bounded(&rule.name),
        rule: bounded(&rule.rule),
    };
    rules.iter().take(MAXIMUM_REPORTED_RULES).map(encode).collect()
}

/// Decodes a report.
///
/// # Errors
/// When a field is missing, malformed, unknown, too long or not printable.
pub fn decode_report(message: &proto::DenialReport) -> Result<Report, DecodeError> {
    report(message).map_err(|field| field.of("denial report"))
}

fn report(message: &proto::DenialReport) -> FieldResult<Report> {
    let caller = required("caller", message.caller.as_ref())?;
    let (proof, source) = decode_caller(caller).map_err(|error| error.within("caller"))?;
    let call = required("call", message.call.as_ref())?;
    let would_be = |would_be: &proto::ReportedWouldBe| {
        let verdict = decode_verdict(would_be.verdict)?;
        Ok(ReportedWouldBe { verdict, rules: decode_rules(&would_be.rules)? })
    };
    let snapshot = Digest::try_from(message.snapshot_id.as_slice())
        .map_err(|error| FieldError::invalid("snapshot_id", error))?;
    Ok(Report {
        decision_id: given("decision_id", &message.decision_id)?,
        connection_id: given("connection_id", &message.connection_id)?,
        time_ms: message.time_ms,
        workload: WorkloadKey {
            namespace: parse("namespace", &message.namespace)?,
            name: parse("workload", &message.workload)?,
        },
        port: port(&message.port).map_err(|error| error.within("port"))?,
        caller: proof,
        source,
        call: decode_call(call).map_err(|error| error.within("call"))?,
        verdict: decode_verdict(message.verdict)?,
        outcome: decode_outcome(message.outcome)?,
        rules: decode_rules(&message.rules)?,
        rule_count: message.rule_count,
        would_be: message
            .would_be
            .as_ref()
            .map(|value| would_be(value).map_err(|error: FieldError| error.within("would_be")))
            .transpose()?,
        status: match message.status {
            0 => None,
            status => Some(u16::try_from(status).map_err(|error| FieldError::invalid("status", error))?),
        },
        snapshot: SnapshotId(snapshot.0),
        snapshot_version: message.snapshot_version,
        left_out: message.left_out,
    })
}

fn decode_caller(message: &proto::ReportedCaller) -> FieldResult<(ReportedCaller, SocketAddr)> {
    use proto::reported_caller::Proof;
    let proof = match required("proof", message.proof.as_ref())? {
        Proof::Identity(id) => ReportedCaller::Proven(parse("identity", id)?),
        Proof::Unproven(reason) => ReportedCaller::Unproven(given("unproven", reason)?),
    };
    let ip: IpAddr = parse("ip", &message.ip)?;
    // Port 0 never called, but it harms nobody in a report.
    let port = u16::try_from(message.port).map_err(|error| FieldError::invalid("port", error))?;
    Ok((proof, SocketAddr::new(ip, port)))
}

fn decode_call(message: &proto::ReportedCall) -> FieldResult<ReportedCall> {
    Ok(ReportedCall {
        protocol: given("protocol", &message.protocol)?,
        method: text("method", &message.method)?,
        path: text("path", &message.path)?,
        host: text("host", &message.host)?,
        grpc: message.grpc,
    })
}

fn decode_verdict(value: i32) -> FieldResult<ReportedVerdict> {
    match proto::ReportedVerdict::try_from(value) {
        Ok(proto::ReportedVerdict::Allow) => Ok(ReportedVerdict::Allow),
        Ok(proto::ReportedVerdict::Deny) => Ok(ReportedVerdict::Deny),
        Ok(proto::ReportedVerdict::Unspecified) | Err(_) => Err(FieldError::unknown("verdict", value)),
    }
}

fn decode_outcome(value: i32) -> FieldResult<ReportedOutcome> {
    match proto::ReportedOutcome::try_from(value) {
        Ok(proto::ReportedOutcome::Forwarded) => Ok(ReportedOutcome::Forwarded),
        Ok(proto::ReportedOutcome::Refused) => Ok(ReportedOutcome::Refused),
        Ok(proto::ReportedOutcome::Closed) => Ok(ReportedOutcome::Closed),
        Ok(proto::ReportedOutcome::Cut) => Ok(ReportedOutcome::Cut),
        Ok(proto::ReportedOutcome::Unspecified) | Err(_) => Err(FieldError::unknown("outcome", value)),
    }
}

fn decode_rules(rules: &[proto::ReportedRule]) -> FieldResult<Vec<ReportedRule>> {
    if rules.len() > MAXIMUM_REPORTED_RULES {
        return Err(FieldError::new("rules", FieldProblem::Unexpected));
    }
    each("rules", rules, |rule| {
        Ok(ReportedRule {
            kind: given("kind", &rule.kind)?,
            namespace: text("namespace", &rule.namespace)?,
            name: text("name", &rule.name)?,
            rule: given("rule", &rule.rule)?,
        })
    })
}

fn given(path: &str, value: &str) -> FieldResult<String> {
    if value.is_empty() { Err(FieldError::missing(path)) } else { text(path, value) }
}

fn text(path: &str, value: &str) -> FieldResult<String> {
    if value.len() > MAXIMUM_REPORTED_TEXT_BYTES {
        return Err(FieldError::invalid(
            path,
            format_args!("is longer than {MAXIMUM_REPORTED_TEXT_BYTES} bytes"),
        ));
    }
    if value.chars().all(printable) {
        Ok(value.to_owned())
    } else {
        Err(FieldError::invalid(path, "holds a control character"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        let rule = ReportedRule {
            kind: "Policy".into(),
            namespace: "shop".into(),
            name: "orders".into(),
            rule: "no-admin".into(),
        };
        Report {
            decision_id: "5f0c1d2e3a4b-d2a".into(),
            connection_id: "5f0c1d2e3a4b-c1".into(),
            time_ms: 1_795_000_000_123,
            workload: WorkloadKey { namespace: "shop".parse().unwrap(), name: "orders-1".parse().unwrap() },
            port: Port::try_from(8080_u16).unwrap(),
            caller: ReportedCaller::Proven("spiffe://cluster.local/ns/shop/sa/web".parse().unwrap()),
            source: "[fd00::7]:40000".parse().unwrap(),
            call: ReportedCall {
                protocol: "http/1".into(),
                method: "GET".into(),
                path: "/admin".into(),
                host: "orders.shop".into(),
                grpc: false,
            },
            verdict: ReportedVerdict::Deny,
            outcome: ReportedOutcome::Refused,
            rules: vec![rule.clone()],
            rule_count: 9,
            would_be: Some(ReportedWouldBe { verdict: ReportedVerdict::Allow, rules: vec![rule] }),
            status: Some(403),
            snapshot: SnapshotId([7; 32]),
            snapshot_version: 12,
            left_out: 3,
        }
    }

    #[test]
    fn a_report_comes_back_as_it_was() {
        let report = sample();
        assert_eq!(decode_report(&encode_report(&report)).unwrap(), report);
        let tcp = Report {
            caller: ReportedCaller::Unproven("plaintext".into()),
            call: ReportedCall { protocol: "tcp".into(), ..ReportedCall::default() },
            status: None,
            would_be: None,
            outcome: ReportedOutcome::Closed,
            ..report
        };
        assert_eq!(decode_report(&encode_report(&tcp)).unwrap(), tcp);
    }

    #[test]
    fn long_and_unprintable_texts_are_cut_by_the_sender_and_refused_by_the_reader() {
        let mut report = sample();
        report.call.path = format!("/{}", "\u{e9}".repeat(1000));
        report.call.host = "a\u{1b}[31m\n".into();
        report.rules = vec![report.rules[0].clone(); 20];
        let message = encode_report(&report);
        let read = decode_report(&message).unwrap();
        assert_eq!(read.call.path.len(), 1023, "cut between two characters");
        assert_eq!(read.call.host, "a\u{fffd}[31m\u{fffd}");
        assert_eq!(read.rules.len(), MAXIMUM_REPORTED_RULES);
        let refused = |change: &dyn Fn(&mut proto::DenialReport)| {
            let mut message = message.clone();
            change(&mut message);
            decode_report(&message).unwrap_err().to_string()
        };
        let call = |change: fn(&mut proto::ReportedCall)| {
            refused(&move |message: &mut proto::DenialReport| change(message.call.as_mut().unwrap()))
        };
        assert!(call(|call| call.path = "x".repeat(1025)).contains("call.path"));
        assert!(call(|call| call.method = "\r".into()).contains("call.method"));
        assert!(call(|call| call.protocol.clear()).contains("call.protocol"));
        assert!(refused(&|message| message.verdict = 0).contains("verdict"));
        assert!(refused(&|message| message.outcome = 9).contains("outcome"));
        assert!(refused(&|message| message.decision_id.clear()).contains("decision_id"));
        assert!(refused(&|message| message.rules.push(message.rules[0].clone())).contains("rules"));
        assert!(refused(&|message| message.caller = None).contains("caller"));
        assert!(refused(&|message| message.port = 0).contains("port"));
    }
}
