//! Ordinary pods.

use crate::{Operation, Outcome, Untouched};
use serde_json::{Value, json};

use super::{NAMESPACE, hostile_folder, injected, mutate_in, patched_by, read, yaml};

fn pod() -> Value {
    json!({"spec": {"containers": [{"name": "app", "image": "app"}]}})
}

fn sidecar(pod: &Value) -> &Value {
    &pod["spec"]["initContainers"][1]
}

fn declared(pod: &Value) -> Value {
    let env = sidecar(pod)["env"].as_array().unwrap();
    let probes = env.iter().find(|variable| variable["name"] == "BAILIWICK_PROBES").unwrap();
    serde_json::from_str(probes["value"].as_str().unwrap()).unwrap()
}

/// The result is committed: the policies in the API server are tested with it. BAILIWICK_BLESS=1 writes it.
#[test]
fn the_injected_pod_is_the_committed_one() {
    let made = injected(&yaml(&read("injectable.yaml")));
    let text = format!("{}\n", serde_json::to_string_pretty(&made).unwrap());
    if std::env::var_os("BAILIWICK_BLESS").is_some() {
        std::fs::write(hostile_folder().join("injected.json"), &text).unwrap();
    }
    assert_eq!(serde_json::from_str::<Value>(&read("injected.json")).unwrap(), made, "{text}");
}

#[test]
fn missing_lists_and_maps_are_made() {
    for pod in [
        pod(),
        json!({"metadata": {}, "spec": {"containers": [{"name": "app"}], "initContainers": [], "volumes": []}}),
        json!({"metadata": {"annotations": null}, "spec": {"containers": [], "initContainers": null, "volumes": null}}),
    ] {
        let made = injected(&pod);
        let init = made["spec"]["initContainers"].as_array().unwrap();
        assert_eq!(init.len(), 2);
        assert_eq!(init[0]["name"], "bailiwick-capture");
        assert_eq!(init[1]["name"], "bailiwick-sidecar");
        assert_eq!(made["spec"]["volumes"][0]["name"], "bailiwick-identity");
        assert_eq!(made["metadata"]["annotations"]["bailiwick.dev/injected"], "0.1.0");
    }
}

#[test]
fn what_is_there_stays_and_nothing_is_replaced_as_a_whole() {
    let pod = yaml(&read("injectable.yaml"));
    let Ok(Outcome::Patch(operations)) = mutate_in(NAMESPACE, &[], &pod) else { panic!() };
    for operation in &operations {
        let path = match operation {
            Operation::Add { path, .. } | Operation::Replace { path, .. } | Operation::Remove { path } => {
                path
            }
        };
        assert!(!["/spec/initContainers", "/spec/volumes", "/metadata/annotations"].contains(&path.as_str()));
    }
    let made = injected(&pod);
    assert_eq!(made["spec"]["initContainers"][2], pod["spec"]["initContainers"][0]);
    assert_eq!(made["spec"]["volumes"][0], pod["spec"]["volumes"][0]);
    assert_eq!(made["metadata"]["annotations"]["example.com/team"], "shop");
}

#[test]
fn a_second_look_finds_nothing_to_do() {
    for pod in [pod(), yaml(&read("injectable.yaml"))] {
        let again = mutate_in(NAMESPACE, &[], &injected(&pod));
        assert_eq!(again, Ok(Outcome::Untouched(Untouched::AlreadyInjected)));
    }
}

/// The API server itself mounts the service account's token and completes resources in every container.
#[test]
fn what_the_cluster_adds_to_our_containers_is_left() {
    let mut made = injected(&pod());
    for index in 0..2 {
        let container = &mut made["spec"]["initContainers"][index];
        let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
        let mount = json!({"name": "kube-api-access-x", "mountPath": folder, "readOnly": true});
        match container["volumeMounts"].as_array_mut() {
            Some(mounts) => mounts.push(mount),
            None => container["volumeMounts"] = json!([mount]),
        }
        container["resources"]["limits"]["cpu"] = json!("1");
        container["imagePullPolicy"] = json!("Always");
        container["terminationMessagePolicy"] = json!("File");
    }
    let again = mutate_in(NAMESPACE, &[], &made);
    assert_eq!(again, Ok(Outcome::Untouched(Untouched::AlreadyInjected)));
}

#[test]
fn containers_that_another_webhook_put_first_are_moved_behind() {
    let made = injected(&pod());
    let value = json!({"name": "early", "image": "early"});
    let operations = json!([{"op": "add", "path": "/spec/initContainers/0", "value": value}]);
    let again = injected(&patched_by(&made, &operations));
    let names: Vec<&str> = again["spec"]["initContainers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| container["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["bailiwick-capture", "bailiwick-sidecar", "early"]);
}

#[test]
fn a_probe_that_another_webhook_adds_gets_the_next_index() {
    let made = injected(&yaml(&read("injectable.yaml")));
    let before = declared(&made).as_array().unwrap().len();
    let late =
        json!({"name": "late", "readinessProbe": {"httpGet": {"port": 99, "path": "x"}, "periodSeconds": 7}});
    let operations = json!([{"op": "add", "path": "/spec/containers/-", "value": late}]);
    let again = injected(&patched_by(&made, &operations));
    let declared = declared(&again);
    assert_eq!(declared.as_array().unwrap().len(), before + 1);
    assert_eq!(
        declared[before],
        json!({
            "container": "late",
            "purpose": "readiness",
            "action": {"http": {"port": 99, "path": "/x"}},
            "timeoutSeconds": 1,
        })
    );
    let probe = &again["spec"]["containers"][2]["readinessProbe"];
    let path = format!("/probe/{before}");
    assert_eq!(probe["httpGet"], json!({"path": path, "port": 15020, "scheme": "HTTP"}));
    assert_eq!(probe["periodSeconds"], 7);
    assert!(matches!(mutate_in(NAMESPACE, &[], &again), Ok(Outcome::Untouched(_))));
}

/// The kubelet would put a variable's value for `$(NAME)`.
#[test]
fn declared_probes_survive_the_expansion_of_variables() {
    let made = injected(&yaml(&read("injectable.yaml")));
    let env = sidecar(&made)["env"].as_array().unwrap();
    assert!(env.iter().all(|variable| !variable["value"].as_str().unwrap_or_default().contains('$')));
    let paths = declared(&made).to_string();
    assert!(paths.contains("/start?deep=1&price=$(COST)"), "{paths}");
}

#[test]
fn probes_that_cannot_be_redirected_stay() {
    let containers = json!([{
        "name": "app",
        "ports": [{"name": "http", "containerPort": 80}],
        "startupProbe": {"exec": {"command": ["x"]}},
        "readinessProbe": {"httpGet": {"port": "http", "host": "example.com"}},
        "livenessProbe": {"tcpSocket": {"port": "missing"}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "postStart": {"tcpSocket": {"port": 80}}},
    }]);
    let made = injected(&json!({"spec": {"containers": containers}}));
    assert_eq!(made["spec"]["containers"], containers);
    assert_eq!(sidecar(&made)["env"].as_array().unwrap().len(), 5);
}

#[test]
fn annotations_adjust_the_containers() {
    let mut pod = pod();
    pod["metadata"] = json!({"annotations": {
        "bailiwick.dev/skip-inbound-ports": " 9000 , 9100-9200",
        "bailiwick.dev/proxy-cpu": "0.25",
        "bailiwick.dev/proxy-memory": "64Mi",
        "bailiwick.dev/log-level": "warn",
    }});
    let Ok(Outcome::Patch(operations)) = mutate_in("legacy", &[], &pod) else { panic!() };
    let made = patched_by(&pod, &json!(operations));
    let capture = &made["spec"]["initContainers"][0];
    assert_eq!(capture["env"], json!([{"name": "BAILIWICK_SKIP_INBOUND_PORTS", "value": "9000,9100-9200"}]));
    let resources = json!({"requests": {"cpu": "0.25", "memory": "64Mi"}, "limits": {"memory": "64Mi"}});
    assert_eq!(sidecar(&made)["resources"], resources);
    let level = json!({"name": "BAILIWICK_LOG", "value": "warn"});
    assert!(sidecar(&made)["env"].as_array().unwrap().contains(&level));
}

#[test]
fn exempt_pods_and_system_namespaces_are_left() {
    let mut pod = pod();
    pod["spec"]["serviceAccountName"] = json!("exempt");
    pod["spec"]["hostNetwork"] = json!(true);
    assert_eq!(mutate_in(NAMESPACE, &[], &pod), Ok(Outcome::Untouched(Untouched::Exempt)));
    assert!(mutate_in("legacy", &[], &pod).is_err());
    for namespace in ["kube-system", "bailiwick-system"] {
        let untouched = mutate_in(namespace, &[], &pod);
        assert_eq!(untouched, Ok(Outcome::Untouched(Untouched::SystemNamespace)));
    }
    pod["spec"] = json!({"containers": []});
    assert_eq!(mutate_in("other", &[], &pod), Ok(Outcome::Untouched(Untouched::Exempt)));
}
