//! The answer for people: the verdict, the rule, the reason, the nearest miss, what would allow it.

use super::answer::{Answer, Change, Nearest, TraceView, Verdict};

/// Deciding rules beyond this many are counted only.
const LISTED: usize = 8;

/// The whole answer.
pub(crate) fn render(answer: &Answer) -> String {
    let mut out = heading(answer);
    let mut line = |name: &str, text: &str| {
        let mut lines = text.lines();
        out.push_str(&format!("  {name:9}{}\n", lines.next().unwrap_or_default()));
        for more in lines {
            out.push_str(&format!("           {more}\n"));
        }
    };
    if let Some(identity) = answer.identity.as_ref().filter(|identity| **identity != answer.from) {
        line("caller", identity);
    }
    match answer.rules.as_slice() {
        [] => {
            if let Some(rule) = &answer.rule {
                line("rule", rule);
            }
        }
        rules => {
            for rule in rules.iter().take(LISTED) {
                line("rule", &rule.rule);
            }
            if let Some(more) = rules.len().checked_sub(LISTED).filter(|more| *more > 0) {
                line("", &format!("and {more} more"));
            }
        }
    }
    line("reason", &answer.reason);
    if !answer.depends.is_empty() {
        line("depends", &depends(&answer.depends));
    }
    if let Some(nearest) = &answer.nearest {
        line("nearest", &sentence(nearest));
    }
    if let Some(would_be) = &answer.would_be {
        line("would be", &format!("{}: {}", would_be.verdict.word(), would_be.reason));
    }
    if let Some(change) = &answer.allow {
        line("to allow", &instruction(change));
    }
    for note in &answer.notes {
        line("note", note);
    }
    for trace in answer.trace.iter().flatten() {
        line("explain", &traced(trace));
    }
    out
}

/// What would be decided now, under a decision of the past.
pub(crate) fn outcome_lines(answer: &Answer) -> String {
    let rendered = render(answer);
    let mut lines = rendered.lines();
    let verdict = lines.next().and_then(|heading| heading.split("  ").next()).unwrap_or_default();
    let indented: String = lines.map(|line| format!("    {line}\n")).collect();
    format!("  now      {verdict}, by the live objects\n{indented}")
}

fn heading(answer: &Answer) -> String {
    let Answer { from, method, to, path, status, .. } = answer;
    let status = match answer.verdict {
        Verdict::Allow | Verdict::Depends => String::new(),
        Verdict::Deny | Verdict::Invalid | Verdict::Unauthenticated | Verdict::Unavailable => {
            format!(" ({status})")
        }
    };
    format!("{}{status}  {from} {method} {to} {path}\n", answer.verdict.word())
}

fn depends(on: &[String]) -> String {
    let flag = |what: &String| match what.as_str() {
        "the time" => "the time (--now)".to_owned(),
        "the caller's address" => "the caller's address (--ip)".to_owned(),
        other => other.to_owned(),
    };
    format!("on {}", on.iter().map(flag).collect::<Vec<_>>().join(" and "))
}

fn sentence(nearest: &Nearest) -> String {
    format!("{} comes closest, but {}", nearest.rule, nearest.mismatches.join(", and "))
}

fn instruction(change: &Change) -> String {
    match (&change.document, &change.file) {
        (Some(document), _) => format!("add {}:\n{}", change.object, document.trim_end()),
        (None, Some(file)) => {
            format!("add to {} of {} ({file}):\n{}", change.field, change.object, change.line)
        }
        (None, None) => format!("add to {} of {}:\n{}", change.field, change.object, change.line),
    }
}

fn traced(trace: &TraceView) -> String {
    let audit = if trace.audit { ", in Audit" } else { "" };
    let matched = match (trace.matched, trace.failed.as_slice()) {
        ("no", []) => "does not match".to_owned(),
        ("no", failed) => format!("does not match: {}", failed.join(", ")),
        ("depends", _) => "may match".to_owned(),
        _ => "matches".to_owned(),
    };
    format!("{} ({}{audit}) {matched}", trace.rule, trace.effect)
}
