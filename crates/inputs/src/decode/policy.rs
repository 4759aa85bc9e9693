//! Policy, and what it shares with ClusterPolicy.

use bailiwick_compile::{PolicySpec, RuleSpec, Selection, Target};
use bailiwick_policy::Mode;

use super::Outcome;
use super::reader::{At, Reader};
use super::reference::Scope;
use super::rule::rules;
use super::target::targets;

pub(crate) fn decode(reader: &mut Reader, spec: &At<'_>) -> Outcome<PolicySpec> {
    let targets = optional_targets(reader, spec);
    let mode = mode(reader, spec);
    let rules = required_rules(reader, spec, Scope::Namespaced);
    Outcome {
        selection: selection(reader, spec, targets.clone()),
        // FAIL-CLOSED: a repeated `mode` is two modes, so none.
        mode: if reader.sound("spec.mode") { mode.unwrap_or(Mode::Enforce) } else { Mode::Enforce },
        spec: targets.zip(mode).zip(rules).map(|((targets, mode), rules)| PolicySpec {
            targets,
            mode,
            rules,
        }),
    }
}

/// The targets; the outer `None` is broken, the inner one omitted.
pub(crate) fn optional_targets(reader: &mut Reader, spec: &At<'_>) -> Option<Option<Vec<Target>>> {
    match spec.field("targets") {
        Some(at) => targets(reader, &at).map(Some),
        None => Some(None),
    }
}

/// What an invalid namespaced object selects.
///
/// FAIL-CLOSED: anything wrong within `targets` breaks the selection, and so does an unknown field beside it when there
/// are none: it may be a misspelt `targets`.
pub(crate) fn selection(reader: &Reader, spec: &At<'_>, targets: Option<Option<Vec<Target>>>) -> Selection {
    match targets {
        Some(Some(targets)) if reader.sound("spec.targets") => {
            Selection::Targets { namespace_selector: None, targets: Some(targets) }
        }
        Some(None) if reader.sound("spec.targets") && !reader.has_unknown_field(&spec.path) => {
            Selection::Targets { namespace_selector: None, targets: None }
        }
        Some(_) | None => Selection::Everything,
    }
}

/// The mode; omitted is Enforce.
pub(crate) fn mode(reader: &mut Reader, spec: &At<'_>) -> Option<Mode> {
    match spec.field("mode") {
        Some(at) => reader.word(&at, &[("Enforce", Mode::Enforce), ("Audit", Mode::Audit)]),
        None => Some(Mode::Enforce),
    }
}

/// The rules. Without `connectionLimits`, which are of a later version, there must be some.
pub(crate) fn required_rules(reader: &mut Reader, spec: &At<'_>, scope: Scope) -> Option<Vec<RuleSpec>> {
    let at = match spec.field("rules") {
        Some(at) => at,
        None if spec.field("connectionLimits").is_some() => return None,
        None => {
            reader.missing(spec, "rules");
            return None;
        }
    };
    rules(reader, &at, scope)
}
