//! Looking into objects of the API server.

use std::collections::BTreeMap;

use serde_json::Value;

/// A value by its path, such as `/metadata/name`.
pub(crate) fn path<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    value.pointer(pointer).filter(|found| !found.is_null())
}

/// A text by its path; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A boolean by its path; false if there is none.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The items of a list by its path; none if there is no list.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The labels of an object.
pub(crate) fn labels(object: &Value) -> BTreeMap<&str, &str> {
    let found = object.pointer("/metadata/labels").and_then(Value::as_object);
    let found = found.into_iter().flatten();
    found.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
}

/// True if a label selector selects these labels. An empty one selects everything.
pub(crate) fn matches(selector: &Value, labels: &BTreeMap<&str, &str>) -> bool {
    let pairs = selector.pointer("/matchLabels").and_then(Value::as_object);
    let mut all = pairs.into_iter().flatten();
    all.all(|(name, value)| labels.get(name.as_str()).copied() == value.as_str())
        && items(selector, "/matchExpressions").iter().all(|requirement| holds(requirement, labels))
}

fn holds(requirement: &Value, labels: &BTreeMap<&str, &str>) -> bool {
    let value = labels.get(text(requirement, "/key")).copied();
    let among = || items(requirement, "/values").iter().any(|one| one.as_str() == value);
    match text(requirement, "/operator") {
        "In" => value.is_some() && among(),
        "NotIn" => value.is_none() || !among(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_are_those_of_kubernetes() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        let labels = labels(&object);
        let selects = |selector: Value| matches(&selector, &labels);
        assert!(selects(json!({})));
        assert!(selects(json!({"matchLabels": {"app": "web"}})));
        assert!(!selects(json!({"matchLabels": {"app": "web", "other": "x"}})));
        let expression = |operator: &str, key: &str, values: Value| {
            selects(json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}))
        };
        assert!(expression("In", "app", json!(["web"])) && !expression("In", "no", json!(["web"])));
        assert!(expression("NotIn", "no", json!(["web"])) && !expression("NotIn", "app", json!(["web"])));
        assert!(expression("Exists", "app", json!([])) && !expression("DoesNotExist", "app", json!([])));
    }
}
