//! Rules of Policies and ClusterPolicies.

use std::collections::HashMap;

use bailiwick_compile::{Reference, RuleSpec, SubjectSpec};
use bailiwick_identity::Namespace;
use bailiwick_policy::{Effect, Permission};

use super::permission::permissions;
use super::reader::{At, Reader, shorten};
use super::reference::{self, Scope};
use super::subject::subjects;
use super::time::instant;
use crate::codes;

/// The rules; each has a name of its own.
pub(crate) fn rules(reader: &mut Reader, at: &At<'_>, scope: Scope) -> Option<Vec<RuleSpec>> {
    let rules = reader.each(at, 64, |reader, at| rule(reader, at, scope));
    duplicates(reader, at);
    rules
}

/// Names are compared also where a rule has other mistakes.
fn duplicates(reader: &mut Reader, at: &At<'_>) {
    let mut seen = HashMap::new();
    for (index, node) in at.node.sequence().unwrap_or_default().iter().enumerate() {
        let Some(name) = (At { node, path: at.path.index(index), name_span: None }).field("name") else {
            continue;
        };
        let Some(text) = name.node.text() else { continue };
        if let Some(first) = seen.insert(text, index) {
            let message = format!("two rules are named `{}`", shorten(text));
            let help = format!("rename one: `{}[{first}]` has the name too", at.path);
            reader.problem(codes::DUPLICATE_KEY, &name, message, Some(help));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Allow,
    Deny,
    Ask,
}

fn rule(reader: &mut Reader, at: &At<'_>, scope: Scope) -> Option<RuleSpec> {
    let object = reader.object(at)?;
    let name = reader.required(&object, "name").and_then(|at| name(reader, &at));
    let effect = effect(reader, &object);
    let subjects = reader.required(&object, "subjects").and_then(|at| subjects(reader, &at, scope));
    let except_subjects = except_subjects(reader, &object, effect, scope);
    let bound = what(reader, &object, scope);
    let window = window(reader, &object);
    let message = match object.field("message") {
        Some(at) => reader.text(&at, 1024).map(|text| Some(text.to_owned())),
        None => Some(None),
    };
    let effect = match effect? {
        Word::Allow => Effect::Allow,
        Word::Deny => Effect::Deny,
        Word::Ask => return None,
    };
    let ((roles, permissions), (not_before, not_after)) = (bound?, window?);
    Some(RuleSpec {
        name: name?,
        effect,
        subjects: subjects?,
        except_subjects: except_subjects?,
        roles,
        permissions,
        not_before,
        not_after,
        message: message?,
    })
}

/// A rule's name: a DNS label, as a namespace's.
fn name(reader: &mut Reader, at: &At<'_>) -> Option<String> {
    let text = reader.text(at, 63)?;
    if text.parse::<Namespace>().is_err() {
        let message = format!("`{text}` is not a rule's name");
        let help =
            "use at most 63 lower-case letters, digits and `-`, starting and ending with a letter or digit";
        reader.problem(codes::NAME, at, message, Some(help.to_owned()));
        return None;
    }
    Some(text.to_owned())
}

fn effect(reader: &mut Reader, object: &At<'_>) -> Option<Word> {
    let at = reader.required(object, "effect")?;
    let word = reader.word(&at, &[("Allow", Word::Allow), ("Deny", Word::Deny), ("Ask", Word::Ask)])?;
    if word == Word::Ask {
        let message = "`effect: Ask` is not supported in this version".to_owned();
        let help =
            "use `Allow` or `Deny`: ignoring it would change who gets in, so the whole object is invalid";
        reader.problem(codes::NOT_YET_SUPPORTED, &at, message, Some(help.to_owned()));
    }
    Some(word)
}

fn except_subjects(
    reader: &mut Reader,
    object: &At<'_>,
    effect: Option<Word>,
    scope: Scope,
) -> Option<Vec<SubjectSpec>> {
    let Some(at) = object.field("exceptSubjects") else { return Some(Vec::new()) };
    if matches!(effect, Some(Word::Allow | Word::Ask)) {
        let message = "`exceptSubjects` goes only with `effect: Deny`";
        reader.not_here(&at, message, "list under `subjects` exactly whom the rule is about");
        return None;
    }
    subjects(reader, &at, scope)
}

type Bound = (Vec<Reference>, Vec<Permission>);

/// `roles` and `permissions`: at least one of them.
fn what(reader: &mut Reader, object: &At<'_>, scope: Scope) -> Option<Bound> {
    let (roles_at, permissions_at) = (object.field("roles"), object.field("permissions"));
    if roles_at.is_none() && permissions_at.is_none() {
        if !reader.was_suggested(&object.path, &["roles", "permissions"]) {
            let span = object.node.get("name").and_then(|name| name.span).or(object.span());
            let message = format!("`{}` has neither `roles` nor `permissions`", object.path);
            let help = "add one of them; every call is `permissions: [{any: {}}]`";
            reader.tell(codes::RULE_WITHOUT_PERMISSION, (&object.path, span), message, Some(help.to_owned()));
        }
        return None;
    }
    let roles = match roles_at {
        Some(at) => reader.each(&at, 64, |reader, at| reference::role(reader, at, scope)),
        None => Some(Vec::new()),
    };
    let permissions = match permissions_at {
        Some(at) => permissions(reader, &at),
        None => Some(Vec::new()),
    };
    Some((roles?, permissions?))
}

type Window = (Option<i64>, Option<i64>);

fn window(reader: &mut Reader, object: &At<'_>) -> Option<Window> {
    let not_before = match object.field("notBefore") {
        Some(at) => instant(reader, &at).map(Some),
        None => Some(None),
    };
    let after_at = object.field("notAfter");
    let not_after = match &after_at {
        Some(at) => instant(reader, at).map(Some),
        None => Some(None),
    };
    let (not_before, not_after) = (not_before?, not_after?);
    if let (Some(from), Some(to), Some(at)) = (not_before, not_after, &after_at)
        && from >= to
    {
        let message = "the rule is never in effect: `notBefore` does not lie before `notAfter`".to_owned();
        reader.problem(codes::TIME_WINDOW, at, message, Some("exchange or correct them".to_owned()));
        return None;
    }
    Some((not_before, not_after))
}
