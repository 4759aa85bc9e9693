//! An object of the API server as a tree of nodes, so that it takes the same way as a file's.

use super::{Entry, MAXIMUM_DEPTH, Mapping, Node, Value};

/// The tree of a JSON value. What is nested too deeply becomes an ambiguous text, which nothing accepts.
pub(crate) fn from_json(value: &serde_json::Value) -> Node {
    convert(value, MAXIMUM_DEPTH)
}

fn convert(value: &serde_json::Value, depth: usize) -> Node {
    // FAIL-CLOSED: cut off rather than recursed into without end.
    let Some(below) = depth.checked_sub(1) else {
        return Node::new(Value::Ambiguous("nested too deeply".to_owned()), None);
    };
    let value = match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => Value::Number(number.to_string()),
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => {
            Value::Sequence(items.iter().map(|item| convert(item, below)).collect())
        }
        serde_json::Value::Object(fields) => {
            let entry = |(key, value): (&String, _)| Entry {
                key: key.clone(),
                key_span: None,
                key_ambiguous: false,
                value: convert(value, below),
            };
            Value::Mapping(Mapping { entries: fields.iter().map(entry).collect(), repeated: Vec::new() })
        }
    };
    Node::new(value, None)
}
