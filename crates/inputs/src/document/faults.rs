//! What is wrong with a tree whatever it means: repeated names, tags. They are found where a tree is read, so that an
//! unrelated kind's document is not refused for them.

use bailiwick_compile::FieldPath;

use super::{Node, Span, Value};

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    /// The field that is repeated or tagged.
    pub(crate) path: FieldPath,
    /// Its place.
    pub(crate) span: Option<Span>,
    /// What is wrong.
    pub(crate) kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaultKind {
    /// The name occurs before, at that place.
    Repeated(Option<Span>),
    /// The value has a YAML tag.
    Tagged,
    /// The name is unquoted and not a text in every version of YAML.
    AmbiguousKey,
}

/// The most faults of one tree that are told.
const MAXIMUM: usize = 64;

/// Every fault below a node.
pub(crate) fn faults(node: &Node, path: &FieldPath) -> Vec<Fault> {
    let mut found = Vec::new();
    // Most trees have none, and paths cost an allocation a node: look first, then name.
    if any(node) {
        walk(node, path, &mut found);
    }
    found
}

fn any(node: &Node) -> bool {
    node.tagged
        || match &node.value {
            Value::Sequence(items) => items.iter().any(any),
            Value::Mapping(mapping) => {
                !mapping.repeated.is_empty()
                    || mapping.entries.iter().any(|entry| entry.key_ambiguous || any(&entry.value))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Ambiguous(_) => false,
        }
}

fn walk(node: &Node, path: &FieldPath, found: &mut Vec<Fault>) {
    if found.len() >= MAXIMUM {
        return;
    }
    if node.tagged {
        found.push(Fault { path: path.clone(), span: node.span, kind: FaultKind::Tagged });
    }
    match &node.value {
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate().filter(|(_, item)| any(item)) {
                walk(item, &path.index(index), found);
            }
        }
        Value::Mapping(mapping) => {
            for repeated in mapping.repeated.iter().take(MAXIMUM) {
                let kind = FaultKind::Repeated(repeated.first);
                found.push(Fault { path: path.field(&repeated.key), span: repeated.again, kind });
            }
            for entry in &mapping.entries {
                if entry.key_ambiguous {
                    let path = path.field(&entry.key);
                    found.push(Fault { path, span: entry.key_span, kind: FaultKind::AmbiguousKey });
                }
                if any(&entry.value) {
                    walk(&entry.value, &path.field(&entry.key), found);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Ambiguous(_) => {}
    }
}
