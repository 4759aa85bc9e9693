//! What statuses look up in the stores: pods, namespaces, and the objects as they are.

use std::sync::Arc;

use bailiwick_compile::ObjectKey;
use bailiwick_pod::names;
use bailiwick_policy::WorkloadKey;

use tokio::sync::watch;

use super::facts::{Phase, Pod};
use super::fleet::{Cluster, Injected, PodPlace};
use super::injection::Injection;
use super::status_writer::{Known, Shelf};
use super::stores::{Stores, number};

/// The cluster as the stores have it.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) stores: Arc<Stores>,
    /// Which pods the installation exempts.
    pub(crate) injection: Injection,
}

impl Live {
    /// Whether a pod has a sidecar, and if not, why.
    pub(crate) fn injected(&self, namespace: &str, pod: &Pod) -> Injected {
        if pod.has_sidecar() {
            Injected::Yes
        } else if self.injection.is_exempt(namespace, &pod.service_account) {
            Injected::Exempt
        } else if self.stores.is_enrolled(namespace) {
            Injected::Missing
        } else {
            Injected::NotEnrolled
        }
    }

    /// True if a namespace's label has the value `audit`.
    pub(crate) fn audits(&self, namespace: &str, label: &str) -> bool {
        let item = self.stores.namespaces.get("", namespace);
        item.is_some_and(|item| item.content.labels.get(label).is_some_and(|value| value == "audit"))
    }
}

/// True for pods that a status counts.
pub(crate) fn counts(pod: &Pod) -> bool {
    match pod.phase {
        Phase::Running => !pod.terminating,
        Phase::Pending | Phase::Succeeded | Phase::Failed | Phase::Unknown => false,
    }
}

impl Cluster for Live {
    fn pod(&self, workload: &WorkloadKey) -> PodPlace {
        let namespace = workload.namespace.as_str();
        let item = self.stores.pods.get(namespace, workload.name.as_str());
        match item.filter(|item| counts(&item.content)) {
            Some(item) => {
                let sidecar = self.injected(namespace, &item.content);
                PodPlace::Running { uid: item.uid.clone(), sidecar }
            }
            None => PodPlace::NotCounted,
        }
    }

    fn authorization_audited(&self, namespace: &str) -> bool {
        self.audits(namespace, names::AUTHORIZATION_LABEL)
    }
}

impl Shelf for Live {
    fn known(&self, key: &ObjectKey) -> Option<Known> {
        let item = self.stores.of_kind(key.kind)?.get(&key.namespace, &key.name)?;
        Some(Known {
            uid: item.uid.clone(),
            generation: item.content.generation,
            revision: number(&item.resource_version),
            status: item.content.status.clone(),
            summary: item.content.summary.clone(),
        })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.stores.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::workload;

    fn pod(name: &str, phase: &str, sidecar: bool) -> serde_json::Value {
        let ours = json!([{"name": names::SIDECAR_CONTAINER, "restartPolicy": "Always"}]);
        json!({
            "metadata": {"name": name, "namespace": "shop", "uid": format!("{name}-uid"), "resourceVersion": "5"},
            "spec": {"serviceAccountName": "sa", "initContainers": if sidecar { ours } else { json!([]) }},
            "status": {"phase": phase},
        })
    }

    #[test]
    fn running_pods_count_and_say_why_they_have_no_sidecar() {
        let nobody = Injection::fixed(Err("not read yet"));
        let live = Live { stores: Arc::new(Stores::new()), injection: nobody };
        for (name, phase, sidecar) in [
            ("a", "Running", true),
            ("b", "Pending", true),
            ("c", "Succeeded", true),
            ("d", "Running", false),
        ] {
            live.stores.pods.apply(pod(name, phase, sidecar));
        }
        let mut going = pod("e", "Running", true);
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        live.stores.pods.apply(going);
        let place = |name: &str| live.pod(&workload(&format!("shop/{name}")));
        let running = |name: &str, sidecar| PodPlace::Running { uid: format!("{name}-uid"), sidecar };
        assert_eq!(place("a"), running("a", Injected::Yes));
        for name in ["b", "c", "e", "f"] {
            assert_eq!(place(name), PodPlace::NotCounted, "{name}");
        }
        assert_eq!(place("d"), running("d", Injected::NotEnrolled));
        let labels = json!({"bailiwick.dev/inject": "enabled", "bailiwick.dev/authorization": "audit"});
        let metadata = json!({"name": "shop", "uid": "n", "resourceVersion": "7", "labels": labels});
        live.stores.namespaces.apply(json!({"metadata": metadata}));
        assert_eq!(place("d"), running("d", Injected::Missing));
        assert!(live.authorization_audited("shop") && !live.audits("shop", names::AUTHENTICATION_LABEL));
    }
}
