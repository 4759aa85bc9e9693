//! Whole pods in, whole pods out: what the API server does with the patches.
//!
//! The data is in `tests/hostile/`: the end-to-end tests and the test of the admission policies use the same.

mod good;
mod hostile;
mod objects;
mod property;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{AdmissionError, Operation, Outcome, Request, Settings, mutate};
use serde_json::{Value, json};

/// The namespace of the tests.
const NAMESPACE: &str = "escape";

fn data() -> BTreeMap<String, String> {
    serde_json::from_value(yaml(&read("settings.yaml"))["data"].clone()).unwrap()
}

fn settings() -> Settings {
    Settings::read(&data()).unwrap()
}

fn mutate_in(namespace: &str, labels: &[(&str, &str)], pod: &Value) -> Result<Outcome, AdmissionError> {
    let namespace_labels =
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request =
        Request { namespace, namespace_labels: &namespace_labels, operator_namespace: "bailiwick-system" };
    mutate(pod, &request, &settings())
}

/// The pod after its patch; it must have one.
fn injected(pod: &Value) -> Value {
    match mutate_in(NAMESPACE, &[], pod) {
        Ok(Outcome::Patch(operations)) => patched(pod, &operations),
        other => panic!("{other:?}"),
    }
}

/// Applies a patch by the rules of RFC 6902, as the API server does.
fn patched(pod: &Value, operations: &[Operation]) -> Value {
    patched_by(pod, &json!(operations))
}

fn patched_by(pod: &Value, operations: &Value) -> Value {
    let mut pod = pod.clone();
    let patch: json_patch::Patch = serde_json::from_value(operations.clone()).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

fn refused(pod: &Value) -> String {
    match mutate_in(NAMESPACE, &[], pod) {
        Ok(outcome) => panic!("admitted: {outcome:?}"),
        Err(error) => error.to_string(),
    }
}

fn hostile_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hostile")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(hostile_folder().join(name)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}
