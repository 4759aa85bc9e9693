//! The engines that need no socket: the evaluator, and the evaluator behind a round trip of the wire format.
//!
//! Authentication and the reading of a request are modelled here from docs/policy-semantics.md in a few lines, on
//! purpose without the code of the sidecar or of the CLI: three readings of one page are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_identity::{MtlsMode, PortTrust, Subject, Unproven};
use bailiwick_policy::{
    Admission, Answer, Call, Caller, CanonicalPath, ConnectionAttributes, Decision, ExplainedVerdict,
    HttpCall, Hypothesis, Outcome, PathError, PortProtocol, RequestAttributes, RequestTarget, RuleIndex,
    RuleInfo, Snapshot, SnapshotId, Verdict, admit, authorize, canonical_host, explain, fold,
    registered_variant,
};
use bailiwick_wire::{ChunkCache, Configuration, Position, assemble, decode_chunk, decode_header, encode};

use super::{Asked, Expect, Observed, Request};
use crate::{subject, unproven_subject};

/// Decides with the evaluator, binds the caller too, and holds `explain` against the decision.
///
/// # Errors
/// When two of the three disagree, or the snapshot cannot be built.
pub fn policy(asked: &Asked) -> Result<Observed, String> {
    let config = Configuration {
        snapshot: asked.config.snapshot.clone(),
        trust: asked.config.trust.clone(),
        protocols: asked.config.protocols.clone(),
    };
    decide(asked, SnapshotId::LOCAL, config)
}

/// As [`policy`], with what comes out of the wire format at the other end.
///
/// # Errors
/// As [`policy`], and when what was encoded is refused, or is another configuration.
pub fn wire(asked: &Asked) -> Result<Observed, String> {
    let sent = Configuration {
        snapshot: asked.config.snapshot.clone(),
        trust: asked.config.trust.clone(),
        protocols: asked.config.protocols.clone(),
    };
    let encoded = encode(&sent, &mut ChunkCache::default());
    let position = Position { epoch: 1, marks: BTreeMap::new(), version: 1 };
    let header = decode_header(&encoded.header(&position)).map_err(|error| format!("header: {error}"))?;
    let mut objects = BTreeMap::new();
    for (digest, bytes) in encoded.chunks() {
        let object = decode_chunk(bytes, digest).map_err(|error| format!("chunk: {error}"))?;
        objects.insert(*digest, Arc::new(object));
    }
    let assembled = assemble(header, &|digest| objects.get(&digest).cloned());
    let received = assembled.map_err(|error| format!("assembly: {error}"))?;
    if received.configuration != sent {
        return Err("what was received is not what was sent".to_owned());
    }
    decide(asked, received.id, received.configuration)
}

/// `Kind namespace/name rule`, as vectors write it.
#[must_use]
pub fn rule_name(info: &RuleInfo) -> String {
    let origin = &info.origin;
    let slash = if origin.namespace.is_empty() { "" } else { "/" };
    let object = format!("{} {}{slash}{}", origin.layer.kind(), origin.namespace, origin.name);
    if info.uncompilable.is_some() { object } else { format!("{object} {}", info.name) }
}

fn decide(asked: &Asked, id: SnapshotId, config: Configuration) -> Result<Observed, String> {
    let snapshot = Snapshot::build(id, config.snapshot).map_err(|error| error.to_string())?;
    let snapshot = Arc::new(snapshot);
    let source = fold(asked.source);
    let connection = ConnectionAttributes { source, port: asked.port, now: asked.now };
    if let Admission::Refused(reasons) = admit(&snapshot, &connection) {
        let rule = reasons.first().and_then(|rule| name_of(&snapshot, rule));
        return Ok(Observed { expect: Expect::Deny, rule, would_be: None });
    }
    let trust = config.trust.port(asked.port);
    let Some((subject, caller)) = authenticate(asked, trust) else {
        return Ok(without_rule(Expect::Unauthenticated));
    };
    let protocol = config.protocols.get(&asked.port).copied().unwrap_or(PortProtocol::Undeclared);
    if protocol == PortProtocol::Http && asked.request.is_none() {
        return Ok(without_rule(Expect::Invalid));
    }
    if trust.invalid.is_some() {
        return Ok(without_rule(Expect::Unavailable));
    }
    let opaque = protocol == PortProtocol::Tcp && asked.request.is_some();
    let request = asked.request.as_ref().filter(|_| !opaque);
    let read = match request.map(|request| read(&snapshot, asked, request)).transpose() {
        Ok(read) => read,
        Err(Refused) => return Ok(without_rule(Expect::Invalid)),
    };
    let call = read.as_ref().map_or(Call::Tcp, |read| Call::Http(read.call()));
    let attributes = RequestAttributes { source, port: asked.port, now: asked.now, call };
    let decision = authorize(&snapshot, &subject, &attributes);
    let bound = snapshot.bind(&subject, source.ip()).authorize(&attributes);
    if bound.verdict() != decision.verdict() || bound.would_be() != decision.would_be() {
        return Err("a bound caller is decided otherwise".to_owned());
    }
    agrees_with_explain(&snapshot, &decision, asked, caller, call)?;
    let mut observed = observe(&snapshot, &decision, read.is_some());
    if trust.mode == MtlsMode::Permissive && trust.audit && subject.unproven().is_some() {
        observed.would_be = Some(Expect::Unauthenticated);
    }
    if opaque && observed.expect == Expect::Allow && snapshot.has_http_deny(asked.port) {
        return Ok(without_rule(Expect::Deny));
    }
    Ok(observed)
}

const fn without_rule(expect: Expect) -> Observed {
    Observed { expect, rule: None, would_be: None }
}

fn name_of(snapshot: &Snapshot, rule: RuleIndex) -> Option<String> {
    snapshot.rule(rule).map(rule_name)
}

/// The subject of the call; `None` if the port does not let the connection live. Every trust domain's roots are known
/// here: which ones a mesh has is no matter of policy.
fn authenticate(asked: &Asked, trust: &PortTrust) -> Option<(Subject, Caller)> {
    match (&asked.caller, trust.mode) {
        (_, MtlsMode::Disabled) => Some((unproven_subject(Unproven::Disabled), Caller::Anonymous)),
        (Caller::Anonymous, MtlsMode::Permissive) => {
            Some((unproven_subject(Unproven::Plaintext), Caller::Anonymous))
        }
        (Caller::Anonymous, MtlsMode::Strict) => None,
        (Caller::Identity(id), MtlsMode::Strict | MtlsMode::Permissive) => {
            let accepted = trust.trust_domains.contains(id.trust_domain());
            accepted.then(|| (subject(id.as_str()), asked.caller.clone()))
        }
    }
}

/// Answered 400.
struct Refused;

/// A request in its one reading.
struct Read<'a> {
    method: &'a str,
    target: Target,
    host: String,
    grpc: bool,
}

enum Target {
    Path(CanonicalPath<'static>),
    Asterisk,
    Ambiguous,
}

impl Read<'_> {
    fn call(&self) -> HttpCall<'_> {
        let target = match &self.target {
            Target::Path(path) => RequestTarget::Path(path),
            Target::Asterisk => RequestTarget::Asterisk,
            Target::Ambiguous => RequestTarget::Ambiguous,
        };
        HttpCall { method: self.method, target, host: &self.host, grpc: self.grpc }
    }
}

fn read<'a>(snapshot: &Snapshot, asked: &Asked, request: &'a Request) -> Result<Read<'a>, Refused> {
    if request.method == "CONNECT" || registered_variant(&request.method).is_some() {
        return Err(Refused);
    }
    let kind = request.content_type.as_deref().unwrap_or_default();
    let grpc = kind == "application/grpc" || kind.starts_with("application/grpc+");
    let host = canonical_host(&request.host).map_err(|_| Refused)?.into_owned();
    let only_reported = snapshot.authorization_audit() && !snapshot.has_cluster_path_deny(asked.port);
    let target = match canonical(&request.target) {
        Ok(path) if grpc && request.target.contains('%') => {
            drop(path);
            return Err(Refused);
        }
        Ok(path) => Target::Path(path),
        Err(PathError::NoSlash) if request.target == "*" && request.method == "OPTIONS" => Target::Asterisk,
        Err(PathError::NoSlash) => return Err(Refused),
        Err(_) if only_reported => Target::Ambiguous,
        Err(_) => return Err(Refused),
    };
    Ok(Read { method: &request.method, target, host, grpc })
}

fn canonical(target: &str) -> Result<CanonicalPath<'static>, PathError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    CanonicalPath::check_query(query)?;
    CanonicalPath::parse(path).map(CanonicalPath::into_owned)
}

fn observe(snapshot: &Snapshot, decision: &Decision, http: bool) -> Observed {
    let expect = match decision {
        Decision::Permit(_) => Expect::Allow,
        Decision::Denied(denied) if http && denied.unauthenticated_hint() => Expect::Unauthenticated,
        Decision::Denied(_) => Expect::Deny,
    };
    let verdict = decision.verdict();
    let rule = match verdict.outcome {
        Outcome::Default => Some("default".to_owned()),
        Outcome::Allow | Outcome::ClusterDeny | Outcome::PolicyDeny | Outcome::AuditNamespace => {
            verdict.reasons.first().and_then(|rule| name_of(snapshot, rule))
        }
    };
    let would_be = decision
        .would_be()
        .map(|would_be| if would_be.outcome.permits() { Expect::Allow } else { Expect::Deny });
    Observed { expect, rule, would_be }
}

/// `explain`, with nothing left open, must say what the decision says.
fn agrees_with_explain(
    snapshot: &Snapshot,
    decision: &Decision,
    asked: &Asked,
    caller: Caller,
    call: Call<'_>,
) -> Result<(), String> {
    let hypothesis =
        Hypothesis { caller, source: Some(asked.source.ip()), port: asked.port, now: Some(asked.now), call };
    let explanation = explain(snapshot, &hypothesis);
    let short = if decision.is_permit() { Answer::Permit } else { Answer::Deny };
    if explanation.answer() != short {
        return Err(format!("the decision is {short}, and `explain` says {}", explanation.answer()));
    }
    let same = |verdict: &Verdict, explained: &ExplainedVerdict| {
        let all: Vec<RuleIndex> = explained.rules.iter().map(|rule| rule.index).collect();
        verdict.outcome == explained.outcome
            && verdict.reasons.total() == all.len()
            && verdict.reasons.iter().eq(all.into_iter().take(8))
    };
    let would_be = match (decision.would_be(), &explanation.would_be) {
        (None, None) => true,
        (Some(decided), Some(explained)) => same(decided, explained),
        (None, Some(_)) | (Some(_), None) => false,
    };
    if same(decision.verdict(), &explanation.verdict) && would_be {
        Ok(())
    } else {
        Err(format!("`explain` gives other rules: {explanation}"))
    }
}
