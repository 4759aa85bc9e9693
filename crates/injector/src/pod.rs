//! A pod as the API server sends it, read leniently: what injection does not know it leaves alone.

use bailiwick_pod::names;
use serde_json::Value;

/// The lists of containers that a new pod can have.
pub(crate) const INIT: &str = "initContainers";
pub(crate) const MAIN: &str = "containers";

/// One container and its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Container<'a> {
    pub(crate) value: &'a Value,
    pub(crate) list: &'static str,
    pub(crate) index: usize,
}

impl<'a> Container<'a> {
    pub(crate) fn name(&self) -> &'a str {
        text(self.value, &["name"])
    }

    /// `spec.containers[0]`.
    pub(crate) fn field(&self) -> String {
        format!("spec.{}[{}]", self.list, self.index)
    }

    /// `/spec/containers/0`.
    pub(crate) fn pointer(&self) -> String {
        format!("/spec/{}/{}", self.list, self.index)
    }

    /// Where ours stand. What has the name elsewhere is not ours.
    pub(crate) fn has_our_name(&self) -> bool {
        self.list == INIT && [names::CAPTURE_CONTAINER, names::SIDECAR_CONTAINER].contains(&self.name())
    }

    /// True if it runs beside the application: only such containers have probes and hooks.
    pub(crate) fn keeps_running(&self) -> bool {
        self.list == MAIN || text(self.value, &["restartPolicy"]) == "Always"
    }
}

/// Every container, the init containers first.
pub(crate) fn containers(pod: &Value) -> Vec<Container<'_>> {
    let of = |list: &'static str| {
        items(pod, &["spec", list]).iter().enumerate().map(move |(index, value)| Container {
            value,
            list,
            index,
        })
    };
    of(INIT).chain(of(MAIN)).collect()
}

/// The name of the pod's service account.
pub(crate) fn service_account(pod: &Value) -> &str {
    [text(pod, &["spec", "serviceAccountName"]), text(pod, &["spec", "serviceAccount"])]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or("default")
}

/// A value below another; absent and `null` are the same.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name)).filter(|value| !value.is_null())
}

/// A text below a value; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// A list below a value; empty if there is none.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// True if the field is there and true.
pub(crate) fn is_true(value: &Value, path: &[&str]) -> bool {
    at(value, path).and_then(Value::as_bool) == Some(true)
}
