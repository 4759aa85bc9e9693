use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::plan::{Step, plan};
use super::write::{Writer, trust_bundle_name};
use crate::cluster::fake_api::Fake;
use crate::cluster::stores::Stores;

const BUNDLE: &str = "-----BEGIN CERTIFICATE-----\n";

fn namespace(stores: &Stores, name: &str, labels: Value, deleted: bool) {
    let deleted = deleted.then_some("2026-01-01T00:00:00Z");
    stores.namespaces.apply(json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": labels, "deletionTimestamp": deleted},
    }));
}

fn pod(stores: &Stores, namespace: &str, phase: &str, sidecar: bool) {
    let init =
        if sidecar { json!([{"name": "bailiwick-sidecar", "restartPolicy": "Always"}]) } else { json!([]) };
    stores.pods.apply(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace, "uid": namespace, "resourceVersion": "1"},
        "spec": {"initContainers": init, "containers": []},
        "status": {"phase": phase},
    }));
}

fn held(namespace: &str, text: &str, ours: bool) -> Arc<ConfigMap> {
    let labels = if ours { json!({"app.kubernetes.io/managed-by": "bailiwick-operator"}) } else { json!({}) };
    let map = json!({
        "metadata": {"name": "bailiwick-bundle", "namespace": namespace, "resourceVersion": "9", "labels": labels},
        "data": {"bundle.pem": text},
    });
    Arc::new(serde_json::from_value(map).unwrap())
}

fn write(namespace: &str) -> Step {
    Step::Write { namespace: namespace.to_owned() }
}

#[test]
fn every_enrolled_namespace_gets_the_bundle_and_only_where_it_differs() {
    let stores = Stores::new();
    let enrolled = json!({"bailiwick.dev/inject": "enabled"});
    for name in ["absent", "same", "changed", "more", "foreign"] {
        namespace(&stores, name, enrolled.clone(), false);
    }
    namespace(&stores, "ending", enrolled, true);
    namespace(&stores, "other", json!({"bailiwick.dev/inject": "true"}), false);
    let mut more = (*held("more", BUNDLE, true)).clone();
    more.data.as_mut().unwrap().insert("x".to_owned(), "y".to_owned());
    let held = [
        held("same", BUNDLE, true),
        held("changed", "-----BEGIN CERTIFICATE-----\nevil", true),
        Arc::new(more),
        held("foreign", BUNDLE, false),
    ];
    let steps = plan(&stores, &held, BUNDLE);
    assert_eq!(steps, [write("absent"), write("changed"), write("foreign"), write("more")]);
}

#[test]
fn a_namespace_that_leaves_keeps_its_bundle_while_a_sidecar_is_there() {
    let stores = Stores::new();
    for name in ["in-use", "ended", "without", "users-own"] {
        namespace(&stores, name, json!({}), false);
    }
    pod(&stores, "in-use", "Running", true);
    pod(&stores, "ended", "Succeeded", true);
    pod(&stores, "without", "Running", false);
    let all = [
        held("in-use", BUNDLE, true),
        held("ended", BUNDLE, true),
        held("without", BUNDLE, true),
        held("users-own", "mine", false),
        held("gone", BUNDLE, true),
    ];
    let remove = |namespace: &str| Step::Remove { namespace: namespace.to_owned(), version: "9".to_owned() };
    assert_eq!(plan(&stores, &all, BUNDLE), [remove("ended"), remove("without")]);
    // Changed where a sidecar still reads it: mended all the same.
    assert_eq!(plan(&stores, &[held("in-use", "evil", true)], BUNDLE), [write("in-use")]);
}

#[tokio::test]
async fn writes_are_applied_by_our_own_manager_and_a_cluster_trust_bundle_where_there_is_one() {
    let fake = Fake::default();
    let mut writer = Writer::new(fake.client(), BUNDLE.to_owned());
    writer.write("shop").await.unwrap();
    let (path, map) = fake.lock().patches[0].clone();
    assert_eq!(path, "/api/v1/namespaces/shop/configmaps/bailiwick-bundle");
    assert_eq!(map["data"], json!({"bundle.pem": BUNDLE}));

    let list = |resources: Value| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "certificates.k8s.io/v1", "resources": resources});
    fake.put("/apis/certificates.k8s.io/v1", list(json!([])));
    writer.cluster_trust_bundle().await.unwrap();
    assert_eq!(fake.count("PATCH", "clustertrustbundles"), 0);
    let resource = json!({"name": "clustertrustbundles", "singularName": "", "namespaced": false, "kind": "ClusterTrustBundle", "verbs": []});
    fake.put("/apis/certificates.k8s.io/v1", list(json!([resource])));
    let mut writer = Writer::new(fake.client(), BUNDLE.to_owned());
    for _ in 0..3 {
        writer.cluster_trust_bundle().await.unwrap();
    }
    assert_eq!(trust_bundle_name(), "bailiwick.dev:identity:bailiwick-bundle");
    assert_eq!(fake.count("PATCH", "clustertrustbundles"), 1, "only where something differs");
}
