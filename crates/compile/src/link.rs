//! Which policy objects each workload gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_policy::{Body, BoundObject, Layer, Mode, Origin, PolicyObject, PortSelection};

use crate::facts::Facts;
use crate::head::sentence;
use crate::lower::Draft;
use crate::roles::Roles;
use crate::selection::Namespaces;
use crate::{Diagnostic, FieldPath, Severity, codes};

/// The most permissions of one workload: far below what a snapshot can hold, far above what people write.
const MAXIMUM_PERMISSIONS: usize = 1_000_000;

/// The name of the object that stands for documents that nobody could read.
const UNREADABLE: &str = "(unreadable documents)";
/// The name of the object that stands for more permissions than a workload can have.
const TOO_LARGE: &str = "(too many permissions)";

/// The objects of each workload.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) workloads: Vec<Vec<BoundObject>>,
    pub(crate) problems: Vec<Diagnostic>,
}

/// Objects of the last compile, by origin: one whose content is the same is the same allocation again.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    objects: BTreeMap<Origin, Arc<PolicyObject>>,
}

impl Memo {
    /// INVARIANT: what comes back equals what goes in; only allocations are shared.
    fn share(&self, object: PolicyObject) -> Arc<PolicyObject> {
        match self.objects.get(&object.origin) {
            Some(known) if **known == object => Arc::clone(known),
            Some(_) | None => Arc::new(object),
        }
    }

    fn keep(&mut self, objects: impl Iterator<Item = Arc<PolicyObject>>) {
        self.objects = objects.map(|object| (object.origin.clone(), object)).collect();
    }
}

/// Links drafts, which are sorted by origin, to the workloads that they select.
pub(crate) fn link(
    facts: &Facts<'_>,
    drafts: &[Draft<'_>],
    roles: &Roles<'_>,
    unreadable: &[Diagnostic],
    (namespaces, memo): (&mut Namespaces<'_, '_>, &mut Memo),
) -> Linked {
    link_within(MAXIMUM_PERMISSIONS, facts, drafts, roles, unreadable, (namespaces, memo))
}

fn link_within(
    limit: usize,
    facts: &Facts<'_>,
    drafts: &[Draft<'_>],
    roles: &Roles<'_>,
    unreadable: &[Diagnostic],
    (namespaces, memo): (&mut Namespaces<'_, '_>, &mut Memo),
) -> Linked {
    let mut sizes = vec![0_usize; facts.workloads.len()];
    for draft in drafts {
        let size = draft.size(roles);
        for index in draft.selected.workloads.keys() {
            if let Some(total) = sizes.get_mut(*index) {
                *total = total.saturating_add(size);
            }
        }
    }
    let fits = |index: &usize| sizes.get(*index).is_some_and(|size| *size <= limit);
    let synthetic: Vec<Arc<PolicyObject>> = unreadable_object(unreadable).map(Arc::new).into_iter().collect();
    let everywhere =
        |object: &Arc<PolicyObject>| BoundObject { object: Arc::clone(object), ports: PortSelection::All };
    let mut workloads: Vec<Vec<BoundObject>> =
        facts.workloads.iter().map(|_| synthetic.iter().map(everywhere).collect()).collect();
    let mut kept = Vec::new();
    for draft in drafts {
        // An object that nobody gets need not be expanded.
        if !draft.selected.workloads.keys().any(&fits) {
            continue;
        }
        let object = memo.share(draft.lower(roles, namespaces));
        for (index, ports) in draft.selected.workloads.iter().filter(|(index, _)| fits(index)) {
            if let Some(objects) = workloads.get_mut(*index) {
                objects.push(BoundObject { object: Arc::clone(&object), ports: ports.clone() });
            }
        }
        kept.push(object);
    }
    memo.keep(kept.into_iter());
    let mut problems = Vec::new();
    for (index, (key, workload)) in facts.workloads.iter().enumerate().filter(|(index, _)| !fits(index)) {
        let size = sizes.get(index).copied().unwrap_or_default();
        let message =
            format!("{size} permissions select workload `{key}`, more than {limit}: every call is denied");
        // FAIL-CLOSED: no object is chosen to be left out.
        let object = Arc::new(uncompilable(TOO_LARGE, message.clone()));
        if let Some(objects) = workloads.get_mut(index) {
            objects.push(everywhere(&object));
        }
        problems.push(Diagnostic {
            code: codes::WORKLOAD_TOO_LARGE,
            severity: Severity::Error,
            object: None,
            field: FieldPath::root(),
            location: workload.location.clone(),
            message,
            help: Some("let fewer or smaller objects select it".to_owned()),
        });
    }
    workloads
        .iter_mut()
        .for_each(|objects| objects.sort_by(|one, other| one.object.origin.cmp(&other.object.origin)));
    Linked { workloads, problems }
}

/// FAIL-CLOSED: what a document that nobody could read would have denied is not known, so everything is.
fn unreadable_object(unreadable: &[Diagnostic]) -> Option<PolicyObject> {
    let mut sorted: Vec<&Diagnostic> = unreadable.iter().collect();
    sorted.sort_by(|one, other| (&one.location, &one.message).cmp(&(&other.location, &other.message)));
    let first = sorted.first()?;
    let count = match sorted.len() {
        1 => "a document cannot be read".to_owned(),
        many => format!("{many} documents cannot be read"),
    };
    let what = sentence(std::slice::from_ref(*first));
    Some(uncompilable(UNREADABLE, format!("{count}: {}: {what}", first.location.file)))
}

/// An object of ours that denies everything, named as no user's object can be.
fn uncompilable(name: &str, reason: String) -> PolicyObject {
    PolicyObject {
        origin: Origin { layer: Layer::Cluster, namespace: Arc::from(""), name: Arc::from(name) },
        generation: 0,
        mode: Mode::Enforce,
        body: Body::Uncompilable { reason: Arc::from(reason) },
    }
}

#[cfg(test)]
mod tests;
