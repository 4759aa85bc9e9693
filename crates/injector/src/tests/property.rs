//! Any pod: never a panic, and once injected nothing more to do.

use crate::{Outcome, Settings, Untouched};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{NAMESPACE, data, mutate_in, patched};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("app".to_owned()),
        Just("bailiwick-sidecar".to_owned()),
        Just("bailiwick-capture".to_owned()),
        Just("bailiwick-identity".to_owned()),
        "[a-z]{1,8}",
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u32..70_000).prop_map(Value::from),
        name().prop_map(Value::from),
        Just(json!("$(X)")),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "name",
        "image",
        "args",
        "httpGet",
        "tcpSocket",
        "grpc",
        "port",
        "path",
        "host",
        "ports",
        "containerPort",
        "securityContext",
        "runAsUser",
        "capabilities",
        "add",
        "lifecycle",
        "preStop",
        "livenessProbe",
        "restartPolicy",
        "readinessProbe",
        "env",
        "volumeMounts",
        "projected",
        "sources",
        "serviceAccountToken",
        "audience",
    ])
    .prop_map(str::to_owned)
}

fn any_value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<String, Value>>())),
        ]
    })
}

fn list() -> impl Strategy<Value = Value> {
    prop_oneof![3 => prop::collection::vec(any_value(), 0..4).prop_map(Value::from), 1 => any_value()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pod_is_refused_or_stays_injected(init in list(), containers in list(), volumes in list()) {
        let pod = json!({"spec": {"initContainers": init, "containers": containers, "volumes": volumes}});
        if let Ok(Outcome::Patch(operations)) = mutate_in(NAMESPACE, &[], &pod) {
            let again = mutate_in(NAMESPACE, &[], &patched(&pod, &operations));
            prop_assert_eq!(again, Ok(Outcome::Untouched(Untouched::AlreadyInjected)));
        }
    }

    #[test]
    fn any_settings_are_read_or_refused(key in prop::sample::select(data().into_keys().collect::<Vec<_>>()), value in "\\PC{0,20}") {
        let mut data = data();
        data.insert(key, value);
        if let Err(error) = Settings::read(&data) {
            prop_assert!(!error.problems.is_empty());
        }
    }
}

#[test]
fn settings_are_strict() {
    assert!(Settings::read(&data()).is_ok());
    for key in data().into_keys() {
        let mut without = data();
        without.remove(&key);
        let said = Settings::read(&without).unwrap_err().to_string();
        assert!(said.contains(&format!("`{key}` is missing; add it")), "{said}");
    }
    let mut more = data();
    more.insert("exmept".to_owned(), String::new());
    let said = Settings::read(&more).unwrap_err().to_string();
    assert_eq!(said, "ConfigMap `bailiwick-injection`: `exmept` is unknown; did you mean `exempt`?");
    for (key, value) in [
        ("user", "0"),
        ("user", "+2000"),
        ("allowedImages", "other"),
        ("bundle", "configMap"),
        ("exempt", "shop"),
        ("exempt", "shop/*"),
        ("exempt", "shop/web\n"),
        ("memoryLimit", "16Mi"),
        ("cpuRequest", "100"),
        ("imagePullPolicy", "always"),
        ("version", ""),
    ] {
        let mut bad = data();
        bad.insert(key.to_owned(), value.to_owned());
        let said = Settings::read(&bad).unwrap_err().to_string();
        assert!(said.contains(&format!("`{key}`")), "{key}={value}: {said}");
    }
}
