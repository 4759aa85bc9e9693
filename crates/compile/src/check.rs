//! What no decoder makes, checked again: a snapshot with such a rule would be refused as a whole.

use bailiwick_policy::{Effect, Layer, Methods, Permission};

use crate::head::{Head, spec_field};
use crate::{Diagnostic, FieldPath, NamespaceMatch, RuleSpec, SubjectSpec, codes};

/// The rules that say nothing, or do not say whose names they name.
pub(crate) fn rules(head: &Head<'_>, layer: Layer, rules: &[RuleSpec]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        for (field, what) in faults(layer, rule) {
            let path = spec_field("rules").index(index).field(field);
            found.push(head.error(codes::NOT_COMPILABLE, &path, format!("rule `{}` {what}", rule.name)));
        }
    }
    found
}

fn faults(layer: Layer, rule: &RuleSpec) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    if rule.subjects.is_empty() || rule.subjects.iter().any(is_empty) {
        found.push(("subjects", "has no subjects, or one without a field"));
    }
    if rule.except_subjects.iter().any(is_empty) {
        found.push(("exceptSubjects", "has an excepted subject without a field"));
    }
    if rule.effect == Effect::Allow && !rule.except_subjects.is_empty() {
        found.push(("exceptSubjects", "is an Allow; only a Deny can except subjects"));
    }
    if rule.roles.is_empty() && rule.permissions.is_empty() {
        found.push(("permissions", "has neither roles nor permissions"));
    }
    if !rule.permissions.iter().all(permission_is_sound) {
        found.push(("permissions", "has a permission with an empty list or name"));
    }
    if layer == Layer::Cluster {
        let mut subjects = rule.subjects.iter().chain(&rule.except_subjects);
        if subjects.any(|entry| matches!(entry.service_account, Some((None, _)))) {
            found.push(("subjects", "names a service account without its namespace"));
        }
        if rule.roles.iter().any(|reference| reference.namespace.is_none()) {
            found.push(("roles", "names a Role without its namespace"));
        }
    }
    found
}

fn is_empty(entry: &SubjectSpec) -> bool {
    let without_requirement = matches!(&entry.namespace, Some(NamespaceMatch::Selector(selector))
        if selector.labels.is_empty() && selector.expressions.is_empty());
    *entry == SubjectSpec::default() || without_requirement
}

/// The permissions of a Role that say nothing.
pub(crate) fn permissions(head: &Head<'_>, permissions: &[Permission]) -> Vec<Diagnostic> {
    let unsound = permissions.iter().enumerate().filter(|(_, permission)| !permission_is_sound(permission));
    let field = |index| -> FieldPath { spec_field("permissions").index(index) };
    let message = || "a permission has an empty list or name".to_owned();
    unsound.map(|(index, _)| head.error(codes::NOT_COMPILABLE, &field(index), message())).collect()
}

fn permission_is_sound(permission: &Permission) -> bool {
    match permission {
        Permission::Any => true,
        Permission::Tcp(ports) => !ports.is_empty(),
        Permission::Http(http) => {
            methods_are_sound(&http.methods)
                && !http.paths.is_empty()
                && http.hosts.as_ref().is_none_or(|hosts| !hosts.is_empty())
        }
        Permission::Grpc(grpc) => {
            let named = match &grpc.methods {
                Methods::Any => true,
                Methods::Of(names) => names.iter().all(|name| is_grpc_name(name)),
            };
            methods_are_sound(&grpc.methods) && named && is_grpc_name(&grpc.service)
        }
    }
}

fn methods_are_sound(methods: &Methods) -> bool {
    match methods {
        Methods::Any => true,
        Methods::Of(names) => !names.is_empty(),
    }
}

fn is_grpc_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
}
