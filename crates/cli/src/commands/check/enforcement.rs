//! What enforces less than everything, and objects that do not hold.

use serde_json::Value;

use super::fact::{Fact, Hint, count, listed};
use super::observe::{Installed, Observed};
use crate::cluster::{items, path, text};
use crate::reports::NamespaceMode;

/// Audits, open ports, refused objects.
pub(super) fn facts(observed: &Observed, installed: &Installed) -> Vec<Fact> {
    // Nothing is said to be enforced that was not seen.
    if let Err(why) = &observed.namespaces {
        return vec![Fact::unseen("which namespaces are in audit", why)];
    }
    let mut facts = namespaces(observed);
    if installed.reports.answered.is_empty() {
        facts.push(Fact::unseen("which objects are accepted", "no replica of the operator answers"));
    }
    facts.extend(open_ports(observed, installed));
    facts.extend(objects(installed));
    if facts.is_empty() {
        facts.push(Fact::ok("everything that is enrolled is enforced"));
    }
    facts
}

fn namespaces(observed: &Observed) -> Vec<Fact> {
    let mut facts = Vec::new();
    for namespace in observed.enrolled() {
        let (name, mode) = (text(namespace, "/metadata/name"), NamespaceMode::of(namespace));
        let what = match (mode.authentication_audit, mode.authorization_audit) {
            (false, false) => continue,
            (true, true) => "neither refuses unproven callers nor denied calls (both audits)",
            (true, false) => "does not refuse unproven callers (authentication audit)",
            (false, true) => "does not refuse denied calls (authorization audit)",
        };
        let todo = format!(
            "when the log shows nothing more that would be refused: kubectl label namespace {name} bailiwick.dev/authentication- bailiwick.dev/authorization-"
        );
        facts.push(Fact::warning(format!("namespace {name} {what}"), todo, Hint::Audit));
    }
    facts
}

fn open_ports(observed: &Observed, installed: &Installed) -> Vec<Fact> {
    let authentications = match &installed.authentications {
        Ok(authentications) => authentications,
        Err(why) => return vec![Fact::unseen("the Authentications", why)],
    };
    let enrolled: Vec<&str> =
        observed.enrolled().into_iter().map(|namespace| text(namespace, "/metadata/name")).collect();
    let mut facts = Vec::new();
    for object in authentications {
        let namespace = text(object, "/metadata/namespace");
        if !enrolled.contains(&namespace) {
            continue;
        }
        let mut open = Vec::new();
        modes(path(object, "/spec").unwrap_or(&Value::Null), &mut open);
        open.sort_unstable();
        open.dedup();
        if !open.is_empty() {
            let name = text(object, "/metadata/name");
            let text = format!(
                "Authentication {namespace}/{name} opens ports to unproven callers ({})",
                open.join(", ")
            );
            let todo = "remove it when every caller there has a sidecar";
            facts.push(Fact::warning(text, todo, Hint::OpenPorts));
        }
    }
    facts
}

/// Every mtls mode that lets unproven callers in, of the whole object and of single ports.
fn modes<'a>(value: &'a Value, open: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            if let Some(mode) = fields.get("mode").and_then(Value::as_str)
                && matches!(mode, "Permissive" | "Disabled")
            {
                open.push(mode);
            }
            fields.values().for_each(|value| modes(value, open));
        }
        Value::Array(values) => values.iter().for_each(|value| modes(value, open)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn objects(installed: &Installed) -> Vec<Fact> {
    let name = |object: &Value| {
        let namespace = text(object, "/namespace");
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!("{} {namespace}{slash}{}", text(object, "/kind"), text(object, "/name"))
    };
    let mut facts = Vec::new();
    let mut audited = Vec::new();
    for object in &installed.reports.objects {
        if text(object, "/mode") == "Audit" {
            audited.push(name(object));
        }
        let failing = items(object, "/conditions").iter().find(|condition| {
            text(condition, "/status") == "False"
                && matches!(text(condition, "/type"), "Accepted" | "ResolvedRefs")
        });
        if let Some(condition) = failing {
            let text = format!(
                "{} is not {}: {} ({})",
                name(object),
                text(condition, "/type"),
                text(condition, "/message"),
                text(condition, "/reason")
            );
            let todo = "bailiwick validate shows the place; what does not compile denies what it selects";
            facts.push(Fact::failure(text, todo, Hint::NotAccepted));
        }
    }
    if !audited.is_empty() {
        let text = format!("{} in mode Audit: {}", count(audited.len(), "object"), listed(&audited));
        facts.push(Fact::warning(text, "set spec.mode to Enforce, or remove the field", Hint::Audit));
    }
    facts
}
