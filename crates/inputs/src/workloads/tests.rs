use bailiwick_compile::TargetPort;

use super::*;
use crate::contents::Contents;

fn contents(text: &str) -> Contents {
    Contents::of_bytes(&Arc::from("test.yaml"), text.as_bytes())
}

fn fact(text: &str) -> Fact {
    let mut contents = contents(text);
    assert!(contents.unreadable.is_empty() && contents.diagnostics.is_empty(), "{contents:#?}");
    contents.facts.remove(0)
}

fn workload(text: &str) -> (WorkloadKey, Workload) {
    let Fact::Workload { key, workload, .. } = fact(text) else { panic!() };
    (key, workload)
}

const POD: &str = "{metadata: {creationTimestamp: null, labels: {app: web}}, spec: {serviceAccountName: web, nodeSelector: {x: yes}, \
     initContainers: [{name: a, ports: [{containerPort: 1}]}, {name: b, restartPolicy: Always, ports: [{containerPort: 9}]}], \
     containers: [{name: c, env: [{name: A, value: '1'}], ports: [{containerPort: 8080, name: http}, {containerPort: 53, protocol: UDP}, {containerPort: 8080}]}, {name: d, ports: null}]}}";

#[test]
fn every_kind_of_workload_is_read() {
    let head = |version: &str, kind: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: web, namespace: shop}}\n")
    };
    for (text, kind) in [
        (
            format!("{}spec: {{replicas: 2, template: {POD}}}\n", head("apps/v1", "Deployment")),
            WorkloadKind::Deployment,
        ),
        (format!("{}spec: {{template: {POD}}}\n", head("apps/v1", "StatefulSet")), WorkloadKind::StatefulSet),
        (format!("{}spec: {{template: {POD}}}\n", head("apps/v1", "DaemonSet")), WorkloadKind::DaemonSet),
        (format!("{}spec: {{template: {POD}}}\n", head("batch/v1", "Job")), WorkloadKind::Job),
        (
            format!("{}spec: {{jobTemplate: {{spec: {{template: {POD}}}}}}}\n", head("batch/v1", "CronJob")),
            WorkloadKind::CronJob,
        ),
    ] {
        let (key, workload) = workload(&text);
        assert_eq!((key.to_string().as_str(), workload.kind), ("shop/web", kind));
        assert_eq!(workload.labels.get("app").map(String::as_str), Some("web"));
        assert_eq!(workload.service_account.as_str(), "web");
        let ports: Vec<u16> = workload.ports.iter().map(|port| port.port.number()).collect();
        assert_eq!(ports, [8080, 9], "{kind:?}");
        assert_eq!(workload.ports[0].name.as_deref(), Some("http"));
    }
}

#[test]
fn a_pod_of_its_own_is_a_workload() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b, labels: {app: web}}\nspec: {serviceAccount: old, containers: [{name: c, ports: [{containerPort: 80}]}]}\n";
    let (_, workload) = workload(text);
    assert_eq!((workload.kind, workload.service_account.as_str()), (WorkloadKind::Pod, "old"));
    assert_eq!((workload.ports.len(), workload.labels.len()), (1, 1));
}

#[test]
fn a_service_account_is_default_if_omitted() {
    let text =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec: {containers: [{name: c}]}\n";
    assert_eq!(workload(text).1.service_account.as_str(), "default");
}

#[test]
fn services_are_read() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec:\n  selector: {app: web}\n  ports:\n  - {port: 80, targetPort: http, name: web, appProtocol: http}\n  - {port: 443, targetPort: 8443}\n  - {port: 9000}\n  - {port: 53, protocol: UDP}\n";
    let Fact::Service { service, .. } = fact(text) else { panic!() };
    let targets: Vec<&TargetPort> = service.ports.iter().map(|port| &port.target).collect();
    assert_eq!(targets[0], &TargetPort::Name("http".into()));
    assert_eq!(targets[1], &TargetPort::Number(8443_u16.try_into().unwrap()));
    assert_eq!(targets[2], &TargetPort::Number(9000_u16.try_into().unwrap()));
    assert_eq!((targets.len(), service.ports[0].app_protocol.as_deref()), (3, Some("http")));
    let external = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec: {type: ExternalName, externalName: x, selector: {a: b}}\n";
    let Fact::Service { service, .. } = fact(external) else { panic!() };
    assert_eq!(service.selector, None);
}

#[test]
fn a_broken_workload_is_left_out_and_told() {
    for (spec, field) in [
        ("{containers: [{ports: [{containerPort: 0}]}]}", "spec.containers[0].ports[0].containerPort"),
        ("{containers: [{ports: {}}]}", "spec.containers[0].ports"),
        (
            "{containers: [{ports: [{containerPort: 1, protocol: tcp}]}]}",
            "spec.containers[0].ports[0].protocol",
        ),
        ("{serviceAccountName: Web}", "spec.serviceAccountName"),
        ("{containers: [], containers: []}", "spec.containers"),
    ] {
        let found = contents(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: b}}\nspec: {spec}\n"
        ));
        assert!(found.facts.is_empty() && found.unreadable.is_empty());
        assert_eq!(found.diagnostics[0].field.as_str(), field);
    }
    let found = contents("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n");
    assert_eq!(found.diagnostics[0].code, codes::MANIFEST_NAMESPACE);
}

#[test]
fn a_broken_service_or_namespace_denies() {
    for text in [
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec: {ports: [{port: x}]}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec: {selector: {app: yes}}\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {tier: 1}}\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}\n",
    ] {
        let found = contents(text);
        assert!(found.facts.is_empty());
        assert_eq!(found.unreadable.len(), 1, "{text}");
    }
}

#[test]
fn opaque_ports_are_read_from_the_pod_s_own_metadata() {
    let of = |annotation: &str| {
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a, namespace: b}}\nspec:\n  template:\n    metadata: {{annotations: {{bailiwick.dev/opaque-ports: {annotation:?}}}}}\n    spec: {{containers: []}}\n"
        );
        let found = contents(&text);
        let Some(Fact::Workload { workload, remarks, .. }) = found.facts.first() else { panic!("{text}") };
        (workload.opaque_ports.iter().map(|port| port.number()).collect::<Vec<_>>(), remarks.len())
    };
    assert_eq!(of("3306"), (vec![3306], 0));
    assert_eq!(of(" 6379-6381 ,3306,"), (vec![3306, 6379, 6380, 6381], 0));
    assert_eq!(of(""), (vec![], 0));
    for (wrong, ports) in
        [("http", vec![]), ("0", vec![]), ("9-8", vec![]), ("1-65535", vec![]), ("x,5", vec![5])]
    {
        assert_eq!(of(wrong), (ports, 1), "{wrong}: told, and the workload stays");
    }
}
