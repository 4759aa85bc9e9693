//! Two replicas and one sidecar: what was revoked is never given back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bailiwick_agent::{ConfigStore, ConfigStream, Dialer, StreamSettings};
use bailiwick_authn::{ClientTls, CredentialStore, Credentials, TrustStore};
use bailiwick_ca::Authority;
use bailiwick_compile::{Compiler, ObjectKind};
use bailiwick_policy::SnapshotId;
use bailiwick_runtime::accept::{Acceptor, ReusePort, listen};
use bailiwick_runtime::drain::Drain;
use bailiwick_runtime::metrics::Metrics;
use bailiwick_runtime::ready::Readiness;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::context::ClusterContext;
use super::destinations::ClusterDirectory;
use super::facts::Keep;
use super::source::ClusterSource;
use super::stores::{Reach as _, Store, own};
use super::testing::FakeApi;
use super::watch::url;
use super::{ClusterMarks, catch_up};
use crate::control::Control;
use crate::destinations::Directory;
use crate::identity::Prover;
use crate::marks::Marks;
use crate::pipeline::Pipeline;
use crate::tokens::Tokens;

const SOON: Duration = Duration::from_secs(10);

/// One replica, whose reflectors are moved by hand.
struct Replica {
    context: ClusterContext,
    control: Control,
    source: ClusterSource,
    configuration: SocketAddr,
    _drain: Drain,
    _folder: tempfile::TempDir,
}

impl Replica {
    async fn start(api: &FakeApi, authority: &Arc<Authority>) -> Self {
        let drain = Drain::new();
        let context = api.context(&drain);
        let metrics = Metrics::new("bailiwick_operator");
        let control =
            Control::open(Arc::clone(authority), "bailiwick-system", metrics, Readiness::starting().0)
                .unwrap();
        let outlets = control.outlets.clone();
        let marks = Marks::Cluster(ClusterMarks::new(7));
        let domain = authority.trust_domain().clone();
        let pipeline = Pipeline::new(Compiler::default(), marks, domain, outlets.clone());
        let directory = Arc::new(ClusterDirectory::new(&context));
        let stores = Arc::clone(&context.stores);
        let limits = Arc::clone(&control.limits);
        let source = ClusterSource::new(stores, (pipeline, outlets), limits, Arc::clone(&directory));
        let folder = tempfile::tempdir().unwrap();
        let tokens = Arc::new(Tokens::open(folder.path().join("tokens")).unwrap());
        let acceptor = || Acceptor::new(listen("127.0.0.1:0".parse().unwrap(), ReusePort::No).unwrap());
        let (identity, configuration) = (acceptor(), acceptor());
        let address = configuration.local_addr().unwrap();
        control.serve(
            identity,
            configuration,
            (Prover::Files(tokens), Directory::Cluster(directory)),
            &drain,
        );
        tokio::spawn(catch_up::run(context.clone(), Arc::clone(&control.outlets.publisher)));
        Self { context, control, source, configuration: address, _drain: drain, _folder: folder }
    }

    /// The reflectors reach what the API server holds now.
    fn see(&mut self, api: &FakeApi) {
        fn one<T: Keep>(store: &Store<T>, api: &FakeApi) {
            store.replace(api.list(&url(&store.resource())), &api.revision().to_string());
        }
        let stores = &self.context.stores;
        one(&stores.pods, api);
        one(&stores.namespaces, api);
        one(&stores.services, api);
        stores.objects().for_each(|(_, store)| one(store, api));
        self.publish();
    }

    /// What the thread does after a change.
    fn publish(&mut self) {
        self.source.publish(Instant::now());
    }

    fn published(&self) -> SnapshotId {
        self.control.outlets.publisher.current().workloads.values().next().unwrap().encoded.id()
    }

    fn enforced(&self) -> bool {
        let status: Value = serde_json::from_str(&self.control.outlets.status.to_json()).unwrap();
        status["workloads"][0]["sidecars"][0]["current"] == true
    }
}

/// A sidecar; it keeps what it enforces when it goes to another replica.
struct Sidecar {
    store: Arc<ConfigStore>,
    credentials: Arc<CredentialStore>,
    trust: Arc<TrustStore>,
    stream: Option<JoinHandle<()>>,
}

impl Sidecar {
    fn new(authority: &Authority) -> Self {
        let id = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
        let own = authority.issue_own(&id, Duration::from_secs(600), SystemTime::now()).unwrap();
        let credentials = Arc::new(CredentialStore::default());
        credentials.replace(Credentials::new(own.issued.chain, PrivateKeyDer::Pkcs8(own.key)).unwrap());
        let trust = Arc::new(TrustStore::new(authority.bundle()).unwrap());
        Self { store: Arc::default(), credentials, trust, stream: None }
    }

    fn connect(&mut self, replica: &Replica) {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
        let tls = Arc::new(ClientTls::control(Arc::clone(&self.credentials), Arc::clone(&self.trust)));
        let dialer = Dialer::new(&replica.configuration.to_string(), replica.control.id.clone(), tls);
        let settings = StreamSettings {
            workload: crate::testing::workload("shop/web"),
            instance: "uid-of-web".into(),
            version: "0.1.0".into(),
        };
        let (store, trust) = (Arc::clone(&self.store), Arc::clone(&self.trust));
        let stream = ConfigStream::new(dialer, settings, Arc::clone(&self.credentials), store, trust);
        self.stream = Some(tokio::spawn(stream.run()));
    }

    fn enforces(&self) -> Option<SnapshotId> {
        self.store.current().map(|active| active.id)
    }

    async fn until_it_enforces(&self, id: SnapshotId) {
        until(|| self.enforces() == Some(id)).await;
    }
}

async fn until(reached: impl Fn() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < SOON, "it does not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn policy_path(name: &str) -> String {
    let kind = own(ObjectKind::Policy);
    format!("/apis/{}/{}/namespaces/shop/{}/{name}", kind.group, kind.version, kind.plural)
}

fn policy(name: &str, generation: u64, path: &str) -> Value {
    json!({
        "apiVersion": "bailiwick.dev/v1alpha1", "kind": "Policy",
        "metadata": {"name": name, "namespace": "shop", "generation": generation},
        "spec": {"rules": [{
            "name": "r", "effect": "Allow", "subjects": [{"anyone": {}}],
            "permissions": [{"http": {"methods": ["GET"], "paths": [path]}}],
        }]},
    })
}

fn world() -> FakeApi {
    let api = FakeApi::default();
    api.put(
        "/api/v1/namespaces/shop",
        json!({"metadata": {"name": "shop", "labels": {"bailiwick.dev/inject": "enabled"}}}),
    );
    let sidecar = json!([{"name": "bailiwick-sidecar", "restartPolicy": "Always"}]);
    api.put(
        "/api/v1/namespaces/shop/pods/web",
        json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"serviceAccountName": "web", "containers": [{"name": "app"}], "initContainers": sidecar},
            "status": {"phase": "Running", "podIP": "10.0.0.2"},
        }),
    );
    api.put(&policy_path("allow"), policy("allow", 1, "/secret"));
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_replica_gives_nothing_back_and_is_waited_for() {
    let api = world();
    let authority =
        Arc::new(Authority::ephemeral(&"cluster.local".parse().unwrap(), SystemTime::now()).unwrap());
    let (mut a, mut b) = (Replica::start(&api, &authority).await, Replica::start(&api, &authority).await);
    a.see(&api);
    b.see(&api);
    let with_allow = a.published();
    assert_eq!(with_allow, b.published(), "replicas come to the same");
    let mut sidecar = Sidecar::new(&authority);
    sidecar.connect(&a);
    sidecar.until_it_enforces(with_allow).await;

    api.remove(&policy_path("allow"));
    a.see(&api);
    let without = a.published();
    assert_ne!(without, with_allow);
    sidecar.until_it_enforces(without).await;

    sidecar.connect(&b);
    for _ in 0..100 {
        assert_eq!(sidecar.enforces(), Some(without), "nothing is given back");
        assert!(!b.enforced());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    b.see(&api);
    until(|| b.enforced()).await;
    assert_eq!(sidecar.enforces(), Some(without));

    api.put(&policy_path("allow"), policy("allow", 1, "/secret"));
    b.see(&api);
    assert_eq!(b.published(), with_allow);
    sidecar.until_it_enforces(with_allow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_quiet_kinds_lag_proves_that_they_are_current() {
    let api = world();
    let authority =
        Arc::new(Authority::ephemeral(&"cluster.local".parse().unwrap(), SystemTime::now()).unwrap());
    let (mut a, mut b) = (Replica::start(&api, &authority).await, Replica::start(&api, &authority).await);
    b.see(&api);
    api.pass(1_000);
    // The one listed later, so each of its kinds reaches further, and nothing has happened.
    a.see(&api);
    let mut sidecar = Sidecar::new(&authority);
    sidecar.connect(&a);
    sidecar.until_it_enforces(a.published()).await;

    let edited = api.put(&policy_path("allow"), policy("allow", 2, "/edited"));
    b.context.stores.of_kind(ObjectKind::Policy).unwrap().apply(edited);
    b.publish();
    let edited = b.published();
    sidecar.connect(&b);
    let mut changes = b.context.stores.subscribe();
    changes.mark_unchanged();
    let start = Instant::now();
    while sidecar.enforces() != Some(edited) {
        assert!(start.elapsed() < SOON, "it does not catch up");
        if tokio::time::timeout(Duration::from_millis(10), changes.changed()).await.is_ok() {
            b.publish();
        }
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    until(|| b.enforced()).await;
    let lists = api.requests().iter().filter(|request| request.contains("/pods?")).count();
    assert!((1..10).contains(&lists), "{lists} lists");
}
