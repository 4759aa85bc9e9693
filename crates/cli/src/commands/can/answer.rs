//! The answer, for people and for programs.

use bailiwick_policy::{
    Effect, ExplainedVerdict, Explanation, Mode, NearMiss, RuleInfo, RuleTrace, Snapshot, Truth,
};
use serde::Serialize;

use super::Arguments;
use super::mistake::Mistake;
use crate::folder::Folder;

/// What would become of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It is forwarded.
    Allow,
    /// A rule, or the default, refuses it.
    Deny,
    /// It depends on what was not given.
    Depends,
    /// The request has more than one reading.
    Invalid,
    /// The caller has not proven what the port requires.
    Unauthenticated,
    /// Something that is needed to decide is not there.
    Unavailable,
}

impl Verdict {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Depends => "DEPENDS",
            Self::Invalid => "INVALID",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// True if the application gets the call.
    pub(crate) const fn is_forwarded(self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// What the caller would see: an HTTP status, a gRPC status, or how the connection ends.
    pub(crate) status: String,
    pub(crate) from: String,
    /// The identity that the caller proves, or would prove.
    pub(crate) identity: Option<String>,
    pub(crate) method: String,
    pub(crate) to: String,
    pub(crate) path: String,
    /// The first deciding rule, or `default`; none where authorization was never asked.
    pub(crate) rule: Option<String>,
    pub(crate) rules: Vec<RuleView>,
    /// A sentence.
    pub(crate) reason: String,
    /// What the answer depends on and was not given.
    pub(crate) depends: Vec<String>,
    pub(crate) nearest: Option<Nearest>,
    /// What would become of it with nothing in audit, where something is.
    pub(crate) would_be: Option<WouldBe>,
    /// The YAML that would allow it.
    pub(crate) allow: Option<Change>,
    pub(crate) notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<Vec<TraceView>>,
}

/// A rule that decided.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleView {
    pub(crate) rule: String,
    pub(crate) effect: &'static str,
    pub(crate) message: Option<String>,
    /// Why its object does not compile, if it does not.
    pub(crate) uncompilable: Option<String>,
}

/// The Allow that came closest.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Nearest {
    pub(crate) rule: String,
    /// Each thing that kept it from matching, in words.
    pub(crate) mismatches: Vec<String>,
}

/// What would be decided with nothing in audit.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WouldBe {
    pub(crate) verdict: Verdict,
    pub(crate) rule: Option<String>,
    pub(crate) reason: String,
}

/// A change of one object.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Change {
    pub(crate) object: String,
    /// The object's file; none if the object is new.
    pub(crate) file: Option<String>,
    pub(crate) field: String,
    pub(crate) line: String,
    /// The whole object, if it is new.
    pub(crate) document: Option<String>,
}

/// How one rule saw the call.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TraceView {
    pub(crate) rule: String,
    pub(crate) effect: &'static str,
    pub(crate) audit: bool,
    pub(crate) matched: &'static str,
    /// What did not match, in words; of an uncompilable object nothing.
    pub(crate) failed: Vec<&'static str>,
}

/// `Kind namespace/name rule`; of an uncompilable object `Kind namespace/name`.
pub(crate) fn rule_name(info: &RuleInfo) -> String {
    let origin = &info.origin;
    let slash = if origin.namespace.is_empty() { "" } else { "/" };
    let object = format!("{} {}{slash}{}", origin.layer.kind(), origin.namespace, origin.name);
    if info.uncompilable.is_some() { object } else { format!("{object} {}", info.name) }
}

/// The first deciding rule, or `default`; none if the namespace's audit lets the call through.
pub(crate) fn deciding(verdict: &ExplainedVerdict) -> Option<String> {
    use bailiwick_policy::Outcome;
    match verdict.outcome {
        Outcome::Default => Some("default".to_owned()),
        Outcome::AuditNamespace => None,
        Outcome::Allow | Outcome::ClusterDeny | Outcome::PolicyDeny => {
            verdict.rules.first().map(|rule| rule_name(&rule.info))
        }
    }
}

impl RuleView {
    pub(crate) fn of(info: &RuleInfo) -> Self {
        Self {
            rule: rule_name(info),
            effect: effect(info),
            message: info.message.as_deref().map(str::to_owned),
            uncompilable: info.uncompilable.as_deref().map(str::to_owned),
        }
    }
}

const fn effect(info: &RuleInfo) -> &'static str {
    match info.effect {
        Effect::Allow => "Allow",
        Effect::Deny => "Deny",
    }
}

impl Nearest {
    pub(crate) fn of(miss: &NearMiss) -> Self {
        Self {
            rule: rule_name(&miss.info),
            mismatches: miss.mismatches.iter().map(ToString::to_string).collect(),
        }
    }
}

const fn word(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "yes",
        Truth::False => "no",
        Truth::Unknown => "depends",
    }
}

impl TraceView {
    fn of(info: &RuleInfo, trace: &RuleTrace) -> Self {
        let mut failed = Vec::new();
        if info.uncompilable.is_none() {
            let parts = [
                (trace.subject == Truth::False, "subject"),
                (trace.except == Truth::True, "exceptSubjects"),
                (trace.time == Truth::False, "time"),
                (!trace.port, "port"),
                (!trace.protocol, "protocol"),
            ];
            failed.extend(parts.into_iter().filter_map(|(fails, name)| fails.then_some(name)));
        }
        // Of a TCP call nothing more can be said of an HTTP permission.
        if info.uncompilable.is_none() && trace.protocol {
            let parts = [
                (!trace.method, "method"),
                (!trace.path, "path"),
                (!trace.host, "host"),
                (!trace.content_type, "content type"),
            ];
            failed.extend(parts.into_iter().filter_map(|(fails, name)| fails.then_some(name)));
        }
        Self {
            rule: rule_name(info),
            effect: effect(info),
            audit: info.mode == Mode::Audit,
            matched: word(trace.matched),
            failed,
        }
    }

    /// How every rule of a snapshot saw the call.
    pub(crate) fn all(snapshot: &Snapshot, explanation: &Explanation) -> Vec<Self> {
        let rules = snapshot.rules().zip(&explanation.traces);
        rules.map(|((_, info), trace)| Self::of(info, trace)).collect()
    }
}

impl Answer {
    /// An answer without an authorization decision.
    pub(crate) fn new(verdict: Verdict, status: &str, reason: String) -> Self {
        Self {
            verdict,
            status: status.to_owned(),
            from: String::new(),
            identity: None,
            method: String::new(),
            to: String::new(),
            path: String::new(),
            rule: None,
            rules: Vec::new(),
            reason,
            depends: Vec::new(),
            nearest: None,
            would_be: None,
            allow: None,
            notes: Vec::new(),
            trace: None,
        }
    }

    /// The answer where somebody is not known, and documents could not be read: every call is denied.
    pub(crate) fn unreadable(folder: &Folder, arguments: &Arguments, mistake: &Mistake) -> Self {
        let count = match folder.world.unreadable.len() {
            1 => "a document that cannot be read".to_owned(),
            many => format!("{many} documents that cannot be read"),
        };
        let reason = format!("every call is denied while there is {count}");
        let mut answer = Self::new(Verdict::Deny, "403", reason);
        answer.rule = Some("default".to_owned());
        answer.from.clone_from(&arguments.from);
        answer.method.clone_from(&arguments.method);
        answer.to.clone_from(&arguments.to);
        answer.path.clone_from(&arguments.path);
        answer.notes.push(match mistake.help() {
            Some(help) => format!("{mistake}: {help}"),
            None => mistake.to_string(),
        });
        answer
    }
}
