//! "Could X do Y, and why not?": the evaluator's own matching functions, with everything they say kept.
//!
//! INVARIANT: nothing here makes a [`crate::Permit`].

mod nearest;
mod text;

use std::net::IpAddr;

use bailiwick_identity::{Port, SpiffeId};

use crate::caller_facts::CallerFacts;
use crate::snapshot::{CallFacts, Row, RowKind, Step, any};
use crate::{Call, Effect, Mode, Outcome, RuleIndex, RuleInfo, Snapshot, Timestamp, Truth};

pub use nearest::{Mismatch, NearMiss};

/// Who would call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A peer that proves this identity.
    Identity(SpiffeId),
    /// A caller that proves none.
    Anonymous,
}

/// A call that nobody makes; what is `None` is left open.
#[derive(Debug, Clone)]
pub struct Hypothesis<'a> {
    /// Who would call.
    pub caller: Caller,
    /// From which address.
    pub source: Option<IpAddr>,
    /// Which container port.
    pub port: Port,
    /// When.
    pub now: Option<Timestamp>,
    /// What.
    pub call: Call<'a>,
}

/// Something that was left open and that the answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependency {
    /// The caller's address: a rule names an address range.
    SourceAddress,
    /// The time: a rule has a window of time.
    Time,
}

/// The short answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The call would go through.
    Permit,
    /// The call would be refused.
    Deny,
    /// It depends on what was left open.
    Depends,
}

/// A rule that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidingRule {
    /// Its index in the snapshot.
    pub index: RuleIndex,
    /// What it is.
    pub info: RuleInfo,
}

/// An outcome with every rule that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedVerdict {
    /// The step that settled it.
    pub outcome: Outcome,
    /// All rules of that step that matched, by kind, namespace, name, rule.
    pub rules: Vec<DecidingRule>,
}

/// How one rule saw the call. Where a rule has several permissions, the parts are of the one that came closest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleTrace {
    /// The rule.
    pub rule: RuleIndex,
    /// Whether one of its subjects is the caller.
    pub subject: Truth,
    /// Whether one of its excepted subjects is.
    pub except: Truth,
    /// Whether the time lies in its window.
    pub time: Truth,
    /// Whether its object selects the port and, of a `tcp` permission, the port is listed.
    pub port: bool,
    /// Whether the permission speaks of this protocol at all.
    pub protocol: bool,
    /// Whether the method is listed.
    pub method: bool,
    /// Whether a path template, or the gRPC service and method, matches.
    pub path: bool,
    /// Whether a host matches, or none is listed.
    pub host: bool,
    /// Whether the content type is one of gRPC, where that counts.
    pub content_type: bool,
    /// Whether the rule matches.
    pub matched: Truth,
}

/// Why a call would be decided as it would. It can never become a [`crate::Permit`].
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What would be decided. Where that depends on what was left open, the refusal: an open Deny counts as matching
    /// and an open Allow does not.
    pub verdict: ExplainedVerdict,
    /// What would be decided with nothing in audit; present as in [`crate::Decision::would_be`].
    pub would_be: Option<ExplainedVerdict>,
    /// What the answer depends on and was left open; empty if the answer is certain.
    pub depends: Vec<Dependency>,
    /// How each rule of the snapshot saw the call.
    pub traces: Vec<RuleTrace>,
    /// The Allow that came closest, if the default refuses the call.
    pub nearest: Option<NearMiss>,
}

impl Explanation {
    /// The short answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        match (self.depends.is_empty(), self.verdict.outcome.permits()) {
            (false, _) => Answer::Depends,
            (true, true) => Answer::Permit,
            (true, false) => Answer::Deny,
        }
    }
}

/// Explains how a snapshot would decide a call.
#[must_use]
pub fn explain(snapshot: &Snapshot, hypothesis: &Hypothesis<'_>) -> Explanation {
    let id = match &hypothesis.caller {
        Caller::Identity(id) => Some(id),
        Caller::Anonymous => None,
    };
    let question = Question {
        snapshot,
        caller: CallerFacts::new(snapshot.trust_domain(), id, hypothesis.source),
        call: CallFacts::new(hypothesis.port, hypothesis.now, &hypothesis.call),
    };
    let traces = question.traces();
    let (verdict, certain) = question.verdict(&traces);
    let would_be = snapshot
        .reports_would_be(hypothesis.port)
        .then(|| settle(snapshot, &traces, true, against_the_caller));
    let audited = would_be.as_ref().filter(|_| verdict.outcome == Outcome::AuditNamespace);
    let refused = audited.map_or(verdict.outcome, |would_be| would_be.outcome);
    Explanation {
        nearest: (refused == Outcome::Default).then(|| question.nearest(&traces)).flatten(),
        depends: if certain { Vec::new() } else { open(snapshot, &traces) },
        verdict,
        would_be,
        traces,
    }
}

/// A hypothesis in the evaluator's own terms.
struct Question<'a> {
    snapshot: &'a Snapshot,
    caller: CallerFacts<'a>,
    call: CallFacts<'a>,
}

impl Question<'_> {
    /// How each rule saw the call, by index.
    fn traces(&self) -> Vec<RuleTrace> {
        let mut traces: Vec<RuleTrace> =
            self.snapshot.rules().map(|(rule, info)| self.without_permission(rule, info)).collect();
        for row in &self.snapshot.rows {
            if let Some(trace) = traces.get_mut(row.rule.0 as usize) {
                self.add_row(row, trace);
            }
        }
        traces
    }

    /// The trace of a rule whose permissions are not looked at yet.
    fn without_permission(&self, rule: RuleIndex, info: &RuleInfo) -> RuleTrace {
        RuleTrace {
            rule,
            subject: Truth::False,
            except: Truth::False,
            time: info.in_window(self.call.now),
            port: false,
            protocol: false,
            method: false,
            path: false,
            host: false,
            content_type: false,
            matched: Truth::False,
        }
    }

    fn add_row(&self, row: &Row, trace: &mut RuleTrace) {
        if let Some(set) = self.snapshot.sets.get(row.set) {
            trace.subject = any(&set.subjects, &self.caller);
            trace.except = any(&set.except, &self.caller);
        }
        let parts = self.parts(row);
        let holds = |trace: &RuleTrace| {
            [trace.protocol, trace.port, trace.path, trace.host, trace.method, trace.content_type]
                .into_iter()
                .filter(|part| *part)
                .count()
        };
        if holds(&parts) > holds(trace) {
            (trace.port, trace.protocol, trace.method) = (parts.port, parts.protocol, parts.method);
            (trace.path, trace.host, trace.content_type) = (parts.path, parts.host, parts.content_type);
        }
        let matched = self
            .snapshot
            .row_matches_call(row, &self.call, false)
            .and(trace.subject)
            .and(trace.except.negated());
        trace.matched = trace.matched.or(matched);
    }

    /// The parts of one row's match, by the functions that the evaluator calls.
    fn parts(&self, row: &Row) -> RuleTrace {
        let snapshot = self.snapshot;
        let mut parts = RuleTrace {
            rule: row.rule,
            subject: Truth::False,
            except: Truth::False,
            time: Truth::False,
            port: snapshot.row_selects(row, self.call.port),
            protocol: true,
            method: true,
            path: true,
            host: true,
            content_type: true,
            matched: Truth::False,
        };
        match (row.kind, &self.call.http) {
            (RowKind::Any, _) => {}
            (RowKind::Tcp, _) => parts.port &= snapshot.row_tcp_port(row, self.call.port),
            (RowKind::Http | RowKind::Grpc, None) => {
                parts.protocol = false;
                (parts.method, parts.path, parts.host, parts.content_type) = (false, false, false, false);
            }
            (RowKind::Http | RowKind::Grpc, Some(http)) => {
                parts.method = snapshot.row_method(row, http);
                parts.path = snapshot.row_path(row, http);
                parts.host = snapshot.row_host(row, http);
                parts.content_type = Snapshot::row_content_type(row, http);
            }
        }
        parts
    }

    /// The verdict, and whether it is the same answer whatever was left open.
    fn verdict(&self, traces: &[RuleTrace]) -> (ExplainedVerdict, bool) {
        let against = settle(self.snapshot, traces, false, against_the_caller);
        let favour = settle(self.snapshot, traces, false, |step| !against_the_caller(step));
        let certain = against.outcome.permits() == favour.outcome.permits();
        // Where both refuse, the rules that certainly matched say more.
        if certain && !favour.outcome.permits() { (favour, true) } else { (against, certain) }
    }
}

/// An open Deny matches, an open Allow does not.
fn against_the_caller(step: Step) -> bool {
    step != Step::Allow
}

/// The first step that has a matching rule; `open` says whether one that depends on what was left open counts. With
/// `all`, nothing is in audit.
fn settle(
    snapshot: &Snapshot,
    traces: &[RuleTrace],
    all: bool,
    open: impl Fn(Step) -> bool,
) -> ExplainedVerdict {
    let mut settled: Option<Step> = None;
    let mut rules = Vec::new();
    for (trace, (index, info)) in traces.iter().zip(snapshot.rules()) {
        let step = Step::of(info.origin.layer, info.effect);
        let matches = match trace.matched {
            Truth::True => true,
            Truth::Unknown => open(step),
            Truth::False => false,
        };
        if !matches || (info.mode == Mode::Audit && !all) || settled.is_some_and(|settled| settled < step) {
            continue;
        }
        if settled != Some(step) {
            settled = Some(step);
            rules.clear();
        }
        rules.push(DecidingRule { index, info: info.clone() });
    }
    let outcome = match settled {
        Some(Step::ClusterDeny) => Outcome::ClusterDeny,
        Some(Step::PolicyDeny) => Outcome::PolicyDeny,
        Some(Step::Allow) => Outcome::Allow,
        None => Outcome::Default,
    };
    let only_audited = matches!(outcome, Outcome::PolicyDeny | Outcome::Default);
    if only_audited && snapshot.authorization_audit() && !all {
        return ExplainedVerdict { outcome: Outcome::AuditNamespace, rules: Vec::new() };
    }
    ExplainedVerdict { outcome, rules }
}

/// What the rules that are open depend on.
fn open(snapshot: &Snapshot, traces: &[RuleTrace]) -> Vec<Dependency> {
    let mut depends = Vec::new();
    for (trace, (_, info)) in traces.iter().zip(snapshot.rules()) {
        if trace.matched != Truth::Unknown || info.mode == Mode::Audit {
            continue;
        }
        if trace.subject == Truth::Unknown || trace.except == Truth::Unknown {
            depends.push(Dependency::SourceAddress);
        }
        if trace.time == Truth::Unknown {
            depends.push(Dependency::Time);
        }
    }
    depends.sort_unstable();
    depends.dedup();
    depends
}

impl Question<'_> {
    fn nearest(&self, traces: &[RuleTrace]) -> Option<NearMiss> {
        let mut rows: Vec<Vec<&Row>> = vec![Vec::new(); traces.len()];
        for row in &self.snapshot.rows {
            if let Some(of_rule) = rows.get_mut(row.rule.0 as usize) {
                of_rule.push(row);
            }
        }
        let mut best: Option<(u32, NearMiss)> = None;
        for ((trace, rows), (rule, info)) in traces.iter().zip(&rows).zip(self.snapshot.rules()) {
            if info.effect != Effect::Allow {
                continue;
            }
            let Some((distance, mismatches)) = nearest::measure(self, trace, info, rows) else { continue };
            if best.as_ref().is_none_or(|(closest, _)| distance < *closest) {
                best = Some((distance, NearMiss { rule, info: info.clone(), mismatches }));
            }
        }
        best.map(|(_, miss)| miss)
    }
}
