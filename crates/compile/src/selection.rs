//! Objects that select workloads, seen alike: what they select, whether they are valid, what is wrong if not.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_identity::Namespace;
use bailiwick_policy::{Layer, Mode};

use crate::facts::Facts;
use crate::head::{Head, by_key, duplicate, spec_field};
use crate::targets::{Selected, select};
use crate::{
    AuthenticationSpec, ClusterPolicySpec, Decoded, Diagnostic, FieldPath, LabelSelector, Object, ObjectKind,
    PolicySpec, Selection, Target, TargetKind, check, codes,
};

/// A spec that says what it selects.
pub(crate) trait Selecting: std::fmt::Debug {
    fn reach(&self) -> Reach<'_>;
    fn mode(&self) -> Mode;
    /// What no decoder makes.
    fn faults(&self, head: &Head<'_>) -> Vec<Diagnostic>;
}

/// What an object selects, as written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach<'a> {
    /// The namespaces (of a ClusterPolicy), and the targets there.
    Targets(Option<&'a LabelSelector>, Option<&'a [Target]>),
    /// The selecting fields are broken.
    Everything,
}

/// An object and what it selects.
#[derive(Debug)]
pub(crate) struct View<'a, S> {
    pub(crate) head: Head<'a>,
    /// The spec, or everything that is wrong with it: never empty.
    pub(crate) spec: Result<&'a S, Vec<Diagnostic>>,
    pub(crate) mode: Mode,
    pub(crate) selected: Selected,
}

impl Selecting for PolicySpec {
    fn reach(&self) -> Reach<'_> {
        Reach::Targets(None, self.targets.as_deref())
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn faults(&self, head: &Head<'_>) -> Vec<Diagnostic> {
        check::rules(head, Layer::Namespace, &self.rules)
    }
}

impl Selecting for ClusterPolicySpec {
    fn reach(&self) -> Reach<'_> {
        Reach::Targets(self.namespace_selector.as_ref(), self.targets.as_deref())
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn faults(&self, head: &Head<'_>) -> Vec<Diagnostic> {
        check::rules(head, Layer::Cluster, &self.rules)
    }
}

impl Selecting for AuthenticationSpec {
    fn reach(&self) -> Reach<'_> {
        Reach::Targets(None, self.targets.as_deref())
    }

    fn mode(&self) -> Mode {
        Mode::Enforce
    }

    fn faults(&self, head: &Head<'_>) -> Vec<Diagnostic> {
        let nothing = self.trust_domains.as_ref().is_some_and(Vec::is_empty);
        let message = || "the list of trust domains is empty".to_owned();
        let fault = || head.error(codes::NOT_COMPILABLE, &spec_field("trustDomains"), message());
        nothing.then(fault).into_iter().collect()
    }
}

/// Namespaces by label; one selector is often written many times.
#[derive(Debug)]
pub(crate) struct Namespaces<'f, 'a> {
    facts: &'f Facts<'a>,
    enrolled: Vec<&'a Namespace>,
    matched: BTreeMap<LabelSelector, Arc<[&'a Namespace]>>,
}

impl<'f, 'a> Namespaces<'f, 'a> {
    pub(crate) fn new(facts: &'f Facts<'a>) -> Self {
        Self { facts, enrolled: facts.enrolled(), matched: BTreeMap::new() }
    }

    /// The names, sorted.
    pub(crate) fn matching(&mut self, selector: &LabelSelector) -> Arc<[&'a Namespace]> {
        if let Some(found) = self.matched.get(selector) {
            return Arc::clone(found);
        }
        let found: Arc<[&Namespace]> = self.facts.matching(selector).into();
        self.matched.insert(selector.clone(), Arc::clone(&found));
        found
    }

    /// What an object selects.
    fn select(&mut self, head: &Head<'_>, reach: Reach<'_>) -> Selected {
        let (selector, targets) = match reach {
            Reach::Targets(selector, targets) => (selector, targets),
            Reach::Everything => (None, None),
        };
        if head.key.kind != ObjectKind::ClusterPolicy {
            // INVARIANT: an object of a namespace selects nothing elsewhere (K7).
            let own: Option<Namespace> = head.key.namespace.parse().ok();
            return select(self.facts, head, &own.iter().collect::<Vec<_>>(), targets);
        }
        let Some(selector) = selector else { return select(self.facts, head, &self.enrolled, targets) };
        let namespaces = self.matching(selector);
        let mut selected = select(self.facts, head, &namespaces, targets);
        if namespaces.is_empty() {
            let message =
                "no known namespace has these labels, so the ClusterPolicy selects nothing".to_owned();
            let field = spec_field("namespaceSelector");
            selected.warnings = vec![head.warning(codes::NAMESPACES_MATCH_NOTHING, &field, message)];
        }
        selected
    }
}

/// Every object of a kind, by key.
pub(crate) fn views<'a, S: Selecting>(
    namespaces: &mut Namespaces<'_, 'a>,
    objects: &'a [Object<S>],
) -> Vec<View<'a, S>> {
    let mut found = Vec::with_capacity(objects.len());
    for group in by_key(objects).into_values() {
        for object in &group {
            found.push(view(namespaces, object, group.len()));
        }
    }
    found
}

fn view<'a, S: Selecting>(
    namespaces: &mut Namespaces<'_, 'a>,
    object: &'a Object<S>,
    of_this_key: usize,
) -> View<'a, S> {
    let head = Head::of(object);
    let (spec, mode, reach) = match &object.spec {
        Decoded::Valid(spec) => {
            let broken = selecting_faults(&head, spec.reach());
            let reach = if broken.is_empty() { spec.reach() } else { Reach::Everything };
            let mut problems = broken;
            problems.extend(spec.faults(&head));
            if of_this_key > 1 {
                problems.push(duplicate(&head, of_this_key - 1));
            }
            (if problems.is_empty() { Ok(spec) } else { Err(problems) }, spec.mode(), reach)
        }
        Decoded::Invalid(invalid) => {
            let written = match &invalid.selection {
                Selection::Targets { namespace_selector, targets } => {
                    Reach::Targets(namespace_selector.as_ref(), targets.as_deref())
                }
                Selection::Everything => Reach::Everything,
            };
            let mut problems = selecting_faults(&head, written);
            let reach = if problems.is_empty() { written } else { Reach::Everything };
            problems.splice(0..0, invalid.problems.iter().cloned());
            if problems.is_empty() {
                let field = FieldPath::root().field("spec");
                problems.push(head.error(
                    codes::NOT_COMPILABLE,
                    &field,
                    "the spec cannot be decoded".to_owned(),
                ));
            }
            (Err(problems), invalid.mode, reach)
        }
    };
    let selected = namespaces.select(&head, reach);
    View { head, spec, mode, selected }
}

/// FAIL-CLOSED: an empty selector would be read as everything by some and as nothing by others.
fn selecting_faults(head: &Head<'_>, reach: Reach<'_>) -> Vec<Diagnostic> {
    let Reach::Targets(selector, targets) = reach else { return Vec::new() };
    let empty = |selector: &LabelSelector| selector.labels.is_empty() && selector.expressions.is_empty();
    let mut found = Vec::new();
    let mut tell = |field: FieldPath| {
        found.push(head.error(
            codes::NOT_COMPILABLE,
            &field,
            "an empty selector or list selects nothing".to_owned(),
        ));
    };
    if selector.is_some_and(empty) {
        tell(spec_field("namespaceSelector"));
    }
    if targets.is_some_and(<[Target]>::is_empty) {
        tell(spec_field("targets"));
    }
    for (index, target) in targets.unwrap_or_default().iter().enumerate() {
        let field = spec_field("targets").index(index);
        let pods = match &target.kind {
            TargetKind::Pod(selector) => empty(selector),
            TargetKind::Service(_) | TargetKind::ServiceAccount(_) => false,
        };
        if pods {
            tell(field.field("selector"));
        }
        if target.ports.as_ref().is_some_and(Vec::is_empty) {
            tell(field.field("ports"));
        }
    }
    found
}
