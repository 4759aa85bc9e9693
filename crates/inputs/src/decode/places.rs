//! The place of each field of an object, for messages of the compiler.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_compile::{FieldPath, FieldSpans};

use crate::document::{Node, Span, Value};

/// The places of all fields of an object; empty where there is no text. Only of valid objects, whose size the decoder
/// has bounded.
pub(crate) fn of_fields(root: &Node) -> FieldSpans {
    let mut places = BTreeMap::new();
    if root.span.is_some() {
        for name in ["metadata", "spec"] {
            if let Some(node) = root.get(name) {
                collect(node, FieldPath::root().field(name), &mut places);
            }
        }
    }
    Arc::new(places)
}

fn collect(node: &Node, path: FieldPath, places: &mut BTreeMap<FieldPath, Span>) {
    match &node.value {
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, path.index(index), places);
            }
        }
        Value::Mapping(mapping) => {
            for entry in &mapping.entries {
                collect(&entry.value, path.field(&entry.key), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Ambiguous(_) => {}
    }
    if let Some(span) = node.span {
        places.insert(path, span);
    }
}
