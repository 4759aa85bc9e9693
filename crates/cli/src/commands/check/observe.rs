//! Everything that is looked at, read once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::Value;

use super::kubernetes::{Permission, asked};
use crate::cluster::{Cluster, ClusterError, ask_all, labels, text};
use crate::reports::{Reports, enrolled};

/// What was read, or why it could not be.
pub(super) type Seen<T> = Result<T, String>;

/// The admission policies of the chart.
pub(super) const POLICIES: [&str; 4] =
    ["bailiwick-bundle", "bailiwick-pods", "bailiwick-pod-updates", "bailiwick-ephemeral-containers"];

/// A cluster as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub(super) now: Timestamp,
    pub(super) address: String,
    pub(super) operator_namespace: String,
    pub(super) version: Seen<Value>,
    pub(super) nodes: Seen<Vec<Value>>,
    pub(super) namespaces: Seen<Vec<Value>>,
    pub(super) pods: Seen<Vec<Value>>,
    pub(super) network_policies: Seen<Vec<Value>>,
    /// True if ClusterTrustBundles are served.
    pub(super) trust_bundles: Seen<bool>,
    pub(super) permissions: Vec<(Permission, Seen<bool>)>,
    /// What Bailiwick brings; `None` before the installation.
    pub(super) installed: Option<Installed>,
}

/// An admission policy, and its binding of the same name.
pub(super) type PolicyAndBinding = (Seen<Option<Value>>, Seen<Option<Value>>);

/// Bailiwick's own objects.
#[derive(Debug, Clone)]
pub(super) struct Installed {
    pub(super) definitions: Seen<Vec<Value>>,
    pub(super) injector: Seen<Option<Value>>,
    pub(super) objects: Seen<Option<Value>>,
    /// Each of [`POLICIES`] and its binding.
    pub(super) policies: BTreeMap<&'static str, PolicyAndBinding>,
    /// The parameter object.
    pub(super) injection: Seen<Option<Value>>,
    /// The ConfigMaps with the mesh's roots.
    pub(super) bundles: Seen<Vec<Value>>,
    pub(super) trust_bundle: Seen<Option<Value>>,
    pub(super) deployment: Seen<Option<Value>>,
    pub(super) lease: Seen<Option<Value>>,
    pub(super) operators: Seen<Vec<Value>>,
    pub(super) reports: Reports,
    pub(super) authentications: Seen<Vec<Value>>,
}

fn seen<T>(read: Result<T, ClusterError>) -> Seen<T> {
    read.map_err(|error| error.to_string())
}

impl Observed {
    /// Looks at everything.
    pub(super) async fn read(cluster: &Cluster, pre: bool) -> Self {
        let required = |read: Result<Option<Value>, ClusterError>| {
            seen(read).and_then(|found| found.ok_or_else(|| "it does not exist".to_owned()))
        };
        let version = required(cluster.get("/version").await);
        let (nodes, namespaces, pods, network_policies, certificates) = tokio::join!(
            cluster.list("/api/v1/nodes"),
            cluster.list("/api/v1/namespaces"),
            cluster.list("/api/v1/pods"),
            cluster.list("/apis/networking.k8s.io/v1/networkpolicies"),
            cluster.get("/apis/certificates.k8s.io/v1"),
        );
        let serves = |list: Option<Value>| {
            let resources = list.as_ref().map(|list| crate::cluster::items(list, "/resources"));
            let mut resources = resources.unwrap_or_default().iter();
            resources.any(|resource| text(resource, "/name") == "clustertrustbundles")
        };
        Self {
            now: Timestamp::now(),
            address: cluster.address.clone(),
            operator_namespace: cluster.operator_namespace.clone(),
            version,
            nodes: seen(nodes),
            namespaces: seen(namespaces),
            pods: seen(pods),
            network_policies: seen(network_policies),
            trust_bundles: seen(certificates).map(serves),
            permissions: permissions(cluster, pre).await,
            installed: if pre { None } else { Some(Installed::read(cluster).await) },
        }
    }

    /// The enrolled namespaces, without those that are never injected.
    pub(super) fn enrolled(&self) -> Vec<&Value> {
        let namespaces = self.namespaces.as_deref().unwrap_or_default();
        namespaces.iter().filter(|namespace| enrolled(namespace, &self.operator_namespace)).collect()
    }

    /// The labels of a namespace.
    pub(super) fn namespace_labels(&self, name: &str) -> BTreeMap<&str, &str> {
        let namespaces = self.namespaces.as_deref().unwrap_or_default();
        let found = namespaces.iter().find(|namespace| text(namespace, "/metadata/name") == name);
        found.map(labels).unwrap_or_default()
    }
}

async fn permissions(cluster: &Cluster, pre: bool) -> Vec<(Permission, Seen<bool>)> {
    let namespace = cluster.operator_namespace.as_str();
    let answers = asked(pre).into_iter().map(async |permission| {
        let answer = seen(cluster.may(permission.verb, &permission.resource(namespace)).await);
        (permission, answer)
    });
    join_all(answers).await
}

impl Installed {
    async fn read(cluster: &Cluster) -> Self {
        const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
        let namespace = &cluster.operator_namespace;
        let get = async |path: String| seen(cluster.get(&path).await);
        let mut policies = BTreeMap::new();
        for name in POLICIES {
            let policy = get(format!("{ADMISSION}/validatingadmissionpolicies/{name}")).await;
            let binding = get(format!("{ADMISSION}/validatingadmissionpolicybindings/{name}")).await;
            policies.insert(name, (policy, binding));
        }
        let operators = seen(crate::cluster::operator_pods(cluster).await);
        let replicas = ask_all(cluster, operators.as_deref().unwrap_or_default(), "/config").await;
        let lease =
            get(format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/bailiwick-operator"))
                .await;
        let leader =
            lease.as_ref().ok().and_then(Option::as_ref).map(|lease| text(lease, "/spec/holderIdentity"));
        let reports = Reports::merge(&replicas, leader);
        let definitions = cluster.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").await;
        let ours = |all: Vec<Value>| {
            all.into_iter().filter(|one| text(one, "/spec/group") == bailiwick_api::GROUP).collect()
        };
        Self {
            definitions: seen(definitions).map(ours),
            injector: get(format!("{ADMISSION}/mutatingwebhookconfigurations/bailiwick-injector")).await,
            objects: get(format!("{ADMISSION}/validatingwebhookconfigurations/bailiwick-objects")).await,
            policies,
            injection: get(format!("/api/v1/namespaces/{namespace}/configmaps/bailiwick-injection")).await,
            bundles: seen(
                cluster.list("/api/v1/configmaps?fieldSelector=metadata.name%3Dbailiwick-bundle").await,
            ),
            trust_bundle: get(
                "/apis/certificates.k8s.io/v1/clustertrustbundles/bailiwick.dev:identity:bailiwick-bundle"
                    .to_owned(),
            )
            .await,
            deployment: get(format!("/apis/apps/v1/namespaces/{namespace}/deployments/bailiwick-operator"))
                .await,
            lease,
            operators,
            reports,
            authentications: seen(
                cluster.list(&format!("/apis/{}/bwauthentications", bailiwick_api::API_VERSION)).await,
            ),
        }
    }
}
