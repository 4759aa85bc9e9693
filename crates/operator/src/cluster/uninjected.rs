//! Pods that should have a sidecar and have none: they were there before their namespace was enrolled, or share their
//! node's network. Nothing is decided at them, so they are told: an event beside each, and a metric.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick_injector::Settings;
use bailiwick_policy::WorkloadKey;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::sleep;

use super::bundles::Leads;
use super::context::ClusterContext;
use super::events::{self, Events, Reason};
use super::injection::Injection;
use super::stores::{Name, Stores};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(15);
/// The API server forgets events after an hour.
const AGAIN: Duration = Duration::from_secs(30 * 60);

/// A pod without sidecar, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Uninjected {
    name: Name,
    uid: String,
    why: &'static str,
}

/// Looks until the drain begins. The leader writes the events.
pub(super) async fn watch(
    context: ClusterContext,
    injection: Injection,
    leads: Leads,
    (events, gauge): (Events, Gauge),
) {
    let mut told = BTreeMap::<String, Instant>::new();
    loop {
        tokio::select! {
            () = context.drain.signaled() => return,
            () = sleep(LOOK) => {}
        }
        let found = find(&context.stores, injection.settings().ok());
        gauge.set(i64::try_from(found.len()).unwrap_or(i64::MAX));
        told.retain(|_, last| last.elapsed() < AGAIN);
        for pod in found.iter().filter(|_| leads()) {
            if told.contains_key(&pod.uid) {
                continue;
            }
            let (Ok(namespace), Ok(name)) = (pod.name.namespace.parse(), pod.name.name.parse()) else {
                continue;
            };
            let about = events::pod(&WorkloadKey { namespace, name }, &pod.uid);
            tracing::warn!(pod = %pod.name, "a pod of an enrolled namespace has no sidecar: {}", pod.why);
            events.warn(about, Reason::PodNotInjected, pod.why);
            told.insert(pod.uid.clone(), Instant::now());
        }
    }
}

fn find(stores: &Stores, settings: Option<Arc<Settings>>) -> Vec<Uninjected> {
    let exempt = |namespace: &str, account: &str| {
        settings.as_ref().is_some_and(|settings| settings.is_exempt(namespace, account))
    };
    let mut found = Vec::new();
    for (name, item) in stores.pods.list() {
        let pod = &item.content;
        if !pod.is_live() || pod.has_sidecar() || exempt(&name.namespace, &pod.service_account) {
            continue;
        }
        if !stores.is_enrolled(&name.namespace) {
            continue;
        }
        let why = if pod.host_network {
            "it shares its node's network, where nothing can be captured: no call to it is decided; run it without hostNetwork, or exempt it"
        } else {
            "it was there before its namespace was enrolled: no call to it is decided; restart it"
        };
        found.push(Uninjected { name, uid: item.uid.clone(), why });
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::fake_api::settings;

    #[test]
    fn only_live_pods_of_enrolled_namespaces_that_are_not_exempt_are_told() {
        let stores = Stores::new();
        for (name, labels) in [("shop", json!({"bailiwick.dev/inject": "enabled"})), ("other", json!({}))] {
            stores.namespaces.apply(json!({
                "metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": labels},
            }));
        }
        let pod = |namespace: &str, name: &str, spec: Value, phase: &str| {
            stores.pods.apply(json!({
                "metadata": {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1"},
                "spec": spec, "status": {"phase": phase},
            }));
        };
        let sidecar = json!({"initContainers": [{"name": "bailiwick-sidecar", "restartPolicy": "Always"}]});
        pod("shop", "good", sidecar, "Running");
        pod("shop", "old", json!({}), "Running");
        pod("shop", "node", json!({"hostNetwork": true}), "Pending");
        pod("shop", "done", json!({}), "Succeeded");
        pod("shop", "agent", json!({"serviceAccountName": "agent"}), "Running");
        pod("other", "free", json!({}), "Running");
        let found = find(&stores, Some(Arc::new(settings("shop/agent"))));
        let names: Vec<_> = found.iter().map(|pod| pod.name.to_string()).collect();
        assert_eq!(names, ["shop/node", "shop/old"]);
        assert!(found[0].why.contains("hostNetwork") && found[1].why.contains("restart"));
        assert_eq!(find(&stores, None).len(), 3, "without settings nobody is exempt");
    }
}
