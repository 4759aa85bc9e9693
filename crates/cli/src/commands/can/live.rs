//! What a live cluster adds to an answer: which pod was asked about, whether its siblings agree, and whether anything
//! decides at it at all.

use super::answer::Answer;
use super::decide::Question;
use super::parties::{To, pods_of};

/// Siblings that are asked as well.
const SIBLINGS: usize = 100;

/// Adds to an answer.
pub(super) fn note(question: &Question<'_>, answer: &mut Answer) {
    let folder = question.folder;
    let to = &question.to;
    let Some(facts) = folder.pods.facts(&to.key) else { return };
    if !facts.sidecar {
        let here =
            "nothing decides there: the pod has no sidecar, so the call reaches it whatever the verdict";
        answer.notes.push(format!("{} {here} (restart it in an enrolled namespace)", to.key));
    }
    let Some((kind, owner)) = &facts.owner else { return };
    name_by_owner(question, answer, owner);
    let namespace = to.key.namespace.as_str();
    let siblings = pods_of(folder, namespace, owner);
    if siblings.len() < 2 {
        return;
    }
    let others = siblings.iter().filter(|pod| **pod != to.key).take(SIBLINGS);
    let differ: Vec<String> = others
        .filter(|pod| {
            let config = folder.compiled.workloads.get(*pod).cloned();
            let sibling = To { key: (*pod).clone(), port: to.port, declared: to.declared, config };
            let other = Question { to: sibling, from: question.from.clone(), ..*question }.answer();
            other.verdict != answer.verdict
        })
        .map(ToString::to_string)
        .collect();
    answer.notes.push(match differ.as_slice() {
        [] => format!("the same at all {} pods of {kind} {namespace}/{owner}", siblings.len()),
        some => format!(
            "of the {} pods of {kind} {namespace}/{owner} some answer otherwise: {}",
            siblings.len(),
            some.join(", ")
        ),
    });
}

/// A suggested Policy outlives the pod, so it is named by what made the pod, unless that name is taken.
fn name_by_owner(question: &Question<'_>, answer: &mut Answer, owner: &str) {
    let Some(change) = answer.allow.as_mut() else { return };
    let Some(document) = &change.document else { return };
    let (old, new) = (format!("-to-{}", question.to.key.name), format!("-to-{owner}"));
    let object = change.object.replace(&old, &new);
    if question.folder.compiled.objects.keys().any(|key| key.to_string() == object) {
        return;
    }
    change.document = Some(document.replace(&old, &new));
    change.object = object;
}
