//! Shared state for tests: real certificates, nobody to ask.

use std::net::IpAddr;
use std::sync::Arc;

use bailiwick_agent::audit::{AuditSink, EventIds};
use bailiwick_agent::{ConfigStore, Destinations, Dialer, Reports};
use bailiwick_authn::{ClientTls, CredentialStore, Credentials, TrustStore};
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::ready::Readiness;
use bailiwick_testkit::TestAuthority;

use super::Shared;
use crate::config::Limits;
use crate::connections::Connections;
use crate::metrics::SidecarMetrics;

/// Credentials of an identity.
pub(crate) fn credentials(authority: &TestAuthority, id: &str) -> Credentials {
    let issued = authority.issue(id);
    Credentials::new(issued.chain.clone(), issued.key_der()).unwrap()
}

/// The state of a sidecar with a certificate for `id`, without a snapshot.
pub(crate) fn shared(authority: &TestAuthority, id: &str, limits: Limits) -> Arc<Shared> {
    shared_in_pod(authority, id, limits, Vec::new())
}

/// The same in a pod with these addresses, whose connections are captured.
pub(crate) fn shared_in_pod(
    authority: &TestAuthority,
    id: &str,
    limits: Limits,
    pod_addresses: Vec<IpAddr>,
) -> Arc<Shared> {
    let store = Arc::new(CredentialStore::default());
    store.replace(credentials(authority, id));
    let trust = Arc::new(TrustStore::new(authority.bundle()).unwrap());
    let tls = Arc::new(ClientTls::control(Arc::clone(&store), Arc::clone(&trust)));
    let dialer = Dialer::new("127.0.0.1:9", id.parse().unwrap(), tls);
    let (destinations, _) = Destinations::new(dialer.clone(), Arc::clone(&store));
    let (reports, _) = Reports::new(dialer, Arc::clone(&store));
    let metrics = SidecarMetrics::for_test();
    let (readiness, starting) = Readiness::starting();
    starting.done();
    Arc::new(Shared {
        workload: bailiwick_policy::WorkloadKey {
            namespace: "shop".parse().unwrap(),
            name: "web".parse().unwrap(),
        },
        config: Arc::new(ConfigStore::default()),
        client_tls: ClientTls::mesh(Arc::clone(&store), Arc::clone(&trust)),
        credentials: store,
        trust,
        destinations,
        reports,
        audit: AuditSink::to_writer(std::io::sink(), 64).unwrap(),
        ids: EventIds::default(),
        connections: Connections::new(&limits, &metrics),
        metrics,
        limits,
        own_listeners: super::OwnListeners::default(),
        pod_addresses,
        node: crate::node::Node::default(),
        drain: Drain::new(),
        grace: std::time::Duration::from_millis(200),
        readiness,
        started: tokio::sync::SetOnce::new(),
        output_proof: Arc::new(crate::proof::OutputProof::default()),
    })
}
