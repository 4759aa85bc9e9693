//! What only a cluster needs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use bailiwick_identity::{Namespace, TrustDomain, WorkloadName};
use bailiwick_pod::ports;
use bailiwick_runtime::admin::AdminConfig;
use bailiwick_runtime::config::Collector;

use super::{Listeners, PodVariables, RawConfig, listen, path};

const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";
const DEFAULT_CA_SECRET: &str = "bailiwick-ca";

/// What only a cluster needs.
#[derive(Debug, Clone)]
pub(crate) struct ClusterSettings {
    /// The operator's own namespace (`POD_NAMESPACE`).
    pub(crate) namespace: Namespace,
    /// The operator's own pod (`POD_NAME`).
    pub(crate) pod_name: WorkloadName,
    /// Where the other replicas reach this one (`POD_IP`).
    pub(crate) pod_ip: IpAddr,
    /// The mesh's own trust domain, for which the root vouches.
    pub(crate) trust_domain: TrustDomain,
    /// The Secret that holds the root.
    pub(crate) ca_secret: WorkloadName,
    /// Whether a token must come from an address of its own pod.
    pub(crate) check_pod_address: bool,
    /// The roots that must vouch for whoever calls the webhooks.
    pub(crate) webhook_client_roots: Option<PathBuf>,
    pub(crate) replicas_listen: SocketAddr,
    /// Reachable from outside of the pod.
    pub(crate) probes: AdminConfig,
    pub(crate) webhook_listen: SocketAddr,
}

/// Checks the part of the configuration that only a cluster needs.
pub(super) fn settings(
    collector: &mut Collector,
    raw: &RawConfig,
    pod: &PodVariables,
    listeners: &mut Listeners,
) -> Option<ClusterSettings> {
    let everywhere = |port: u16| format!("[::]:{port}");
    let of_pod = [("POD_NAMESPACE", &pod.namespace), ("POD_NAME", &pod.name), ("POD_IP", &pod.address)];
    for (name, _) in of_pod.into_iter().filter(|(_, value)| value.is_none()) {
        let what = "is not set: in a cluster the pod's manifest sets it; to read a folder, give `source`";
        collector.mistake(name, what);
    }
    let namespace = pod.namespace.as_deref().and_then(|text| collector.value("POD_NAMESPACE", text.parse()));
    let pod_name = pod.name.as_deref().and_then(|text| collector.value("POD_NAME", text.parse()));
    let pod_ip = pod.address.as_deref().and_then(|text| collector.value("POD_IP", text.parse()));
    let domain = raw.trust_domain.as_deref().unwrap_or(DEFAULT_TRUST_DOMAIN);
    let trust_domain = collector.value("trustDomain", domain.parse());
    let secret = raw.ca_secret.as_deref().unwrap_or(DEFAULT_CA_SECRET);
    let ca_secret = collector.value("caSecret", secret.parse());
    let replicas_listen =
        listen(collector, "replicasListen", &raw.replicas_listen, &everywhere(ports::OPERATOR_REPLICAS));
    let probes_listen =
        listen(collector, "probesListen", &raw.probes_listen, &everywhere(ports::OPERATOR_PROBES));
    let webhook_listen =
        listen(collector, "webhookListen", &raw.webhook_listen, &everywhere(ports::OPERATOR_WEBHOOK));
    listeners.extend([
        ("replicasListen", replicas_listen),
        ("probesListen", probes_listen),
        ("webhookListen", webhook_listen),
    ]);
    Some(ClusterSettings {
        namespace: namespace?,
        pod_name: pod_name?,
        pod_ip: pod_ip?,
        trust_domain: trust_domain?,
        ca_secret: ca_secret?,
        check_pod_address: raw.check_pod_address.unwrap_or(true),
        webhook_client_roots: path(collector, "webhookClientRoots", raw.webhook_client_roots.clone()),
        replicas_listen: replicas_listen?,
        probes: AdminConfig::anywhere(probes_listen?),
        webhook_listen: webhook_listen?,
    })
}
