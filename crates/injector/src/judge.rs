//! Objects of `bailiwick.dev`, judged as the operator will: the same strict decode, the same compile.

use bailiwick_compile::{Diagnostic, Severity, compile};
use bailiwick_inputs::{ApiObjects, decode_api_object};
use serde_json::Value;

/// What is wrong with an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Mistakes for which the write is refused.
    pub errors: Vec<Diagnostic>,
    /// What its writer should know; the write is accepted.
    pub warnings: Vec<Diagnostic>,
}

/// Judges an object that is created, or that replaces `old`. A deletion needs no judgement: it is always allowed.
///
/// Only what the object says itself counts. What it refers to may be applied later, so a missing Role is for its status.
/// An update that leaves the `spec` as it was is accepted with warnings: finalizers and labels of an object that an
/// earlier version accepted can still be changed.
#[must_use]
pub fn judge(object: &Value, old: Option<&Value>) -> Judgement {
    let errors = mistakes(object);
    if old.is_some_and(|old| old.get("spec") == object.get("spec")) {
        let demote = |problem| Diagnostic { severity: Severity::Warning, ..problem };
        return Judgement { errors: Vec::new(), warnings: errors.into_iter().map(demote).collect() };
    }
    Judgement { errors, warnings: Vec::new() }
}

fn mistakes(object: &Value) -> Vec<Diagnostic> {
    match decode_api_object(object) {
        Ok(Some(_)) => {}
        Ok(None) => return Vec::new(),
        Err(problems) => return problems,
    }
    let mut objects = ApiObjects::new();
    objects.add(object);
    let (world, _) = objects.world();
    let outcomes = compile(&world).objects;
    outcomes.into_values().filter_map(|outcome| outcome.accepted.err()).flatten().collect()
}
