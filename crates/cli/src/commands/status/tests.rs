use serde_json::{Value, json};

use super::cluster::{ClusterStatus, Seen};
use crate::cluster::{Answered, Reply};
use crate::reports::Reports;

fn pod(name: &str, extra: Value) -> Value {
    let sidecar =
        json!([{"name": "bailiwick-capture"}, {"name": "bailiwick-sidecar", "restartPolicy": "Always"}]);
    let mut pod = json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"),
            "labels": {"pod-template-hash": "h"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-h", "controller": true}]},
        "spec": {"serviceAccountName": "web", "initContainers": sidecar},
        "status": {"phase": "Running"},
    });
    if let (Some(spec), Some(more)) = (pod["spec"].as_object_mut(), extra.as_object()) {
        spec.extend(more.clone());
    }
    pod
}

fn seen() -> Seen {
    let sidecar = |uid: &str, version: &str, left: i64, current: bool| {
        json!({"instance": uid, "sidecarVersion": version, "certificateNotAfter": 1_000_000 + left, "current": current,
            "acknowledgedSnapshotId": "ab", "connectedMillis": 1})
    };
    let workload = |name: &str, sidecars: Value| json!({"namespace": "shop", "name": name, "identity": "spiffe://cluster.local/ns/shop/sa/web", "sidecars": sidecars});
    let report = json!({
        "mesh": {"trustDomain": "cluster.local", "issues": true, "leafLifetimeSeconds": 86400},
        "objects": [{"kind": "Policy", "namespace": "shop", "name": "web", "mode": "Enforce", "enforced": "2/3", "conditions": [
            {"type": "Accepted", "status": "True"}, {"type": "ResolvedRefs", "status": "True"},
            {"type": "Enforced", "status": "False", "reason": "Lagging", "message": "shop/web-2"}]}],
        "workloads": [
            workload("web-1", json!([sidecar("uid-web-1", "0.2.0", 80_000, true)])),
            workload("web-2", json!([sidecar("uid-web-2", "0.1.0", 600, false)])),
        ],
        "cluster": {"version": "0.2.0", "pods": []},
    });
    let operator = |name: &str| json!({"metadata": {"name": name}, "status": {"phase": "Running"}});
    let answers = [
        Answered { replica: "operator-a".to_owned(), reply: Ok(Reply::Found(report.to_string())) },
        Answered { replica: "operator-b".to_owned(), reply: Err("it did not answer within 20 s".to_owned()) },
    ];
    Seen {
        operators: vec![operator("operator-a"), operator("operator-b")],
        reports: Reports::merge(&answers, Some("operator-a")),
        leader: Some("operator-a".to_owned()),
        namespaces: vec![json!({"metadata": {"name": "shop", "labels":
            {"bailiwick.dev/inject": "enabled", "bailiwick.dev/authorization": "audit"}}})],
        pods: vec![
            pod("web-1", json!({})),
            pod("web-2", json!({})),
            pod("web-3", json!({})),
            pod("web-4", json!({"initContainers": []})),
            pod("web-5", json!({"initContainers": [], "serviceAccountName": "agent"})),
        ],
        injection: Some(json!({"data": {"exempt": "shop/agent"}})),
        operator_namespace: "bailiwick-system".to_owned(),
        now: jiff::Timestamp::from_second(1_000_000).unwrap(),
    }
}

#[test]
fn the_replicas_are_put_together_and_say_which_pods_to_restart() {
    let status = ClusterStatus::of(&seen(), None);
    assert_eq!(
        status.render(),
        "\
operator   1 of 2 replicas answer, operator-a leads
           operator-a (version 0.2.0)
           operator-b does not answer: it did not answer within 20 s
mesh       cluster.local

KIND     NAMESPACE   NAME   MODE      ACCEPTED   RESOLVEDREFS   ENFORCED   REASON
Policy   shop        web    Enforce   True       True           2/3        Lagging: shop/web-2

WORKLOAD     IDENTITY                                NAMESPACE             SIDECAR   CERTIFICATE   STATE
shop/web-1   spiffe://cluster.local/ns/shop/sa/web   authorization audit   0.2.0     22 h          acknowledged
shop/web-2   spiffe://cluster.local/ns/shop/sa/web   authorization audit   0.1.0     10 min        lagging
shop/web-3   -                                       authorization audit   -         -             not connected
shop/web-4   -                                       authorization audit   -         -             no sidecar
shop/web-5   -                                       authorization audit   -         -             exempt

to restart:
  shop: Deployment/web, pod web-2: its sidecar is older than the operator
  shop: Deployment/web, pod web-4: it has no sidecar
"
    );
    assert!(status.is_answered());
}

#[test]
fn one_namespace_is_one_namespace() {
    let json = serde_json::to_value(ClusterStatus::of(&seen(), Some("other"))).unwrap();
    assert_eq!(
        (json["objects"].as_array().unwrap().len(), json["workloads"].as_array().unwrap().len()),
        (0, 0)
    );
    let json = serde_json::to_value(ClusterStatus::of(&seen(), Some("shop"))).unwrap();
    assert_eq!(json["workloads"][1]["state"], "lagging");
    assert_eq!(json["workloads"][0]["certificateSecondsLeft"], 80_000);
}
