//! What is to be written and removed; pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bailiwick_pod::names::BUNDLE_FILE;
use k8s_openapi::api::core::v1::ConfigMap;

use super::write::MANAGED_BY;
use crate::cluster::context::OPERATOR;
use crate::cluster::stores::Stores;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The namespace has no bundle, or another one.
    Write { namespace: String },
    /// Nobody needs it there any more. It is removed only in this version.
    Remove { namespace: String, version: String },
}

impl Step {
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Write { namespace } | Self::Remove { namespace, .. } => namespace,
        }
    }
}

/// Compares what should be with what is.
///
/// A namespace that was enrolled keeps its bundle while a pod there still has a sidecar: it would not start again
/// without. What bears our name and not our label is somebody else's, and is overwritten only where the name is needed.
pub(super) fn plan(stores: &Stores, held: &[Arc<ConfigMap>], bundle: &str) -> Vec<Step> {
    let held: BTreeMap<&str, &ConfigMap> =
        held.iter().filter_map(|map| Some((map.metadata.namespace.as_deref()?, &**map))).collect();
    let mut wanted = BTreeSet::new();
    let mut there = BTreeSet::new();
    for (name, item) in stores.namespaces.list() {
        if item.content.terminating {
            continue;
        }
        if item.content.is_enrolled() {
            wanted.insert(name.name.clone());
        }
        there.insert(name.name);
    }
    let used: BTreeSet<String> = stores
        .pods
        .list()
        .into_iter()
        .filter(|(_, item)| item.content.is_live() && item.content.has_sidecar())
        .map(|(name, _)| name.namespace)
        .collect();
    let needs = |namespace: &str| !held.get(namespace).is_some_and(|map| is_bundle(map, bundle));
    let mut steps: Vec<Step> = wanted
        .iter()
        .chain(used.iter().filter(|namespace| there.contains(*namespace)))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|namespace| needs(namespace))
        .map(|namespace| Step::Write { namespace: namespace.clone() })
        .collect();
    let unused = held.iter().filter(|(namespace, map)| {
        there.contains(**namespace)
            && !wanted.contains(**namespace)
            && !used.contains(**namespace)
            && is_ours(map)
    });
    steps.extend(unused.map(|(namespace, map)| Step::Remove {
        namespace: (*namespace).to_owned(),
        version: map.metadata.resource_version.clone().unwrap_or_default(),
    }));
    steps
}

/// Exactly our bundle and nothing beside it.
fn is_bundle(map: &ConfigMap, bundle: &str) -> bool {
    let data = map.data.as_ref();
    data.is_some_and(|data| data.len() == 1 && data.get(BUNDLE_FILE).is_some_and(|text| text == bundle))
        && is_ours(map)
}

fn is_ours(map: &ConfigMap) -> bool {
    let labels = map.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|value| value == OPERATOR)
}
