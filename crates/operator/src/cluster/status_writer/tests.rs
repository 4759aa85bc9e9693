//! The writer against an API server of a few lines, with time that stands still unless it is waited for.

use std::collections::VecDeque;
use std::sync::Mutex;

use bailiwick_compile::ObjectKind;
use bailiwick_runtime::drain::Drain;
use tokio::time::sleep;

use super::*;
use crate::cluster::fleet::{Injected, PodPlace};
use crate::status::{Happened, ObjectRecord, Observer as _, SidecarFacts, SidecarKey, Verdict};
use crate::testing::{identity, published, workload};

/// How long a write takes, and how much later the watch shows it.
const ANSWER: Duration = Duration::from_millis(5);
const WATCH: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Conflict,
    Busy,
    Gone,
    Refused,
    Hangs,
}

#[derive(Debug, Default)]
struct Server {
    objects: BTreeMap<ObjectKey, Known>,
    revision: u64,
    faults: VecDeque<Fault>,
    writes: Vec<(ObjectKey, Instant)>,
    attempts: usize,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Clone, Default)]
struct Api(Arc<Mutex<Server>>);

impl Api {
    fn create(&self, name: &str, uid: &str) -> ObjectKey {
        let key = ObjectKey { kind: ObjectKind::Policy, namespace: "shop".into(), name: name.into() };
        let mut server = self.0.lock().unwrap();
        server.revision += 1;
        let known = Known {
            uid: uid.into(),
            generation: 1,
            revision: server.revision,
            status: Value::Null,
            summary: Summary::default(),
        };
        server.objects.insert(key.clone(), known);
        key
    }

    fn edit(&self, key: &ObjectKey, with: impl FnOnce(&mut Known)) {
        let mut server = self.0.lock().unwrap();
        server.revision += 1;
        let revision = server.revision;
        let known = server.objects.get_mut(key).unwrap();
        with(known);
        known.revision = revision;
        server.changes.send_modify(|count| *count += 1);
    }

    fn fail(&self, faults: &[Fault]) {
        self.0.lock().unwrap().faults.extend(faults);
    }

    fn enforced(&self, key: &ObjectKey) -> String {
        let server = self.0.lock().unwrap();
        let status = server.objects.get(key).map(|known| known.status.clone()).unwrap_or_default();
        let condition = condition_of(&status, "Enforced").cloned().unwrap_or_default();
        condition.get("status").and_then(Value::as_str).unwrap_or("-").to_owned()
    }

    fn writes(&self) -> Vec<(ObjectKey, Instant)> {
        self.0.lock().unwrap().writes.clone()
    }
}

impl StatusApi for Api {
    async fn apply(&self, key: &ObjectKey, uid: &str, status: &Value) -> Result<u64, WriteError> {
        sleep(ANSWER).await;
        let fault = {
            let mut server = self.0.lock().unwrap();
            server.attempts += 1;
            server.faults.pop_front()
        };
        match fault {
            None => {}
            Some(Fault::Conflict) => return Err(WriteError::Conflict("uid".into())),
            Some(Fault::Busy) => return Err(WriteError::Busy { retry_after: Some(Duration::from_secs(3)) }),
            Some(Fault::Gone) => return Err(WriteError::Gone),
            Some(Fault::Refused) => return Err(WriteError::Refused("schema".into())),
            Some(Fault::Hangs) => std::future::pending().await,
        }
        let mut server = self.0.lock().unwrap();
        let known = server.objects.get(key).filter(|known| known.uid == uid).ok_or(WriteError::Gone)?.clone();
        server.revision += 1;
        let revision = server.revision;
        server.writes.push((key.clone(), Instant::now()));
        drop(server);
        let (api, key, status) = (self.clone(), key.clone(), status.clone());
        tokio::spawn(async move {
            sleep(WATCH).await;
            let mut server = api.0.lock().unwrap();
            server.objects.insert(key, Known { revision, status, ..known });
            server.changes.send_modify(|count| *count += 1);
        });
        Ok(revision)
    }
}

impl Shelf for Api {
    fn known(&self, key: &ObjectKey) -> Option<Known> {
        self.0.lock().unwrap().objects.get(key).cloned()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.lock().unwrap().changes.subscribe()
    }
}

/// Every pod runs and has a sidecar.
#[derive(Debug, Clone, Copy)]
struct Pods;

impl Cluster for Pods {
    fn pod(&self, _: &bailiwick_policy::WorkloadKey) -> PodPlace {
        PodPlace::Running { uid: "uid".into(), sidecar: Injected::Yes }
    }

    fn authorization_audited(&self, _: &str) -> bool {
        false
    }
}

struct Bench {
    api: Api,
    fleet: Arc<Fleet>,
    leadership: watch::Sender<Leadership>,
    falls: mpsc::Receiver<Fell>,
    _drain: Drain,
}

fn leads() -> Leadership {
    Leadership::for_test(Some("me"), Some(Duration::from_secs(100_000)))
}

impl Bench {
    fn start() -> Self {
        let (api, fleet) = (Api::default(), Arc::new(Fleet::new()));
        let (leadership, receiver) = watch::channel(leads());
        let (fell, falls) = mpsc::channel(64);
        let writer = StatusWriter {
            api: api.clone(),
            shelf: api.clone(),
            cluster: Pods,
            fleet: Arc::clone(&fleet),
            leadership: receiver,
            fell,
        };
        let drain = Drain::new();
        tokio::spawn(writer.run(drain.watch()));
        fleet.sidecar(&sidecar(), 1, Happened::Connected(&facts()));
        Self { api, fleet, leadership, falls, _drain: drain }
    }

    /// Compiles what the server holds, and the pod's content with it.
    fn compile(&self, content: u64) {
        let objects: Vec<ObjectRecord> = {
            let server = self.api.0.lock().unwrap();
            server.objects.iter().map(|(key, known)| record(key, known)).collect()
        };
        self.fleet.compiled(&objects, &[(workload("shop/a"), published("shop/a", content))].into());
    }

    fn acknowledge(&self, content: u64) {
        let (id, version) = (published("shop/a", content).encoded.id(), content);
        self.fleet.sidecar(&sidecar(), 1, Happened::Acknowledged { id, version });
    }
}

fn record(key: &ObjectKey, known: &Known) -> ObjectRecord {
    ObjectRecord {
        key: key.clone(),
        uid: known.uid.clone(),
        generation: known.generation,
        accepted: Verdict::Holds,
        resolved: Verdict::Holds,
        audit: false,
        workloads: [workload("shop/a")].into(),
        depends_on: Vec::new(),
    }
}

fn sidecar() -> SidecarKey {
    SidecarKey { workload: workload("shop/a"), instance: "uid".into() }
}

fn facts() -> SidecarFacts {
    SidecarFacts {
        version: "0.1.0".into(),
        schema_level: 1,
        identity: identity("shop/a"),
        certificate_serial: "01".into(),
        certificate_not_after: 7,
        held: None,
    }
}

async fn pass(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_one_write_when_it_is_enforced_soon_and_two_when_it_is_not() {
    let bench = Bench::start();
    let key = bench.api.create("orders", "one");
    let begun = Instant::now();
    bench.compile(1);
    pass(20).await;
    bench.acknowledge(1);
    pass(40).await;
    assert_eq!(bench.api.writes().len(), 1);
    assert!(bench.api.writes()[0].1 - begun < Duration::from_millis(50));
    pass(5_000).await;
    assert_eq!(
        (bench.api.enforced(&key).as_str(), bench.api.writes().len()),
        ("True", 1),
        "nothing is repeated"
    );
    bench.api.edit(&key, |known| known.generation = 2);
    bench.compile(2);
    pass(150).await;
    assert_eq!(bench.api.enforced(&key), "False");
    bench.acknowledge(2);
    pass(100).await;
    assert_eq!((bench.api.enforced(&key).as_str(), bench.api.writes().len()), ("True", 3));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_comes_before_the_objects_own_event_counts() {
    let bench = Bench::start();
    let key = bench.api.create("orders", "one");
    bench.compile(1);
    bench.acknowledge(1);
    pass(100).await;
    // Another replica was faster.
    bench.acknowledge(2);
    pass(100).await;
    assert_eq!(bench.api.enforced(&key), "True", "it stays");
    bench.api.edit(&key, |known| known.generation = 2);
    bench.compile(2);
    pass(100).await;
    assert_eq!((bench.api.enforced(&key).as_str(), bench.api.writes().len()), ("True", 2));
}

#[tokio::test(start_paused = true)]
async fn it_writes_five_a_second_and_the_edited_object_first() {
    let bench = Bench::start();
    for number in 0..60 {
        bench.api.create(&format!("old{number:02}"), "one");
    }
    bench.compile(1);
    bench.acknowledge(1);
    pass(1_000).await;
    assert!(bench.api.writes().len() <= 16, "{}", bench.api.writes().len());
    let edited = bench.api.create("zz-edited", "one");
    bench.compile(1);
    pass(450).await;
    assert_eq!(bench.api.enforced(&edited), "True");
    pass(20_000).await;
    assert_eq!(bench.api.writes().len(), 61);
}

#[tokio::test(start_paused = true)]
async fn faults_are_survived() {
    for faults in [
        &[Fault::Conflict, Fault::Conflict][..],
        &[Fault::Busy, Fault::Busy],
        &[Fault::Hangs],
        &[Fault::Refused],
    ] {
        let bench = Bench::start();
        bench.api.fail(faults);
        let key = bench.api.create("orders", "one");
        bench.compile(1);
        bench.acknowledge(1);
        pass(70_000).await;
        assert_eq!(bench.api.enforced(&key), "True", "{faults:?}");
        assert!(bench.api.0.lock().unwrap().attempts <= faults.len() + 1, "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_or_made_again_does_not_get_the_old_ones_status() {
    let bench = Bench::start();
    bench.api.fail(&[Fault::Gone]);
    let key = bench.api.create("orders", "one");
    bench.compile(1);
    bench.acknowledge(1);
    // The first write is on its way.
    pass(2).await;
    bench.api.create("orders", "two");
    pass(5_000).await;
    assert_eq!(bench.api.enforced(&key), "-", "this one is not compiled yet");
    bench.compile(2);
    pass(500).await;
    assert_eq!(bench.api.enforced(&key), "False");
    bench.acknowledge(2);
    pass(500).await;
    assert_eq!(bench.api.enforced(&key), "True");
}

#[tokio::test(start_paused = true)]
async fn without_the_lease_nothing_is_written_and_a_hanging_write_is_given_up() {
    let bench = Bench::start();
    bench.api.fail(&[Fault::Hangs]);
    let key = bench.api.create("orders", "one");
    bench.compile(1);
    bench.acknowledge(1);
    pass(100).await;
    bench.leadership.send_replace(Leadership::for_test(Some("other"), None));
    pass(60_000).await;
    assert_eq!((bench.api.enforced(&key).as_str(), bench.api.writes().len()), ("-", 0));
    bench.leadership.send_replace(Leadership::for_test(Some("me"), Some(Duration::from_millis(300))));
    pass(100).await;
    assert_eq!(bench.api.writes().len(), 1);
    pass(1_000).await;
    bench.api.edit(&key, |known| known.generation = 2);
    bench.compile(1);
    pass(5_000).await;
    assert_eq!(bench.api.writes().len(), 1, "the lease was not renewed");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_else_wrote_is_written_again() {
    let bench = Bench::start();
    let key = bench.api.create("orders", "one");
    bench.compile(1);
    bench.acknowledge(1);
    pass(2_000).await;
    bench.api.edit(&key, |known| known.status = serde_json::json!({"conditions": []}));
    pass(2_500).await;
    assert_eq!((bench.api.enforced(&key).as_str(), bench.api.writes().len()), ("True", 2));
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_falls_is_told_once() {
    let mut bench = Bench::start();
    let key = bench.api.create("orders", "one");
    let broken = {
        let server = bench.api.0.lock().unwrap();
        let fails = Verdict::Fails { reason: "Invalid".into(), message: "spec.rules".into() };
        ObjectRecord { accepted: fails, ..record(&key, &server.objects[&key]) }
    };
    for _ in 0..3 {
        bench.fleet.compiled(std::slice::from_ref(&broken), &BTreeMap::new());
        pass(500).await;
    }
    let fell = bench.falls.try_recv().unwrap();
    assert_eq!((fell.reason, fell.message.as_str()), (Reason::NotAccepted, "spec.rules"));
    assert!(bench.falls.try_recv().is_err());
}
