//! Explanations as sentences for people.

use std::fmt;

use super::{Answer, Dependency, ExplainedVerdict, Explanation, Mismatch, NearMiss};
use crate::{Outcome, RuleInfo, SubjectClass, SubjectEntry};

impl fmt::Display for SubjectEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.class {
            Some(SubjectClass::Anyone) => parts.push("anyone".to_owned()),
            Some(SubjectClass::Authenticated) => parts.push("anyone authenticated".to_owned()),
            Some(SubjectClass::Unauthenticated) => parts.push("anyone unauthenticated".to_owned()),
            None => {}
        }
        if let Some((namespace, name)) = &self.service_account {
            parts.push(format!("service account {namespace}/{name}"));
        }
        match self.namespaces.as_deref() {
            Some([]) => parts.push("a namespace that the selector selects (it selects none)".to_owned()),
            Some([one]) => parts.push(format!("namespace {one}")),
            Some(many) => parts.push(format!("one of the namespaces {}", join(many))),
            None => {}
        }
        if let Some(pattern) = &self.spiffe_id {
            parts.push(pattern.as_str().to_owned());
        }
        if let Some(block) = &self.ip_block {
            parts.push(format!("from {}", block.cidr()));
            if !block.except().is_empty() {
                parts.push(format!("but not from {}", join(block.except())));
            }
        }
        formatter.write_str(&parts.join(" "))
    }
}

fn join<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `a`, `a or b`, `a, b or c`; at most five.
fn alternatives<T: fmt::Display>(items: &[T]) -> String {
    let mut texts: Vec<String> = items.iter().take(5).map(ToString::to_string).collect();
    if items.len() > texts.len() {
        texts.push(format!("{} more", items.len() - texts.len()));
    }
    match texts.pop() {
        None => "nothing".to_owned(),
        Some(last) if texts.is_empty() => last,
        Some(last) => format!("{} or {last}", texts.join(", ")),
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject { wanted, found } => {
                write!(formatter, "the caller is {found}, not {}", alternatives(wanted))
            }
            Self::Port { wanted, found } => {
                write!(formatter, "the port is {found}, not {}", alternatives(wanted))
            }
            Self::Protocol => {
                write!(formatter, "the call is TCP, and the permission speaks of HTTP requests")
            }
            Self::Target => write!(formatter, "the target has no path that a permission could match"),
            Self::Method { wanted, found } => {
                write!(formatter, "the method is {found}, not {}", alternatives(wanted))
            }
            Self::Path { wanted, found } => {
                write!(formatter, "the path {found} is not {}", alternatives(wanted))
            }
            Self::Host { wanted, found } => {
                write!(formatter, "the host {found} is not {}", alternatives(wanted))
            }
            Self::GrpcMethod { wanted, found } => {
                write!(formatter, "the gRPC method {found} is not {}", alternatives(wanted))
            }
            Self::ContentType => write!(formatter, "the content type is not application/grpc"),
            Self::Time { not_before, not_after, found } => {
                if not_before.is_some_and(|start| found.0 < start) {
                    write!(formatter, "the rule does not apply yet (notBefore)")
                } else if not_after.is_some() {
                    write!(formatter, "the rule no longer applies (notAfter)")
                } else {
                    write!(formatter, "the rule does not apply at that time")
                }
            }
            Self::NoPermission => {
                write!(formatter, "the rule grants nothing: its Roles are missing or invalid")
            }
            Self::Audit => write!(formatter, "its mode is Audit"),
        }
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<String> = self.mismatches.iter().map(ToString::to_string).collect();
        write!(formatter, "{} comes closest, but {}", self.info, reasons.join(", and "))
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SourceAddress => "the caller's address",
            Self::Time => "the time",
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Permit => "ALLOW",
            Self::Deny => "DENY",
            Self::Depends => "DEPENDS",
        })
    }
}

fn cause(info: &RuleInfo) -> String {
    match (&info.uncompilable, &info.message) {
        (Some(reason), _) => format!("{info} does not compile ({reason})"),
        (None, Some(message)) => format!("{info}: {message}"),
        (None, None) => info.to_string(),
    }
}

impl fmt::Display for ExplainedVerdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<String> = self.rules.iter().map(|rule| cause(&rule.info)).collect();
        match self.outcome {
            Outcome::Allow => write!(formatter, "allowed by {}", join(&rules)),
            Outcome::ClusterDeny | Outcome::PolicyDeny => write!(formatter, "denied by {}", join(&rules)),
            Outcome::Default => write!(formatter, "denied by default: no rule allows it"),
            Outcome::AuditNamespace => {
                write!(formatter, "allowed only because the namespace is in authorization audit")
            }
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.answer())?;
        if self.depends.is_empty() {
            write!(formatter, "{}.", self.verdict)?;
        } else {
            write!(formatter, "on {}; at worst {}.", join(&self.depends), self.verdict)?;
        }
        if let Some(would_be) = &self.would_be {
            write!(formatter, " With nothing in audit it would be {would_be}.")?;
        }
        match &self.nearest {
            Some(nearest) => write!(formatter, " {nearest}."),
            None => Ok(()),
        }
    }
}
