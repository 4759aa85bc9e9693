//! The agent against an operator in this process: first contact, renewal, configuration, trust, destinations.
#![cfg(test)]

mod fake_operator;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick_agent::audit::{
    self, AuditSink, AuthorizationEvent, CallRecord, EventIds, Outcome, Protocol, Source, Verdict, WouldBe,
};
use bailiwick_agent::{
    Applier, ConfigStore, ConfigStream, Destinations, LookupError, Renewal, RenewalSettings, Reports,
    StreamSettings,
};
use bailiwick_authn::{CredentialStore, TrustStore};
use bailiwick_identity::{MtlsMode, PortTrust, TrustBundle, TrustConfig};
use bailiwick_policy::{
    Body, BoundObject, Layer, Mode, Origin, PolicyObject, PortSelection, SnapshotId, SnapshotParts,
    WorkloadKey,
};
use bailiwick_wire::proto::client_message::Kind as FromClient;
use bailiwick_wire::proto::lookup_request::Action;
use bailiwick_wire::proto::server_message::Kind as FromServer;
use bailiwick_wire::{
    ChunkCache, Configuration, Destination, Digest, Encoded, Position, Query, SCHEMA_LEVEL, encode,
    encode_bundle, encode_destination,
};
use fake_operator::{FakeOperator, LookupSession, ReportSession, Session, workload_id};
use tokio::time::timeout;

fn workload(name: &str) -> WorkloadKey {
    WorkloadKey { namespace: "shop".parse().unwrap(), name: name.parse().unwrap() }
}

fn snapshot_for(name: &str, objects: &[(&str, i64)]) -> Encoded {
    let objects = objects
        .iter()
        .map(|(name, generation)| BoundObject {
            object: Arc::new(PolicyObject {
                origin: Origin { layer: Layer::Namespace, namespace: "shop".into(), name: (*name).into() },
                generation: *generation,
                mode: Mode::Enforce,
                body: Body::Rules(Vec::new()),
            }),
            ports: PortSelection::All,
        })
        .collect();
    let default = PortTrust {
        mode: MtlsMode::Strict,
        trust_domains: vec!["cluster.local".parse().unwrap()],
        audit: false,
        invalid: None,
    };
    let configuration = Configuration {
        snapshot: SnapshotParts {
            workload: workload(name),
            trust_domain: "cluster.local".parse().unwrap(),
            authorization_audit: false,
            objects,
        },
        trust: TrustConfig { default, ports: BTreeMap::new() },
        protocols: BTreeMap::new(),
    };
    encode(&configuration, &mut ChunkCache::default())
}

fn snapshot(objects: &[(&str, i64)]) -> Encoded {
    snapshot_for("orders", objects)
}

fn at(epoch: u64, mark: u64) -> Position {
    Position { epoch, marks: BTreeMap::from([("folder".to_owned(), mark)]), version: mark }
}

struct Running {
    operator: FakeOperator,
    store: Arc<ConfigStore>,
    trust: Arc<TrustStore>,
    session: Session,
}

/// A configuration stream that has said hello.
async fn running() -> Running {
    let mut operator = FakeOperator::start().await;
    let (credentials, trust, dialer) = operator.workload();
    let store = Arc::new(ConfigStore::default());
    let settings =
        StreamSettings { workload: workload("orders"), instance: "one".to_owned(), version: "0".to_owned() };
    let stream = ConfigStream::new(dialer, settings, credentials, Arc::clone(&store), Arc::clone(&trust));
    tokio::spawn(stream.run());
    let mut session = operator.session().await;
    let hello = session.hello().await;
    assert_eq!((hello.namespace.as_str(), hello.workload.as_str()), ("shop", "orders"));
    assert_eq!((hello.schema_level, hello.held), (SCHEMA_LEVEL, None));
    assert_eq!(session.peer, workload_id());
    Running { operator, store, trust, session }
}

async fn confirm_next(applier: &mut Applier) {
    let active = timeout(Duration::from_secs(5), applier.next()).await.unwrap();
    applier.confirm(&active);
}

#[tokio::test]
async fn a_snapshot_is_acknowledged_once_every_thread_enforces_it() {
    let mut running = running().await;
    let mut applier = running.store.register();
    let encoded = snapshot(&[("a", 1), ("b", 1)]);
    assert_eq!(running.session.push(&encoded, &at(1, 1)).await.len(), 2);
    assert!(running.session.silent().await, "nothing is acknowledged before the thread confirmed");
    confirm_next(&mut applier).await;
    assert_eq!(running.session.ack().await, 1);
    let active = running.store.current().unwrap();
    assert_eq!((active.id, &active.position), (encoded.id(), &at(1, 1)));
    assert_eq!(running.store.age(), Some(Duration::ZERO));

    // An edit: only what changed travels.
    let edited = snapshot(&[("a", 1), ("b", 2)]);
    assert_eq!(running.session.push(&edited, &at(1, 2)).await.len(), 1);
    confirm_next(&mut applier).await;
    assert_eq!(running.session.ack().await, 2);
    assert_eq!(running.store.current().unwrap().id, edited.id());

    // The same content, later: no chunks, nothing to decide again, acknowledged.
    running.session.send_header(&edited, &at(1, 3)).await;
    assert_eq!(running.session.ack().await, 3);
    assert_eq!(running.store.current().unwrap().position, at(1, 3));
}

#[tokio::test]
async fn i4_i9_what_is_older_foreign_or_garbage_is_refused_and_the_last_good_stays() {
    let mut running = running().await;
    let good = snapshot(&[("a", 1)]);
    running.session.push(&good, &at(2, 5)).await;
    running.session.ack().await;
    let other = snapshot(&[("a", 2)]);

    running.session.send_header(&other, &at(2, 4)).await;
    assert!(running.session.nack().await.contains("older"));
    running.session.send_header(&good, &at(2, 4)).await;
    assert_eq!(
        running.session.ack().await,
        4,
        "the same content from a replica that lags is enforced already"
    );
    assert_eq!(running.store.current().unwrap().position, at(2, 5), "and the position stays");
    running.session.send_header(&good, &at(1, 9)).await;
    assert_eq!(running.session.ack().await, 9);
    assert_eq!(running.store.current().unwrap().position, at(2, 5));
    running.session.send_header(&other, &at(2, 4)).await;
    assert!(running.session.nack().await.contains("older"), "nothing was given back by it");
    running.session.send(FromServer::SnapshotHeader(b"garbage".to_vec())).await;
    assert!(running.session.nack().await.contains("snapshot header"));
    running.session.send_header(&snapshot_for("web", &[("a", 1)]), &at(2, 9)).await;
    assert!(running.session.nack().await.contains("shop/web"));
    running.session.send_header(&other, &at(2, 9)).await;
    let digest = running.session.wanted().await.remove(0);
    let chunk = bailiwick_wire::proto::Chunk { digest, content: b"garbage".to_vec() };
    running.session.send(FromServer::Chunk(chunk)).await;
    assert!(running.session.nack().await.contains("digest"));

    assert_eq!(running.store.current().unwrap().id, good.id());
    assert!(running.store.age().unwrap() > Duration::ZERO, "it is known not to be the newest");
    running.session.push(&other, &at(2, 9)).await;
    assert_eq!(running.session.ack().await, 9, "the stream goes on");
}

#[tokio::test]
async fn i9_half_a_snapshot_changes_nothing_and_the_next_connection_says_what_is_held() {
    let mut running = running().await;
    let good = snapshot(&[("a", 1)]);
    running.session.push(&good, &at(1, 1)).await;
    running.session.ack().await;
    let next = snapshot(&[("a", 2), ("b", 1)]);
    running.session.send_header(&next, &at(1, 2)).await;
    let wanted = running.session.wanted().await;
    running.session.send_chunk(&next, &wanted[0]).await;
    drop(running.session);

    let mut session = running.operator.session().await;
    let held = session.hello().await.held.unwrap();
    assert_eq!((held.snapshot_id, held.epoch, held.marks["folder"]), (good.id().0.to_vec(), 1, 1));
    assert_eq!(running.store.current().unwrap().id, good.id());
    assert!(running.store.age().unwrap() > Duration::ZERO);
    assert_eq!(session.push(&next, &at(1, 2)).await.len(), 2, "half a snapshot left nothing behind");
    session.ack().await;
    assert_eq!(running.store.current().unwrap().id, next.id());
}

#[tokio::test]
async fn a_newer_header_replaces_one_that_is_not_whole() {
    let mut running = running().await;
    let (first, second) = (snapshot(&[("a", 1), ("b", 1)]), snapshot(&[("a", 1), ("b", 2)]));
    running.session.send_header(&first, &at(1, 1)).await;
    assert_eq!(running.session.wanted().await.len(), 2);
    running.session.push(&second, &at(1, 2)).await;
    assert_eq!(running.session.ack().await, 2);
    assert_eq!(running.store.current().unwrap().id, second.id());
}

#[tokio::test]
async fn trust_bundles_are_replaced_whole_or_not_at_all() {
    let mut running = running().await;
    let mut bundle = running.operator.authority.bundle();
    let partner =
        bailiwick_ca::Authority::ephemeral(&"partner.example".parse().unwrap(), std::time::SystemTime::now());
    let partner = partner.unwrap();
    bundle.insert(partner.trust_domain().clone(), vec![Arc::clone(partner.root_der())]).unwrap();
    let bytes = encode_bundle(&bundle);
    running.session.send(FromServer::Bundle(bytes.clone())).await;
    let FromClient::BundleAck(ack) = running.session.receive().await else { panic!("the bundle is good") };
    assert_eq!(ack.digest, Digest::of(&bytes).to_vec());
    assert_eq!(running.trust.current().bundle(), &bundle);

    let mut foreign = TrustBundle::default();
    foreign.insert("cluster.local".parse().unwrap(), vec![Arc::from(&b"no certificate"[..])]).unwrap();
    for refused in [Vec::new(), encode_bundle(&foreign)] {
        running.session.send(FromServer::Bundle(refused)).await;
        assert!(matches!(running.session.receive().await, FromClient::BundleNack(_)));
        assert_eq!(running.trust.current().bundle(), &bundle);
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct FirstContact {
    operator: FakeOperator,
    folder: tempfile::TempDir,
    credentials: Arc<CredentialStore>,
    audit: AuditSink,
    log: Log,
}

impl FirstContact {
    /// A workload with a token and a bundle file, and nothing else.
    async fn new() -> Self {
        let operator = FakeOperator::start().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "first-token\n").unwrap();
        let pem = bailiwick_ca::bundle_pem(&operator.authority.bundle());
        std::fs::write(folder.path().join("bundle.pem"), pem).unwrap();
        let log = Log::default();
        let audit = AuditSink::to_writer(log.clone(), 64).unwrap();
        Self { operator, folder, credentials: Arc::default(), audit, log }
    }

    fn renewal(&self) -> Renewal {
        let trust = Arc::new(TrustStore::new(TrustBundle::default()).unwrap());
        let settings = RenewalSettings {
            token_file: self.folder.path().join("token"),
            bundle_file: self.folder.path().join("bundle.pem"),
            expected: Some(workload_id()),
        };
        let dialer = self.operator.dialer(&self.credentials, &trust);
        Renewal::new(dialer, settings, Arc::clone(&self.credentials), trust, self.audit.clone())
    }

    async fn issued(&self) -> String {
        let mut changed = self.credentials.subscribe();
        timeout(Duration::from_secs(10), changed.changed()).await.unwrap().unwrap();
        self.credentials.current().unwrap().leaf().serial().to_owned()
    }

    fn log(&self) -> String {
        assert!(self.audit.flush(Duration::from_secs(5)));
        String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn first_contact_then_renewal_with_a_new_key_and_the_new_token() {
    let contact = FirstContact::new().await;
    contact.operator.issuing.lock().unwrap().lifetime = Duration::from_secs(4);
    let renewal = contact.renewal();
    let first = contact.credentials.subscribe();
    assert!(!first.has_changed().unwrap());
    tokio::spawn(renewal.run());
    let serial = contact.issued().await;
    let old = contact.credentials.current().unwrap();
    std::fs::write(contact.folder.path().join("token"), "second-token\n").unwrap();
    assert_ne!(contact.issued().await, serial);
    let new = contact.credentials.current().unwrap();
    assert_eq!((old.leaf().id(), new.leaf().id()), (&workload_id(), &workload_id()));
    assert_eq!(*contact.operator.tokens.lock().unwrap(), [b"first-token".to_vec(), b"second-token".to_vec()]);
    let log = contact.log();
    assert!(log.contains(r#""outcome":"issued""#) && log.contains(r#""outcome":"renewed""#), "{log}");
    assert!(!log.contains("token"), "an event never holds a credential: {log}");
    assert_eq!(std::fs::read_dir(contact.folder.path()).unwrap().count(), 2, "no key is on disk");
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused_and_asked_for_again() {
    let contact = FirstContact::new().await;
    contact.operator.issuing.lock().unwrap().id = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    tokio::spawn(contact.renewal().run());
    while contact.operator.tokens.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(contact.credentials.current().is_none());
    assert!(contact.log().contains("is for `spiffe://cluster.local/ns/shop/sa/web`"));
    contact.operator.issuing.lock().unwrap().id = workload_id();
    contact.issued().await;
}

#[tokio::test]
async fn an_operator_that_the_bundle_does_not_vouch_for_gets_no_token() {
    let contact = FirstContact::new().await;
    let other =
        bailiwick_ca::Authority::ephemeral(&"cluster.local".parse().unwrap(), std::time::SystemTime::now());
    let pem = bailiwick_ca::bundle_pem(&other.unwrap().bundle());
    std::fs::write(contact.folder.path().join("bundle.pem"), pem).unwrap();
    tokio::spawn(contact.renewal().run());
    while !contact.log().contains("refused") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(contact.operator.tokens.lock().unwrap().is_empty());
    assert!(contact.credentials.current().is_none());
}

fn query(port: u16) -> Query {
    Query::Service {
        namespace: "shop".parse().unwrap(),
        name: "orders".to_owned(),
        port: port.try_into().unwrap(),
    }
}

async fn subscribed(session: &mut LookupSession) -> u64 {
    let request = timeout(Duration::from_secs(5), session.inbound.message()).await.unwrap().unwrap().unwrap();
    assert!(matches!(request.action, Some(Action::Subscribe(_))));
    request.query_id
}

#[tokio::test]
async fn destinations_are_answered_kept_current_and_kept_without_the_operator() {
    let mut operator = FakeOperator::start().await;
    let (credentials, _, dialer) = operator.workload();
    let (destinations, task) = Destinations::new(dialer, credentials);
    tokio::spawn(task.run());
    let mut session = operator.lookup_session().await;
    let asking = tokio::spawn({
        let destinations = destinations.clone();
        async move { destinations.lookup(query(80)).await }
    });
    let id = subscribed(&mut session).await;
    session.outbound.send(Ok(encode_destination(id, 1, &Destination::Unknown))).await.unwrap();
    let mut found = asking.await.unwrap().unwrap();
    assert_eq!(*found.current(), Destination::Unknown);
    let none_ready = Destination::Endpoints(Vec::new().into());
    session.outbound.send(Ok(encode_destination(id, 2, &none_ready))).await.unwrap();
    assert_eq!(*timeout(Duration::from_secs(5), found.changed()).await.unwrap(), none_ready);

    // An answer that cannot be read is none: the last good one stays, and a new question is refused after 1 s.
    let mut bad = encode_destination(id, 3, &Destination::Outside);
    bad.result = None;
    session.outbound.send(Ok(bad)).await.unwrap();
    let asked = std::time::Instant::now();
    let refused = destinations.lookup(query(81)).await.unwrap_err();
    assert_eq!(refused, LookupError::NoAnswer { query: query(81) });
    assert!(asked.elapsed() >= Duration::from_secs(1));
    assert_eq!(*found.current(), none_ready);

    // Without the operator the answer stays; with it back, both questions are asked again.
    drop(session);
    assert_eq!(*destinations.lookup(query(80)).await.unwrap().current(), none_ready);
    let mut session = operator.lookup_session().await;
    let asked = [subscribed(&mut session).await, subscribed(&mut session).await];
    assert!(asked.contains(&id));
    session.outbound.send(Ok(encode_destination(id, 1, &Destination::Outside))).await.unwrap();
    assert_eq!(*timeout(Duration::from_secs(5), found.changed()).await.unwrap(), Destination::Outside);
}

fn denial(ids: &EventIds, verdict: Verdict, would_be: Option<Verdict>) -> AuthorizationEvent {
    let would_be = would_be.map(|verdict| WouldBe { verdict, reasons: Vec::new() });
    AuthorizationEvent {
        time: std::time::SystemTime::now(),
        connection_id: ids.connection(),
        decision_id: ids.decision(),
        verdict,
        outcome: Outcome::Closed,
        reasons: Vec::new(),
        reason_count: 0,
        would_be,
        source: Source {
            identity: Some(workload_id()),
            unproven: None,
            address: "10.0.0.7:1".parse().unwrap(),
        },
        destination: audit::Destination { workload: workload("orders"), port: 8080_u16.try_into().unwrap() },
        call: CallRecord { protocol: Protocol::Tcp, method: None, path: None, host: None, grpc: false },
        status: None,
        snapshot: SnapshotId([7; 32]),
    }
}

#[tokio::test]
async fn denials_are_reported_a_limited_number_and_again_after_the_operator_was_away() {
    let mut operator = FakeOperator::start().await;
    let (credentials, _, dialer) = operator.workload();
    let (reports, task) = Reports::new(dialer, credentials);
    tokio::spawn(task.run());
    let ids = EventIds::default();
    reports.decided(&denial(&ids, Verdict::Allow, None), 1);
    assert!(
        timeout(Duration::from_millis(200), operator.reports.recv()).await.is_err(),
        "no stream without need"
    );
    let first = denial(&ids, Verdict::Deny, None);
    reports.decided(&first, 3);
    reports.decided(&denial(&ids, Verdict::Allow, Some(Verdict::Deny)), 3);
    let mut stream = timeout(Duration::from_secs(5), operator.reports.recv()).await.unwrap().unwrap();
    let next = async |stream: &mut ReportSession| {
        let message =
            timeout(Duration::from_secs(5), stream.inbound.message()).await.unwrap().unwrap().unwrap();
        bailiwick_wire::decode_report(&message).unwrap()
    };
    let got = next(&mut stream).await;
    assert_eq!((got.decision_id, got.snapshot_version), (first.decision_id.to_string(), 3));
    assert_eq!(got.caller, bailiwick_wire::ReportedCaller::Proven(workload_id()));
    assert!(next(&mut stream).await.would_be.is_some(), "what audit would deny is reported too");

    // A flood costs the operator a hundred reports, and the next one tells how many are missing.
    for _ in 0..500 {
        reports.decided(&denial(&ids, Verdict::Deny, None), 3);
    }
    assert!((380..=402).contains(&reports.left_out()), "{} were left out", reports.left_out());
    let mut told = 0;
    for _ in 0..98 {
        told += next(&mut stream).await.left_out;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    reports.decided(&denial(&ids, Verdict::Deny, None), 3);
    while told < reports.left_out() {
        told += next(&mut stream).await.left_out;
    }
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    reports.decided(&denial(&ids, Verdict::Deny, None), 4);
    let mut stream = timeout(Duration::from_secs(5), operator.reports.recv()).await.unwrap().unwrap();
    assert_eq!(next(&mut stream).await.snapshot_version, 4);
}
