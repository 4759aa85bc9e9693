//! The client side that sidecars have (crate `agent`), against this operator.

use bailiwick_agent::audit::AuditSink;
use bailiwick_agent::{
    ConfigStore, ConfigStream, Destinations, Dialer, Renewal, RenewalSettings, StreamSettings,
};
use bailiwick_authn::{ClientTls, bundle_from_pem};
use bailiwick_wire::{Destination, Query};
use tokio::task::JoinSet;

use super::*;
use crate::testing::workload;

struct Sidecar {
    store: Arc<ConfigStore>,
    credentials: Arc<CredentialStore>,
    destinations: Destinations,
    _tasks: JoinSet<()>,
}

fn sidecar(ground: &Ground, places: Places, name: &str) -> Sidecar {
    let bundle = std::fs::read(ground.path("state/bundle.pem")).unwrap();
    let trust = Arc::new(TrustStore::new(bundle_from_pem(&bundle).unwrap()).unwrap());
    let credentials = Arc::new(CredentialStore::default());
    let tls = Arc::new(ClientTls::control(Arc::clone(&credentials), Arc::clone(&trust)));
    let operator: SpiffeId =
        own_certificate::operator_id(&"cluster.local".parse().unwrap(), own_certificate::NAMESPACE).unwrap();
    let dialer = |address: SocketAddr| Dialer::new(&address.to_string(), operator.clone(), Arc::clone(&tls));
    let settings = RenewalSettings {
        token_file: ground.path("state/tokens").join(crate::tokens::file_name(&workload(name))),
        bundle_file: ground.path("state/bundle.pem"),
        expected: None,
    };
    let audit = AuditSink::to_writer(io::sink(), 16).unwrap();
    let renewal =
        Renewal::new(dialer(places.identity), settings, Arc::clone(&credentials), Arc::clone(&trust), audit);
    let store = Arc::new(ConfigStore::default());
    let settings =
        StreamSettings { workload: workload(name), instance: "real".into(), version: "0.1.0".into() };
    let (stored, believed) = (Arc::clone(&store), Arc::clone(&trust));
    let stream =
        ConfigStream::new(dialer(places.configuration), settings, Arc::clone(&credentials), stored, believed);
    let (destinations, task) = Destinations::new(dialer(places.configuration), Arc::clone(&credentials));
    let mut tasks = JoinSet::new();
    tasks.spawn(renewal.run());
    tasks.spawn(stream.run());
    tasks.spawn(task.run());
    Sidecar { store, credentials, destinations, _tasks: tasks }
}

async fn enforced(running: &Running) -> Value {
    until(running, "enforcement", |status| {
        object(status, "Policy", "orders")["conditions"][2]["status"] == "True"
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_certified_configured_pushed_to_and_outlives_a_restart() {
    let ground = Ground::new();
    ground.write(
        "addresses.yaml",
        "workloads:\n- workload: shop/orders\n  ports: [{port: 8080, address: \"127.0.0.1:15001\"}]\n",
    );
    let running = ground.start();
    let places = running.places;
    let sidecar = sidecar(&ground, places, "shop/orders");
    enforced(&running).await;
    assert!(sidecar.credentials.current().is_some());
    let first = sidecar.store.current().unwrap();

    let edited = Instant::now();
    ground.write("source/policy.yaml", &policy("/edited"));
    let status = until(&running, "the edit", |status| {
        status["publication"]["version"] != first.position.version
            && status["publication"]["acknowledged"] == 1
    })
    .await;
    assert!(edited.elapsed() < Duration::from_secs(1), "{:?}: {status:#}", edited.elapsed());
    let second = sidecar.store.current().unwrap();
    assert_ne!(first.id, second.id);

    let query = Query::Service {
        namespace: "shop".parse().unwrap(),
        name: "orders".into(),
        port: 80_u32.try_into().unwrap(),
    };
    let found = sidecar.destinations.lookup(query).await.unwrap();
    assert!(
        matches!(found.current().as_ref(), Destination::Endpoints(endpoints) if endpoints.ready.len() == 1)
    );

    running.stop().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(sidecar.store.current().unwrap().id, second.id, "the last good configuration stays");
    let running = ground.start_at(&places.identity.to_string(), &places.configuration.to_string());
    enforced(&running).await;
    let third = sidecar.store.current().unwrap();
    assert_eq!(third.id, second.id);
    assert!(second.position.is_older_than(&third.position));
    running.stop().await;
}
