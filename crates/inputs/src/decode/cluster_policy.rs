//! ClusterPolicy.

use bailiwick_compile::{ClusterPolicySpec, LabelSelector, Selection, Target};
use bailiwick_policy::Mode;

use super::Outcome;
use super::policy::{mode, required_rules};
use super::reader::{At, Reader};
use super::reference::Scope;
use super::selector::selector;
use super::target::pod_targets;

pub(crate) fn decode(reader: &mut Reader, spec: &At<'_>) -> Outcome<ClusterPolicySpec> {
    let namespaces = match spec.field("namespaceSelector") {
        Some(at) => selector(reader, &at).map(Some),
        None => Some(None),
    };
    let targets = match spec.field("targets") {
        Some(at) => pod_targets(reader, &at).map(Some),
        None => Some(None),
    };
    let mode = mode(reader, spec);
    let rules = required_rules(reader, spec, Scope::Cluster);
    Outcome {
        selection: selection(reader, namespaces.clone(), targets.clone()),
        // FAIL-CLOSED: a repeated `mode` is two modes, so none.
        mode: if reader.sound("spec.mode") { mode.unwrap_or(Mode::Enforce) } else { Mode::Enforce },
        spec: namespaces.zip(targets).zip(mode.zip(rules)).map(
            |((namespace_selector, targets), (mode, rules))| ClusterPolicySpec {
                namespace_selector,
                targets,
                mode,
                rules,
            },
        ),
    }
}

/// What an invalid ClusterPolicy selects: with a broken `namespaceSelector` every enrolled namespace, with broken
/// targets every workload of its namespaces. A misspelt field is an omitted one, and omitted selects everything.
fn selection(
    reader: &Reader,
    namespaces: Option<Option<LabelSelector>>,
    targets: Option<Option<Vec<Target>>>,
) -> Selection {
    match namespaces {
        Some(namespace_selector) if reader.sound("spec.namespaceSelector") => {
            let targets = targets.flatten().filter(|_| reader.sound("spec.targets"));
            Selection::Targets { namespace_selector, targets }
        }
        Some(_) | None => Selection::Everything,
    }
}
