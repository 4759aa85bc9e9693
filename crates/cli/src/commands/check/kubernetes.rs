//! What the cluster brings: its version, what the caller may do, Pod Security, trust bundles.

use serde_json::Value;

use super::fact::{Fact, Hint, count, listed};
use super::observe::{Observed, Seen};
use crate::cluster::{Resource, labels, text};

/// Native sidecars are stable from here on.
const LEAST: (u32, u32) = (1, 33);
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// The API server, and the nodes.
pub(super) fn api(observed: &Observed) -> Vec<Fact> {
    let version = match &observed.version {
        Ok(version) => version,
        Err(why) => {
            let text = format!("{} does not answer: {why}", observed.address);
            let todo = "is it the right context, and does `kubectl version` answer?";
            return vec![Fact::failure(text, todo, Hint::Kubeconfig)];
        }
    };
    let mut facts = vec![Fact::ok(format!("the API server answers at {}", observed.address))];
    let version = text(version, "/gitVersion");
    facts.push(if parsed(version) >= Some(LEAST) {
        Fact::ok(format!("Kubernetes {version} is 1.33 or newer"))
    } else {
        let todo =
            "upgrade the control plane: sidecars need native sidecar containers, which are stable from 1.33";
        Fact::failure(format!("Kubernetes {version} is older than 1.33"), todo, Hint::KubernetesVersion)
    });
    facts.push(nodes(&observed.nodes));
    facts
}

fn nodes(nodes: &Seen<Vec<Value>>) -> Fact {
    let nodes = match nodes {
        Ok(nodes) => nodes,
        Err(why) => return Fact::unseen("the nodes' versions", why),
    };
    let version = |node| text(node, "/status/nodeInfo/kubeletVersion");
    let old: Vec<String> = nodes
        .iter()
        .filter(|node| parsed(version(node)) < Some(LEAST))
        .map(|node| format!("{} ({})", text(node, "/metadata/name"), version(node)))
        .collect();
    if old.is_empty() {
        Fact::ok(format!("{} with a kubelet of 1.33 or newer", count(nodes.len(), "node")))
    } else {
        let text = format!("kubelets older than 1.33: {}", listed(&old));
        Fact::failure(text, "upgrade those nodes, or keep enrolled pods from them", Hint::NodeVersion)
    }
}

/// `v1.33.2+k3s1` is (1, 33).
fn parsed(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    let mut number = || {
        let part = parts.next()?;
        let digits = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        part.get(..digits)?.parse().ok()
    };
    Some((number()?, number()?))
}

/// Something that the caller needs to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permission {
    pub(super) verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    /// In the operator's namespace, or in all.
    there: bool,
    /// What it is for.
    pub(super) what: &'static str,
}

impl Permission {
    const fn new(
        verb: &'static str,
        (group, resource, subresource): (&'static str, &'static str, &'static str),
        there: bool,
        what: &'static str,
    ) -> Self {
        Self { verb, group, resource, subresource, there, what }
    }

    pub(super) const fn resource<'a>(&self, operator_namespace: &'a str) -> Resource<'a> {
        Resource {
            group: self.group,
            name: self.resource,
            subresource: self.subresource,
            namespace: if self.there { operator_namespace } else { "" },
        }
    }

    fn name(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("{} {}{slash}{}{dot}{}", self.verb, self.resource, self.subresource, self.group)
    }
}

/// What is asked of the API server: what the installation needs, or what these commands need.
pub(super) fn asked(pre: bool) -> Vec<Permission> {
    const ADMISSION: &str = "admissionregistration.k8s.io";
    const RBAC: &str = "rbac.authorization.k8s.io";
    let install = "`helm install` creates it";
    let need = "`check`, `status`, `can` and `why` read it";
    let create = |group, resource, there| Permission::new("create", (group, resource, ""), there, install);
    let list = |group, resource, there| Permission::new("list", (group, resource, ""), there, need);
    if pre {
        vec![
            create("", "namespaces", false),
            create("apiextensions.k8s.io", "customresourcedefinitions", false),
            create(RBAC, "clusterroles", false),
            create(RBAC, "clusterrolebindings", false),
            create(ADMISSION, "mutatingwebhookconfigurations", false),
            create(ADMISSION, "validatingwebhookconfigurations", false),
            create(ADMISSION, "validatingadmissionpolicies", false),
            create(ADMISSION, "validatingadmissionpolicybindings", false),
            create("scheduling.k8s.io", "priorityclasses", false),
            create("apps", "deployments", true),
            create("batch", "jobs", true),
            create("", "serviceaccounts", true),
            create("", "services", true),
            create("", "configmaps", true),
            create("", "secrets", true),
            create(RBAC, "roles", true),
            create(RBAC, "rolebindings", true),
            create("policy", "poddisruptionbudgets", true),
            create("networking.k8s.io", "networkpolicies", true),
        ]
    } else {
        vec![
            list("", "pods", false),
            list("", "namespaces", false),
            list("", "services", false),
            list(bailiwick_api::GROUP, "bwpolicies", false),
            list(bailiwick_api::GROUP, "bwclusterpolicies", false),
            list(bailiwick_api::GROUP, "bwtrustdomains", false),
            Permission::new(
                "create",
                ("", "pods", "portforward"),
                true,
                "`status` and `why` ask the operator by it",
            ),
        ]
    }
}

/// What the caller may do.
pub(super) fn permissions(observed: &Observed) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut granted = 0;
    for (permission, answer) in &observed.permissions {
        match answer {
            Ok(true) => granted += 1,
            Ok(false) => {
                let place =
                    if permission.there { observed.operator_namespace.as_str() } else { "the cluster" };
                let text = format!("you may not {} in {place}: {}", permission.name(), permission.what);
                let todo = "use an account that may, such as one bound to ClusterRole cluster-admin";
                facts.push(Fact::failure(text, todo, Hint::Permissions));
            }
            Err(why) => facts.push(Fact::unseen(&format!("whether you may {}", permission.name()), why)),
        }
    }
    if granted > 0 {
        let of = if observed.installed.is_some() { "these commands need" } else { "the installation needs" };
        facts.insert(
            0,
            Fact::ok(format!("you may do {granted} of {} things that {of}", observed.permissions.len())),
        );
    }
    facts
}

/// Namespaces whose Pod Security forbids the capture container, which needs `NET_ADMIN`.
pub(super) fn pod_security(observed: &Observed) -> Vec<Fact> {
    let namespaces = match &observed.namespaces {
        Ok(namespaces) => namespaces,
        Err(why) => return vec![Fact::unseen("the namespaces", why)],
    };
    let forbids =
        |namespace: &&&Value| matches!(labels(namespace).get(ENFORCE), Some(&("baseline" | "restricted")));
    let name = |namespace: &&Value| text(namespace, "/metadata/name").to_owned();
    let enrolled = observed.enrolled();
    let mut facts = Vec::new();
    for namespace in enrolled.iter().filter(forbids) {
        let level = labels(namespace).get(ENFORCE).copied().unwrap_or_default();
        let text = format!(
            "enrolled namespace {} has Pod Security `{level}`: its pods are refused",
            name(namespace)
        );
        let todo = format!("kubectl label namespace {} {ENFORCE}=privileged --overwrite", name(namespace));
        facts.push(Fact::failure(text, todo, Hint::PodSecurity));
    }
    let all: Vec<&Value> = namespaces.iter().collect();
    let is_enrolled = |namespace: &&Value| enrolled.iter().any(|one| std::ptr::eq(*one, *namespace));
    let later: Vec<String> = all
        .iter()
        .filter(forbids)
        .copied()
        .filter(|namespace| !is_enrolled(namespace))
        .map(|namespace| name(&namespace))
        .collect();
    if !later.is_empty() {
        let text = format!("namespaces that cannot be enrolled as they are: {}", listed(&later));
        let todo =
            format!("before you enrol one: kubectl label namespace NAME {ENFORCE}=privileged --overwrite");
        facts.push(Fact::warning(text, todo, Hint::PodSecurity));
    }
    if facts.is_empty() {
        facts.push(Fact::ok("every namespace allows the capture container"));
    }
    facts
}

/// How pods get the mesh's roots.
pub(super) fn trust_bundle(observed: &Observed) -> Vec<Fact> {
    let served = match &observed.trust_bundles {
        Ok(served) => *served,
        Err(why) => return vec![Fact::unseen("whether ClusterTrustBundles are served", why)],
    };
    let Some(installed) = &observed.installed else {
        return vec![Fact::ok(if served {
            "ClusterTrustBundles are served: pods get the mesh's roots by them"
        } else {
            "ClusterTrustBundles are not served: pods get the mesh's roots by a ConfigMap in their namespace"
        })];
    };
    let injection = match &installed.injection {
        Ok(Some(injection)) => injection,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![Fact::unseen("how pods get the mesh's roots", why)],
    };
    let restart = "look at the operator's log and events: kubectl -n bailiwick-system logs deployment/bailiwick-operator";
    if text(injection, "/data/bundle") == "ClusterTrustBundle" {
        return vec![match (served, &installed.trust_bundle) {
            (false, _) => Fact::failure(
                "injected pods mount a ClusterTrustBundle, and the API server does not serve that kind",
                "helm upgrade --set injection.bundle=configMap, or turn ClusterTrustBundles on",
                Hint::TrustBundle,
            ),
            (true, Ok(None)) => Fact::failure(
                "ClusterTrustBundle bailiwick.dev:identity:bailiwick-bundle is missing: new pods wait for it",
                restart,
                Hint::TrustBundle,
            ),
            (true, Ok(Some(_))) => {
                Fact::ok("pods get the mesh's roots by a ClusterTrustBundle, and it is there")
            }
            (true, Err(why)) => Fact::unseen("the ClusterTrustBundle", why),
        }];
    }
    let bundles = match &installed.bundles {
        Ok(bundles) => bundles,
        Err(why) => return vec![Fact::unseen("the ConfigMaps bailiwick-bundle", why)],
    };
    let has = |name: &str| bundles.iter().any(|bundle| text(bundle, "/metadata/namespace") == name);
    let names = observed.enrolled().into_iter().map(|namespace| text(namespace, "/metadata/name").to_owned());
    let missing: Vec<String> = names.filter(|name| !has(name)).collect();
    vec![if missing.is_empty() {
        Fact::ok("pods get the mesh's roots by a ConfigMap, and every enrolled namespace has it")
    } else {
        let text =
            format!("ConfigMap bailiwick-bundle is missing in {}: new pods wait for it", listed(&missing));
        Fact::failure(text, restart, Hint::TrustBundle)
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_are_read() {
        assert_eq!(parsed("v1.37.2"), Some((1, 37)));
        assert_eq!(parsed("v1.33+"), Some((1, 33)));
        assert_eq!(parsed("v1.32.5-eks-1"), Some((1, 32)));
        assert_eq!(parsed("what"), None);
    }
}
