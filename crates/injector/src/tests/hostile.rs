//! Pods that try to escape.

use crate::{Outcome, Problem, Untouched};
use serde_json::json;

use super::{NAMESPACE, injected, mutate_in, patched_by, read, refused, yaml};

#[test]
fn every_pod_that_would_escape_is_refused() {
    let text = read("pods.yaml");
    let documents: Vec<&str> =
        text.split("\n---").filter(|document| document.contains("kind: Pod")).collect();
    for document in &documents {
        let expected = document.lines().find_map(|line| line.trim().strip_prefix("# expect: ")).unwrap();
        let said = refused(&yaml(document));
        assert!(said.contains(expected), "expected `{expected}`, got: {said}\nfor:{document}");
    }
    assert!(documents.len() >= 30, "only {} cases", documents.len());
}

/// What the policies in the API server refuse, the injector repairs or refuses when it sees the pod once more.
#[test]
fn no_change_of_an_injected_pod_survives_another_look() {
    let good = injected(&yaml(&read("injectable.yaml")));
    for case in yaml(&read("final-pods.yaml")).as_array().unwrap() {
        let Some(patch) = case.get("patch") else { continue };
        let changed = patched_by(&good, patch);
        match mutate_in(NAMESPACE, &[], &changed) {
            Ok(Outcome::Patch(operations)) => {
                let repaired = patched_by(&changed, &json!(operations));
                let again = mutate_in(NAMESPACE, &[], &repaired);
                assert_eq!(again, Ok(Outcome::Untouched(Untouched::AlreadyInjected)), "{case}");
                for index in 0..2 {
                    let (ours, theirs) =
                        (&good["spec"]["initContainers"], &repaired["spec"]["initContainers"]);
                    assert_eq!(ours[index]["securityContext"], theirs[index]["securityContext"], "{case}");
                    assert_eq!(ours[index]["args"], theirs[index]["args"], "{case}");
                    assert_eq!(ours[index]["image"], theirs[index]["image"], "{case}");
                }
            }
            Ok(Outcome::Untouched(_)) => panic!("left as it is: {case}"),
            Err(_) => {}
        }
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let pod = json!({
        "metadata": {"annotations": {"bailiwick.dev/log-level": "inof", "bailiwick.dev/opaque-port": "1"}},
        "spec": {"hostNetwork": true, "containers": [{"name": "app", "securityContext": {"privileged": true}}]},
    });
    let error = mutate_in(NAMESPACE, &[], &pod).unwrap_err();
    let found: Vec<Problem> = error.refusals.iter().map(|refusal| refusal.problem).collect();
    assert_eq!(
        found,
        [
            Problem::SharedNamespace,
            Problem::ForbiddenPrivilege,
            Problem::InvalidAnnotation,
            Problem::UnknownAnnotation
        ]
    );
    let said = error.to_string();
    for expected in ["did you mean `info`?", "did you mean `bailiwick.dev/opaque-ports`?"] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_pod_security_level_that_forbids_the_capture_gets_one_clear_error() {
    let pod = json!({"spec": {"containers": [{"name": "app"}]}});
    let label = "pod-security.kubernetes.io/enforce";
    for level in ["baseline", "restricted"] {
        let error = mutate_in("shop", &[(label, level)], &pod).unwrap_err();
        assert_eq!(error.refusals.len(), 1);
        assert_eq!(
            error.to_string(),
            format!(
                "not injected by bailiwick: namespace `shop`: it enforces the Pod Security level `{level}`, which \
                 forbids NET_ADMIN to the capture container; run `kubectl label namespace shop \
                 {label}=privileged --overwrite`, or remove the label `bailiwick.dev/inject` until capture without \
                 it (a CNI plugin) is available"
            )
        );
    }
    for labels in [[(label, "privileged")], [("pod-security.kubernetes.io/warn", "restricted")]] {
        assert!(matches!(mutate_in("shop", &labels, &pod), Ok(Outcome::Patch(_))));
    }
}

#[test]
fn lists_of_ports_are_bounded() {
    let with = |name: &str, value: &str| {
        json!({
            "metadata": {"annotations": {name: value}},
            "spec": {"containers": [{"name": "app"}]},
        })
    };
    let many = vec!["1"; 65].join(",");
    for (value, expected) in [
        ("", "`` is no port"),
        ("80,", "`` is no port"),
        ("0", "`0` is no port"),
        ("65536", "`65536` is no port"),
        ("+80", "`+80` is no port"),
        ("080", "`080` is no port"),
        ("9000-8000", "write the lower port first"),
        ("1-2-3", "`1-2-3` is no port"),
        ("15006", "which the sidecar uses"),
        ("16000-30000", "these are 14001 ports"),
        (many.as_str(), "it has 65 entries"),
    ] {
        let said = refused(&with("bailiwick.dev/opaque-ports", value));
        assert!(said.contains(expected), "{value}: {said}");
    }
    for value in ["80", "1-1024, 3306 ,5432", "65535"] {
        assert!(mutate_in(NAMESPACE, &[], &with("bailiwick.dev/opaque-ports", value)).is_ok(), "{value}");
    }
    // Every port is left out where that is permitted.
    let all = with("bailiwick.dev/skip-outbound-ports", "16000-65535");
    assert!(mutate_in("legacy", &[], &all).is_ok());
}

#[test]
fn amounts_are_bounded() {
    for (name, value, good) in [
        ("cpu", "1m", true),
        ("cpu", "0.5", true),
        ("cpu", "4", true),
        ("cpu", "4001m", false),
        ("cpu", "0", false),
        ("cpu", "-1", false),
        ("cpu", "1e3", false),
        ("cpu", "0.0001", false),
        ("memory", "16Mi", true),
        ("memory", "67108864", true),
        ("memory", "0.5Gi", true),
        ("memory", "5Gi", false),
        ("memory", "99999999999999999999Gi", false),
        ("memory", "64mi", false),
    ] {
        let key = format!("bailiwick.dev/proxy-{name}");
        let pod = json!({"metadata": {"annotations": {key: value}}, "spec": {"containers": []}});
        assert_eq!(mutate_in(NAMESPACE, &[], &pod).is_ok(), good, "{name} {value}");
    }
}
