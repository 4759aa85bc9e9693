//! Short texts for the columns of `kubectl get`: what an object selects, and its mode.

use bailiwick_compile::ObjectKind;
use serde_json::Value;

/// The schema allows 1,024 characters; a column is read by people.
const LONGEST: usize = 200;
/// Parts that are written out; the rest is counted.
const MOST: usize = 3;

/// Texts for columns; `None` where the kind has no such column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// For example `Pod app=orders:8080`.
    pub(crate) targets: Option<String>,
    /// For example `Enforce`.
    pub(crate) mode: Option<String>,
}

impl Summary {
    /// Of a spec as users write it. What is not understood is left out: the condition `Accepted` tells of it.
    pub(crate) fn of(kind: ObjectKind, spec: &Value) -> Self {
        let targets = || Some(cut(targets(kind, spec)));
        match kind {
            ObjectKind::Policy | ObjectKind::ClusterPolicy => {
                let mode = spec.get("mode").and_then(Value::as_str).unwrap_or("Enforce");
                Self { targets: targets(), mode: Some(cut(mode.to_owned())) }
            }
            ObjectKind::Authentication => Self { targets: targets(), mode: mtls(spec).map(cut) },
            ObjectKind::Role
            | ObjectKind::TrustDomain
            | ObjectKind::RelationSchema
            | ObjectKind::Relationship => Self::default(),
        }
    }
}

fn targets(kind: ObjectKind, spec: &Value) -> String {
    let list = spec.get("targets").and_then(Value::as_array);
    let parts: Vec<String> = list.into_iter().flatten().map(target).collect();
    let pods = if parts.is_empty() { "all pods".to_owned() } else { few(&parts, ", ") };
    match (kind, spec.get("namespaceSelector")) {
        (ObjectKind::ClusterPolicy, Some(selector)) => format!("{pods} of namespaces {}", labels(selector)),
        _other => pods,
    }
}

fn target(target: &Value) -> String {
    let text = |field: &str| target.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let what = target.get("selector").map_or_else(|| text("name"), labels);
    let ports: Vec<String> =
        target.get("ports").and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect();
    let ports = if ports.is_empty() { String::new() } else { format!(":{}", few(&ports, ",")) };
    format!("{} {what}{ports}", text("kind"))
}

fn labels(selector: &Value) -> String {
    let equal = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let equal = equal.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    let expressions = expressions.map(|one| {
        let text = |field: &str| one.get(field).and_then(Value::as_str).unwrap_or_default();
        format!("{} {}", text("key"), text("operator"))
    });
    few(&equal.chain(expressions).collect::<Vec<_>>(), ",")
}

/// `None` where the object has no opinion on mutual TLS.
fn mtls(spec: &Value) -> Option<String> {
    let mtls = spec.get("mtls")?;
    let mode = mtls.get("mode").and_then(Value::as_str).unwrap_or("-");
    let ports = mtls.get("ports").and_then(Value::as_array).into_iter().flatten().map(|entry| {
        let port = entry.get("port").map(Value::to_string).unwrap_or_default();
        format!("{port} {}", entry.get("mode").and_then(Value::as_str).unwrap_or_default())
    });
    let ports: Vec<String> = ports.collect();
    Some(if ports.is_empty() { mode.to_owned() } else { format!("{mode} ({})", few(&ports, ", ")) })
}

fn few(parts: &[String], joint: &str) -> String {
    let shown = parts.iter().take(MOST).cloned().collect::<Vec<_>>().join(joint);
    match parts.len().checked_sub(MOST).filter(|more| *more > 0) {
        Some(more) => format!("{shown}{joint}+{more}"),
        None => shown,
    }
}

fn cut(text: String) -> String {
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: ObjectKind, spec: Value) -> (String, String) {
        let summary = Summary::of(kind, &spec);
        (summary.targets.unwrap_or_default(), summary.mode.unwrap_or_default())
    }

    #[test]
    fn columns_say_what_is_selected_and_how() {
        let spec = json!({
            "mode": "Audit",
            "targets": [
                {"kind": "Pod", "selector": {"matchLabels": {"app": "orders"}}, "ports": [8080, 1, 2, 3, 4]},
                {"kind": "Service", "name": "web"},
            ],
        });
        let told = ("Pod app=orders:8080,1,2,+2, Service web".to_owned(), "Audit".to_owned());
        assert_eq!(of(ObjectKind::Policy, spec), told);
        assert_eq!(of(ObjectKind::Policy, json!({})), ("all pods".into(), "Enforce".into()));
        let guard =
            json!({"namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}});
        assert_eq!(of(ObjectKind::ClusterPolicy, guard).0, "all pods of namespaces tier Exists");
        let strict = json!({"mtls": {"mode": "Strict", "ports": [{"port": 9187, "mode": "Permissive"}]}});
        assert_eq!(of(ObjectKind::Authentication, strict).1, "Strict (9187 Permissive)");
        assert_eq!(of(ObjectKind::Authentication, json!({"trustDomains": ["x"]})).1, "");
        assert_eq!(Summary::of(ObjectKind::Role, &json!({})), Summary::default());
    }

    #[test]
    fn what_is_nonsense_is_short_and_no_reason_to_end() {
        for spec in
            [json!(null), json!([1]), json!({"targets": 7}), json!({"targets": [7, {"selector": "x"}]})]
        {
            let _told = of(ObjectKind::Policy, spec);
        }
        let long = json!({"mode": "x".repeat(5000), "targets": [{"kind": "ü".repeat(5000)}]});
        let (targets, mode) = of(ObjectKind::Policy, long);
        assert_eq!((targets.chars().count(), mode.chars().count()), (LONGEST, LONGEST));
    }
}
