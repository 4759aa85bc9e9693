//! Where `Policy` and `ClusterPolicy` differ though they share the types of a rule.

use schemars::Schema;
use serde_json::{Value, json};

/// Of a `ClusterPolicy`: it has no namespace of its own, so every reference names one.
pub(crate) fn qualified_references(schema: &mut Schema) {
    let Some(rule) = descend(schema.as_object_mut(), &["rules", "[]"]) else { return };
    for path in [
        ["subjects", "[]", "serviceAccount"].as_slice(),
        ["exceptSubjects", "[]", "serviceAccount"].as_slice(),
        ["roles", "[]"].as_slice(),
        ["relation"].as_slice(),
    ] {
        if let Some(node) = descend(Some(rule), path) {
            require(node, "namespace");
        }
    }
}

/// Of a `Policy`: a relation reads only the Policy's namespace and cannot name another.
pub(crate) fn own_namespace_relations(schema: &mut Schema) {
    let relation = descend(schema.as_object_mut(), &["rules", "[]", "relation"]);
    if let Some(Value::Object(properties)) = relation.and_then(|relation| relation.get_mut("properties")) {
        properties.remove("namespace");
    }
}

type Node = serde_json::Map<String, Value>;

fn descend<'a>(from: Option<&'a mut Node>, path: &[&str]) -> Option<&'a mut Node> {
    path.iter().try_fold(from?, |node, step| match *step {
        "[]" => node.get_mut("items")?.as_object_mut(),
        field => node.get_mut("properties")?.get_mut(field)?.as_object_mut(),
    })
}

fn require(node: &mut Node, field: &str) {
    let required = node.entry("required").or_insert_with(|| json!([]));
    if let Value::Array(names) = required
        && !names.iter().any(|name| name == field)
    {
        names.push(json!(field));
    }
}
