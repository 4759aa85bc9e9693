//! What the tests of the schema share: finding nodes, and checking a value as the API server does.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bailiwick_api::crds;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use regex::Regex;
use serde_json::Value;

/// The schema of a definition's one version.
pub(crate) fn schema(crd: &CustomResourceDefinition) -> Value {
    let version = crd.spec.versions.first().expect("one version");
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    serde_json::to_value(schema.expect("a schema")).expect("json")
}

/// A node of a kind's spec by JSON pointer, for example `/properties/rules/items`.
pub(crate) fn spec_node(kind: &str, pointer: &str) -> Value {
    static SCHEMAS: LazyLock<BTreeMap<String, Value>> =
        LazyLock::new(|| crds().iter().map(|crd| (crd.spec.names.kind.clone(), schema(crd))).collect());
    let found = SCHEMAS[kind].pointer(&format!("/properties/spec{pointer}"));
    found.cloned().unwrap_or_else(|| panic!("{pointer}"))
}

/// What is wrong with a value, by path. It knows the keywords that the generated schemas use and panics at any other, so a
/// new keyword cannot go unchecked.
pub(crate) fn mistakes(path: &str, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, rule) in schema.as_object().expect("a schema") {
        match keyword.as_str() {
            "description" | "x-kubernetes-preserve-unknown-fields" | "x-kubernetes-list-map-keys" => {}
            "properties" | "items" | "additionalProperties" => {
                found.extend(below(path, keyword, rule, value))
            }
            "oneOf" | "anyOf" | "allOf" | "not" => {
                if !combined(keyword, rule, value) {
                    found.push(format!("{path}: {keyword}"));
                }
            }
            _ => {
                if !holds(keyword, rule, value, schema) {
                    found.push(format!("{path}: {keyword}"));
                }
            }
        }
    }
    found
}

fn below(path: &str, keyword: &str, rule: &Value, value: &Value) -> Vec<String> {
    match (keyword, value) {
        ("properties", Value::Object(fields)) => {
            let known = fields.iter().filter_map(|(name, field)| Some((name, rule.get(name)?, field)));
            known.flat_map(|(name, rule, field)| mistakes(&format!("{path}.{name}"), rule, field)).collect()
        }
        ("additionalProperties", Value::Object(fields)) => {
            fields.iter().flat_map(|(name, field)| mistakes(&format!("{path}.{name}"), rule, field)).collect()
        }
        ("items", Value::Array(items)) => {
            let numbered = items.iter().enumerate();
            numbered.flat_map(|(index, item)| mistakes(&format!("{path}[{index}]"), rule, item)).collect()
        }
        (_, _) => Vec::new(),
    }
}

fn combined(keyword: &str, rule: &Value, value: &Value) -> bool {
    let matches = |rule: &Value| mistakes("", rule, value).is_empty();
    let rules = rule.as_array().map(Vec::as_slice).unwrap_or_default();
    match keyword {
        "oneOf" => rules.iter().filter(|rule| matches(rule)).count() == 1,
        "anyOf" => rules.iter().any(matches),
        "allOf" => rules.iter().all(matches),
        "not" => !matches(rule),
        other => panic!("unknown keyword {other}"),
    }
}

fn holds(keyword: &str, rule: &Value, value: &Value, schema: &Value) -> bool {
    let bound = rule.as_f64().unwrap_or_default();
    let length = |at_least: bool, length: Option<usize>| {
        length.is_none_or(|length| if at_least { length as f64 >= bound } else { length as f64 <= bound })
    };
    let text = value.as_str();
    let items = value.as_array().map(Vec::len);
    let fields = value.as_object().map(serde_json::Map::len);
    match keyword {
        "type" => has_type(rule, value),
        "enum" => rule.as_array().expect("a list").contains(value),
        "required" => {
            let mut names = rule.as_array().expect("a list").iter().filter_map(Value::as_str);
            value.as_object().is_none_or(|fields| names.all(|name| fields.contains_key(name)))
        }
        "pattern" => text
            .is_none_or(|text| Regex::new(rule.as_str().expect("text")).expect("a pattern").is_match(text)),
        "format" => rule != "date-time" || text.is_none_or(|text| text.contains('T') && text.ends_with('Z')),
        "minLength" => length(true, text.map(|text| text.chars().count())),
        "maxLength" => length(false, text.map(|text| text.chars().count())),
        "minItems" => length(true, items),
        "maxItems" => length(false, items),
        "minProperties" => length(true, fields),
        "maxProperties" => length(false, fields),
        "minimum" => value.as_f64().is_none_or(|number| number >= bound),
        "maximum" => value.as_f64().is_none_or(|number| number <= bound),
        "x-kubernetes-list-type" => entries_differ(rule, value, schema),
        other => panic!("unknown keyword {other}"),
    }
}

fn has_type(rule: &Value, value: &Value) -> bool {
    match rule.as_str().expect("one type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("unknown type {other}"),
    }
}

fn entries_differ(rule: &Value, value: &Value, schema: &Value) -> bool {
    let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let keys: Vec<&str> = match rule.as_str().expect("text") {
        "atomic" => return true,
        "set" => Vec::new(),
        _ => schema["x-kubernetes-list-map-keys"]
            .as_array()
            .expect("keys")
            .iter()
            .filter_map(Value::as_str)
            .collect(),
    };
    let identity = |entry: &Value| -> Vec<Option<Value>> {
        if keys.is_empty() {
            vec![Some(entry.clone())]
        } else {
            keys.iter().map(|key| entry.get(key).cloned()).collect()
        }
    };
    let seen: Vec<_> = entries.iter().map(identity).collect();
    seen.iter().enumerate().all(|(index, entry)| !seen[..index].contains(entry))
}
