use bailiwick_compile::ObjectKind;
use serde_json::Value;

use super::*;
use crate::testing::{identity, metrics, publication, workload};

fn key(name: &str, instance: &str) -> SidecarKey {
    SidecarKey { workload: workload(name), instance: instance.to_owned() }
}

fn facts(serial: &str) -> SidecarFacts {
    SidecarFacts {
        version: "0.1.0".into(),
        schema_level: 1,
        identity: identity("shop/orders"),
        certificate_serial: serial.into(),
        certificate_not_after: 7,
        held: None,
    }
}

fn policy(workloads: &[&str]) -> ObjectRecord {
    ObjectRecord {
        key: ObjectKey { kind: ObjectKind::Policy, namespace: "shop".into(), name: "orders".into() },
        uid: String::new(),
        generation: 3,
        accepted: Verdict::Holds,
        resolved: Verdict::Holds,
        audit: false,
        workloads: workloads.iter().map(|name| workload(name)).collect(),
        depends_on: Vec::new(),
    }
}

fn compile(
    board: &StatusBoard,
    world: &[(&str, u64)],
    version: u64,
) -> BTreeMap<WorkloadKey, Arc<Published>> {
    let publication = publication(world);
    let changed = publication.workloads.keys().cloned().collect();
    let compiled = Compiled {
        mesh: publication.mesh.clone(),
        objects: vec![policy(&["shop/orders", "shop/web"])],
        workloads: publication.workloads.clone(),
        diagnostics: Vec::new(),
    };
    board.compiled(compiled, Some(version), &changed, Instant::now());
    publication.workloads
}

fn read(board: &StatusBoard) -> Value {
    serde_json::from_str(&board.to_json()).unwrap()
}

fn enforced(board: &StatusBoard) -> (String, String, String) {
    let report = read(board);
    let object = &report["objects"][0];
    let condition = &object["conditions"][2];
    assert_eq!(condition["type"], "Enforced");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&condition["status"]), text(&object["enforced"]), text(&condition["message"]))
}

#[test]
fn enforced_counts_acknowledgements_of_the_snapshot_that_counts_now() {
    let board = StatusBoard::new(metrics());
    let first = compile(&board, &[("shop/orders", 1), ("shop/web", 1)], 1);
    assert_eq!(enforced(&board).1, "0/2", "a workload without a sidecar does not enforce");
    let (a, b) = (key("shop/orders", "a"), key("shop/orders", "b"));
    board.connected(a.clone(), 1, facts("01")).unwrap();
    board.connected(b.clone(), 2, facts("02")).unwrap();
    board.connected(key("shop/web", "a"), 3, facts("01")).unwrap();
    let orders = first[&workload("shop/orders")].encoded.id();
    board.acknowledged(&a, 1, orders, 1);
    board.acknowledged(&b, 2, orders, 1);
    assert_eq!(enforced(&board).1, "2/3");
    board.acknowledged(&key("shop/web", "a"), 3, first[&workload("shop/web")].encoded.id(), 1);
    assert_eq!(enforced(&board).0, "True");
    let second = compile(&board, &[("shop/orders", 2), ("shop/web", 2)], 2);
    let (status, count, message) = enforced(&board);
    assert_eq!((status.as_str(), count.as_str()), ("False", "0/3"));
    assert!(message.contains("shop/orders a"), "{message}");
    board.acknowledged(&a, 1, orders, 1);
    assert_eq!(enforced(&board).1, "0/3", "an acknowledgement of the old snapshot does not count");
    board.acknowledged(&a, 1, second[&workload("shop/orders")].encoded.id(), 2);
    assert_eq!(enforced(&board).1, "1/3");
}

#[test]
fn a_publication_is_complete_when_every_concerned_sidecar_has_acknowledged() {
    let board = StatusBoard::new(metrics());
    board.connected(key("shop/orders", "a"), 1, facts("01")).unwrap();
    board.connected(key("shop/other", "a"), 2, facts("01")).unwrap();
    compile(&board, &[("shop/orders", 1)], 1);
    let third = compile(&board, &[("shop/orders", 3)], 3);
    let publication = read(&board)["publication"].clone();
    assert_eq!((publication["acknowledged"].as_u64(), publication["of"].as_u64()), (Some(0), Some(1)));
    assert!(publication.get("millis").is_none());
    board.acknowledged(&key("shop/orders", "a"), 1, third[&workload("shop/orders")].encoded.id(), 3);
    let report = read(&board);
    assert!(report["publication"]["millis"].as_f64().is_some());
    assert_eq!(report["publications"][1]["acknowledged"], 1, "the latest wins: it stands for the one before");
    for version in 4..200 {
        compile(&board, &[("shop/orders", version)], version);
    }
    assert_eq!(read(&board)["publications"].as_array().unwrap().len(), REMEMBERED);
}

#[test]
fn a_sidecar_that_comes_again_replaces_its_old_stream() {
    let board = StatusBoard::new(metrics());
    compile(&board, &[("shop/orders", 1)], 1);
    let sidecar = key("shop/orders", "a");
    let old = board.connected(sidecar.clone(), 1, facts("01")).unwrap();
    let new = board.connected(sidecar.clone(), 2, facts("01")).unwrap();
    assert!(old.is_cancelled() && !new.is_cancelled());
    board.disconnected(&sidecar, 1);
    board.refused(&sidecar, 1, 1, "late".into());
    board.refused(&sidecar, 2, 1, "too new".into());
    let report = read(&board);
    let sidecars = report["workloads"][0]["sidecars"].as_array().unwrap();
    assert_eq!(sidecars.len(), 1);
    assert_eq!(sidecars[0]["refusedBecause"], "too new");
    board.disconnected(&sidecar, 2);
    assert!(read(&board)["workloads"][0]["sidecars"].as_array().unwrap().is_empty());
}

#[test]
fn an_instance_is_not_taken_over_and_a_certificate_counts_once() {
    let board = StatusBoard::new(metrics());
    compile(&board, &[("shop/orders", 1)], 1);
    let (a, b) = (key("shop/orders", "a"), key("shop/orders", "b"));
    let first = board.connected(a.clone(), 1, facts("01")).unwrap();
    assert_eq!(board.connected(a.clone(), 2, facts("02")).unwrap_err(), ConnectRefusal::InstanceTaken);
    assert_eq!(board.connected(b, 3, facts("01")).unwrap_err(), ConnectRefusal::CertificateInUse);
    assert!(!first.is_cancelled(), "the old stream stays");
    assert_eq!(read(&board)["workloads"][0]["sidecars"].as_array().unwrap().len(), 1);
    board.disconnected(&a, 1);
    let second = board.connected(a.clone(), 4, facts("02")).unwrap();
    let other = SidecarFacts { identity: identity("shop/new"), ..facts("03") };
    board.connected(a, 5, other).unwrap();
    assert!(second.is_cancelled(), "the workload changed its service account");
}

#[test]
fn the_sidecars_of_a_workload_are_bounded() {
    let mut inner = Inner::default();
    for number in 0..MOST_SIDECARS {
        let sidecar = Sidecar {
            session: 1,
            replaced: CancellationToken::new(),
            facts: facts(&number.to_string()),
            connected: SystemTime::now(),
            acknowledged: None,
            refused: None,
            bundle: None,
        };
        inner.sidecars.insert(key("shop/orders", &number.to_string()), sidecar);
    }
    assert_eq!(inner.admits(&key("shop/orders", "new"), &facts("new")), Err(ConnectRefusal::TooMany));
    assert_eq!(inner.admits(&key("shop/orders", "7"), &facts("7")), Ok(()), "a reconnect");
    assert_eq!(inner.admits(&key("shop/web", "new"), &facts("new")), Ok(()), "another workload");
}
