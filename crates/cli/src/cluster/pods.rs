//! Pods as people name them: by themselves, or by what made them.

use std::collections::BTreeMap;

use bailiwick_pod::names;
use bailiwick_policy::WorkloadKey;
use serde_json::Value;

use super::{flag, items, labels, text};

/// What is known of a pod beside what the compile reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PodFacts {
    /// Kind and name of what made it: a ReplicaSet's Deployment, otherwise its controller.
    pub(crate) owner: Option<(String, String)>,
    /// The ReplicaSet of a Deployment's pod, which names it as well.
    pub(crate) replica_set: Option<String>,
    /// RFC 3339, which sorts by time.
    pub(crate) created: String,
    /// True if its spec has our sidecar and it has its own network.
    pub(crate) sidecar: bool,
    /// True once its deletion was asked for.
    pub(crate) ending: bool,
}

/// The live pods of a cluster; empty where there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pods(BTreeMap<WorkloadKey, PodFacts>);

/// True if nothing of the pod runs any more.
pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// True if the installation's settings exempt a pod.
pub(crate) fn exempts(settings: &Value, pod: &Value) -> bool {
    let account = match text(pod, "/spec/serviceAccountName") {
        "" => "default",
        account => account,
    };
    let pair = format!("{}/{account}", text(pod, "/metadata/namespace"));
    text(settings, "/data/exempt").lines().any(|line| line == pair)
}

impl PodFacts {
    /// Reads a pod.
    pub(crate) fn of(pod: &Value) -> Self {
        let controller = items(pod, "/metadata/ownerReferences")
            .iter()
            .find(|owner| flag(owner, "/controller"))
            .map(|owner| (text(owner, "/kind").to_owned(), text(owner, "/name").to_owned()));
        let hash = labels(pod).get("pod-template-hash").map(|hash| format!("-{hash}"));
        let mut replica_set = None;
        let owner = controller.map(|(kind, name)| {
            let deployment = hash.as_ref().and_then(|hash| name.strip_suffix(hash.as_str()));
            match deployment.filter(|_| kind == "ReplicaSet").map(str::to_owned) {
                Some(deployment) => {
                    replica_set = Some(name);
                    ("Deployment".to_owned(), deployment)
                }
                None => (kind, name),
            }
        });
        Self {
            owner,
            replica_set,
            created: text(pod, "/metadata/creationTimestamp").to_owned(),
            sidecar: has_sidecar(pod),
            ending: !text(pod, "/metadata/deletionTimestamp").is_empty(),
        }
    }
}

/// True if the pod's own spec has our sidecar: never a label's or an annotation's word.
fn has_sidecar(pod: &Value) -> bool {
    !flag(pod, "/spec/hostNetwork")
        && items(pod, "/spec/initContainers").iter().any(|container| {
            text(container, "/name") == names::SIDECAR_CONTAINER
                && text(container, "/restartPolicy") == "Always"
        })
}

impl Pods {
    /// The pods among some objects that are not over.
    pub(crate) fn of<'a>(pods: impl IntoIterator<Item = &'a Value>) -> Self {
        let pair = |pod: &Value| {
            let namespace = text(pod, "/metadata/namespace").parse().ok()?;
            let name = text(pod, "/metadata/name").parse().ok()?;
            Some((WorkloadKey { namespace, name }, PodFacts::of(pod)))
        };
        Self(pods.into_iter().filter(|pod| !is_over(pod)).filter_map(pair).collect())
    }

    /// What is known of one.
    pub(crate) fn facts(&self, key: &WorkloadKey) -> Option<&PodFacts> {
        self.0.get(key)
    }

    /// The pods of an owner `namespace/name`, the newest first, those that are ending last.
    pub(crate) fn owned_by(&self, namespace: &str, name: &str) -> Vec<WorkloadKey> {
        let is_owner = |facts: &PodFacts| {
            facts.owner.as_ref().is_some_and(|(_, owner)| owner == name)
                || facts.replica_set.as_deref() == Some(name)
        };
        let of_namespace = self.0.iter().filter(|(key, _)| key.namespace.as_str() == namespace);
        let mut found: Vec<_> = of_namespace.filter(|(_, facts)| is_owner(facts)).collect();
        found.sort_by(|(left_key, left), (right_key, right)| {
            let order = left.ending.cmp(&right.ending).then_with(|| right.created.cmp(&left.created));
            order.then_with(|| left_key.cmp(right_key))
        });
        found.into_iter().map(|(key, _)| key.clone()).collect()
    }

    /// Every owner as `namespace/name`, for suggestions.
    pub(crate) fn owners(&self) -> Vec<String> {
        let name = |(key, facts): (&WorkloadKey, &PodFacts)| {
            facts.owner.as_ref().map(|(_, name)| format!("{}/{name}", key.namespace))
        };
        let mut owners: Vec<String> = self.0.iter().filter_map(name).collect();
        owners.dedup();
        owners
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, created: &str, owner: (&str, &str)) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created,
                "labels": {"pod-template-hash": "abc"},
                "ownerReferences": [{"kind": owner.0, "name": owner.1, "controller": true}]},
            "spec": {"initContainers": [{"name": "bailiwick-sidecar", "restartPolicy": "Always"}]},
            "status": {"phase": "Running"},
        })
    }

    #[test]
    fn a_pod_is_named_by_what_made_it() {
        let old = pod("web-abc-1", "2026-01-01T00:00:00Z", ("ReplicaSet", "web-abc"));
        let new = pod("web-abc-2", "2026-01-02T00:00:00Z", ("ReplicaSet", "web-abc"));
        let set = pod("db-0", "2026-01-01T00:00:00Z", ("StatefulSet", "db"));
        let pods = Pods::of([&old, &new, &set]);
        let names = |name: &str| -> Vec<String> {
            pods.owned_by("shop", name).iter().map(|key| key.name.to_string()).collect()
        };
        assert_eq!(names("web"), ["web-abc-2", "web-abc-1"]);
        assert_eq!(names("web-abc"), ["web-abc-2", "web-abc-1"]);
        assert_eq!(names("db"), ["db-0"]);
        assert_eq!(pods.owners(), ["shop/db", "shop/web"]);
        assert!(pods.facts(&pods.owned_by("shop", "db")[0]).unwrap().sidecar);
    }
}
