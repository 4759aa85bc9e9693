//! From a Policy's or ClusterPolicy's spec to what a snapshot holds: Roles expanded, names completed.

use std::collections::BTreeSet;
use std::sync::Arc;

use bailiwick_identity::Namespace;
use bailiwick_policy::{Body, Effect, Layer, Mode, Origin, Permission, PolicyObject, Rule, SubjectEntry};

use crate::head::{Head, sentence, spec_field};
use crate::roles::{Binding, RoleIndex, Roles};
use crate::seen::Seen;
use crate::selection::{Namespaces, View};
use crate::targets::Selected;
use crate::{Diagnostic, NamespaceMatch, ObjectKind, RuleSpec, SubjectSpec, codes};

/// A policy object whose references are resolved and whose rules are not yet expanded.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) mode: Mode,
    /// The rules with their Roles, or everything that is wrong with the object: never empty.
    pub(crate) rules: Result<Vec<(&'a RuleSpec, Binding)>, Vec<Diagnostic>>,
    /// Every Role that is there and that it binds, directly or by inheritance, ascending.
    pub(crate) reach: Vec<RoleIndex>,
    pub(crate) selected: Selected,
    pub(crate) origin: Origin,
}

impl<'a> Draft<'a> {
    pub(crate) fn new<S>(
        view: View<'a, S>,
        rules: fn(&'a S) -> &'a [RuleSpec],
        roles: &Roles<'_>,
        (seen, namespaces): (&mut Seen, &mut Namespaces<'_, 'a>),
    ) -> Self {
        let View { head, spec, mode, mut selected } = view;
        let mut reach = BTreeSet::new();
        let rules = spec.map(|spec| {
            let rules = rules(spec).iter().enumerate();
            let bound = rules.map(|(index, rule)| {
                let field = spec_field("rules").index(index).field("roles");
                let mut binding = roles.bind(&head, &rule.roles, (&field, rule.effect == Effect::Deny), seen);
                reach.extend(std::mem::take(&mut binding.reach));
                selected.warnings.extend(nobody(&head, namespaces, index, rule));
                (rule, binding)
            });
            bound.collect()
        });
        let cluster = head.key.kind == ObjectKind::ClusterPolicy;
        let layer = if cluster { Layer::Cluster } else { Layer::Namespace };
        let origin = Origin {
            layer,
            namespace: Arc::from(head.key.namespace.as_str()),
            name: Arc::from(head.key.name.as_str()),
        };
        Self { head, mode, rules, reach: reach.into_iter().collect(), selected, origin }
    }

    /// How many permissions it comes to; an object itself costs as much as ten.
    pub(crate) fn size(&self, roles: &Roles<'_>) -> usize {
        const OBJECT: usize = 10;
        let Ok(rules) = &self.rules else { return OBJECT };
        let size =
            |(rule, binding): &(&RuleSpec, Binding)| rule.permissions.len() + roles.size(&binding.granting);
        rules.iter().map(size).sum::<usize>().max(OBJECT)
    }

    /// The object of a snapshot.
    pub(crate) fn lower(&self, roles: &Roles<'_>, namespaces: &mut Namespaces<'_, '_>) -> PolicyObject {
        let own: Option<Namespace> = self.head.key.namespace.parse().ok();
        let body = match &self.rules {
            Ok(rules) => {
                let lower = |(rule, binding): &(&RuleSpec, Binding)| {
                    let subjects = |entries: &[SubjectSpec], namespaces: &mut Namespaces<'_, '_>| {
                        entries.iter().map(|entry| subject(entry, own.as_ref(), namespaces)).collect()
                    };
                    Rule {
                        name: Arc::from(rule.name.as_str()),
                        effect: rule.effect,
                        subjects: subjects(&rule.subjects, namespaces),
                        except_subjects: subjects(&rule.except_subjects, namespaces),
                        permissions: permissions(rule, binding, roles),
                        not_before: rule.not_before,
                        not_after: rule.not_after,
                        message: message(rule, binding),
                    }
                };
                Body::Rules(rules.iter().map(lower).collect())
            }
            Err(problems) => Body::Uncompilable { reason: Arc::from(sentence(problems)) },
        };
        PolicyObject { origin: self.origin.clone(), generation: self.head.generation, mode: self.mode, body }
    }
}

/// FAIL-CLOSED: a Deny that binds something broken, directly or by inheritance, matches every call; an Allow gets what
/// is left.
fn permissions(rule: &RuleSpec, binding: &Binding, roles: &Roles<'_>) -> Vec<Permission> {
    if rule.effect == Effect::Deny && binding.broken.is_some() {
        return vec![Permission::Any];
    }
    let granted = binding.granting.iter().filter_map(|role| roles.entries.get(*role));
    rule.permissions.iter().chain(granted.flat_map(|role| role.permissions)).cloned().collect()
}

/// A Deny that matches every call for want of a Role says so, where its author did not say anything.
fn message(rule: &RuleSpec, binding: &Binding) -> Option<Arc<str>> {
    let broken = binding.broken.as_deref().filter(|_| rule.effect == Effect::Deny);
    rule.message.as_deref().or(broken).map(Arc::from)
}

fn subject(
    entry: &SubjectSpec,
    own: Option<&Namespace>,
    namespaces: &mut Namespaces<'_, '_>,
) -> SubjectEntry {
    let service_account = entry.service_account.as_ref().map(|(namespace, account)| {
        // `check` lets no entry without either pass.
        namespace.as_ref().or(own).map(|namespace| (namespace.clone(), account.clone()))
    });
    let named = match &entry.namespace {
        None => None,
        Some(NamespaceMatch::Name(name)) => Some(vec![name.clone()]),
        Some(NamespaceMatch::Selector(selector)) => {
            Some(namespaces.matching(selector).iter().map(|name| (*name).clone()).collect())
        }
    };
    SubjectEntry {
        class: entry.class,
        // FAIL-CLOSED: an account that cannot be named is nobody, never a field that is absent.
        namespaces: if service_account == Some(None) { Some(Vec::new()) } else { named },
        service_account: service_account.flatten(),
        spiffe_id: entry.spiffe_id.clone(),
        ip_block: entry.ip_block.clone(),
    }
}

/// Selectors of a rule's subjects that match no namespace.
fn nobody(
    head: &Head<'_>,
    namespaces: &mut Namespaces<'_, '_>,
    index: usize,
    rule: &RuleSpec,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (field, entries) in [("subjects", &rule.subjects), ("exceptSubjects", &rule.except_subjects)] {
        for (position, entry) in entries.iter().enumerate() {
            let Some(NamespaceMatch::Selector(selector)) = &entry.namespace else { continue };
            if namespaces.matching(selector).is_empty() {
                let path = spec_field("rules")
                    .index(index)
                    .field(field)
                    .index(position)
                    .field("namespace")
                    .field("selector");
                let message = "no known namespace has these labels, so the subject is nobody".to_owned();
                found.push(head.warning(codes::SUBJECT_MATCHES_NOTHING, &path, message));
            }
        }
    }
    found
}
