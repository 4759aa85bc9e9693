//! Any JSON as a new pod: refused, left alone or injected without a panic; what is injected is a patch that applies, and the injected pod
//! needs nothing more.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bailiwick_injector::{Outcome, Request, Settings, Untouched, mutate};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let data = [
        ("version", "1"),
        ("image", "sidecar:1"),
        ("allowedImages", "sidecar:1\nsidecar:0"),
        ("imagePullPolicy", "IfNotPresent"),
        ("user", "42137"),
        ("sidecarArguments", "pod\n--operator\nhere"),
        ("bundle", "ConfigMap"),
        ("cpuRequest", "10m"),
        ("memoryRequest", "32Mi"),
        ("memoryLimit", "256Mi"),
        ("skipPortsNamespaces", "shop"),
        ("exempt", ""),
    ];
    let data = data.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Settings::read(&data).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut pod) = serde_json::from_slice::<Value>(bytes) else { return };
    let labels = BTreeMap::new();
    let request = Request { namespace: "shop", namespace_labels: &labels, operator_namespace: "system" };
    let Ok(Outcome::Patch(operations)) = mutate(&pod, &request, &SETTINGS) else { return };
    let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    let again = mutate(&pod, &request, &SETTINGS);
    assert_eq!(again, Ok(Outcome::Untouched(Untouched::AlreadyInjected)));
});
