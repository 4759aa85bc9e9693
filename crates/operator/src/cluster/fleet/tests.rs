mod property;

use std::collections::HashMap;

use bailiwick_compile::ObjectKind;

use super::*;
use crate::status::Verdict;
use crate::testing::{identity, published, workload};

#[derive(Debug, Default)]
pub(super) struct Pods {
    pods: HashMap<WorkloadKey, PodPlace>,
    audited: bool,
}

impl Pods {
    pub(super) fn running(names: &[&str]) -> Self {
        let pods = names.iter().map(|name| (workload(name), running(Injected::Yes))).collect();
        Self { pods, audited: false }
    }

    fn with(mut self, name: &str, sidecar: Injected) -> Self {
        self.pods.insert(workload(name), running(sidecar));
        self
    }
}

fn running(sidecar: Injected) -> PodPlace {
    PodPlace::Running { uid: "uid".to_owned(), sidecar }
}

impl Cluster for Pods {
    fn pod(&self, workload: &WorkloadKey) -> PodPlace {
        self.pods.get(workload).cloned().unwrap_or(PodPlace::NotCounted)
    }

    fn authorization_audited(&self, _: &str) -> bool {
        self.audited
    }
}

pub(super) fn key(name: &str) -> SidecarKey {
    SidecarKey { workload: workload(name), instance: "uid".to_owned() }
}

pub(super) fn facts(held: Option<bailiwick_policy::SnapshotId>) -> SidecarFacts {
    SidecarFacts {
        version: "0.1.0".into(),
        schema_level: 1,
        identity: identity("shop/orders"),
        certificate_serial: "01".into(),
        certificate_not_after: 7,
        held,
    }
}

pub(super) fn object(kind: ObjectKind, name: &str, generation: i64, reaches: &[&str]) -> ObjectRecord {
    let namespace = if kind.namespaced() { "shop" } else { "" };
    ObjectRecord {
        key: ObjectKey { kind, namespace: namespace.into(), name: name.into() },
        uid: "one".into(),
        generation,
        accepted: Verdict::Holds,
        resolved: Verdict::Holds,
        audit: false,
        workloads: reaches.iter().map(|name| workload(name)).collect(),
        depends_on: Vec::new(),
    }
}

fn policy(generation: i64, reaches: &[&str]) -> ObjectRecord {
    object(ObjectKind::Policy, "orders", generation, reaches)
}

pub(super) fn compile(fleet: &Fleet, objects: &[ObjectRecord], contents: &[(&str, u64)]) {
    let workloads = contents.iter().map(|(name, mark)| (workload(name), published(name, *mark))).collect();
    fleet.compiled(objects, &workloads);
}

pub(super) fn id(name: &str, mark: u64) -> bailiwick_policy::SnapshotId {
    published(name, mark).encoded.id()
}

pub(super) fn connect(fleet: &Fleet, name: &str, session: u64) {
    fleet.sidecar(&key(name), session, Happened::Connected(&facts(None)));
}

pub(super) fn acknowledge(fleet: &Fleet, name: &str, session: u64, mark: u64) {
    let (id, version) = (id(name, mark), mark);
    fleet.sidecar(&key(name), session, Happened::Acknowledged { id, version });
}

fn assess(fleet: &Fleet, pods: &Pods) -> Vec<Assessment> {
    fleet.assess(pods, Instant::now())
}

/// Status, reason and counts of the first object.
fn enforced(fleet: &Fleet, pods: &Pods) -> (Answer, String, (u32, u32)) {
    let first = assess(fleet, pods).remove(0);
    (first.enforced.answer, first.enforced.reason, (first.acknowledged, first.targeted))
}

fn is(answer: Answer, reason: &str, counts: (u32, u32)) -> (Answer, String, (u32, u32)) {
    (answer, reason.to_owned(), counts)
}

#[test]
fn enforced_is_what_every_running_pod_has_acknowledged() {
    let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a", "shop/b"]));
    compile(&fleet, &[policy(1, &["shop/a", "shop/b", "shop/pending"])], &[("shop/a", 1), ("shop/b", 1)]);
    connect(&fleet, "shop/a", 1);
    connect(&fleet, "shop/b", 2);
    acknowledge(&fleet, "shop/a", 1, 1);
    assert_eq!(enforced(&fleet, &pods), is(Answer::NotYet, "PodLagging", (1, 2)));
    assert!(assess(&fleet, &pods)[0].enforced.message.contains("shop/b"), "it names the pod");
    acknowledge(&fleet, "shop/b", 2, 1);
    assert_eq!(enforced(&fleet, &pods), is(Answer::Yes, "Enforced", (2, 2)));
    compile(&fleet, &[policy(2, &["shop/a", "shop/b"])], &[("shop/a", 2), ("shop/b", 2)]);
    assert_eq!(enforced(&fleet, &pods), is(Answer::NotYet, "PodLagging", (0, 2)));
}

#[test]
fn another_objects_edit_does_not_make_an_object_unenforced() {
    let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a"]));
    let other = |generation| object(ObjectKind::Policy, "other", generation, &["shop/a"]);
    compile(&fleet, &[policy(1, &["shop/a"]), other(1)], &[("shop/a", 1)]);
    connect(&fleet, "shop/a", 1);
    acknowledge(&fleet, "shop/a", 1, 1);
    compile(&fleet, &[policy(1, &["shop/a"]), other(2)], &[("shop/a", 2)]);
    let answers: Vec<Answer> = assess(&fleet, &pods).iter().map(|one| one.enforced.answer).collect();
    assert_eq!(answers, [Answer::Yes, Answer::NotYet]);
}

#[test]
fn an_edit_of_a_role_makes_its_policies_unenforced_until_acknowledged() {
    let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a"]));
    let role = |generation| object(ObjectKind::Role, "reader", generation, &["shop/a"]);
    let bound = ObjectRecord { depends_on: vec![role(1).key], ..policy(1, &["shop/a"]) };
    compile(&fleet, &[bound.clone(), role(1)], &[("shop/a", 1)]);
    connect(&fleet, "shop/a", 1);
    acknowledge(&fleet, "shop/a", 1, 1);
    assert!(assess(&fleet, &pods).iter().all(|one| one.enforced.answer == Answer::Yes));
    compile(&fleet, &[bound.clone(), role(2)], &[("shop/a", 2)]);
    assert!(assess(&fleet, &pods).iter().all(|one| one.enforced.answer == Answer::NotYet));
    acknowledge(&fleet, "shop/a", 1, 2);
    assert!(assess(&fleet, &pods).iter().all(|one| one.enforced.answer == Answer::Yes));
    compile(&fleet, &[bound], &[("shop/a", 3)]);
    assert_eq!(enforced(&fleet, &pods).0, Answer::NotYet, "the role is gone");
}

#[test]
fn an_object_made_again_and_a_pod_that_is_newly_reached_are_not_enforced_by_old_acknowledgements() {
    let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a", "shop/b"]));
    compile(&fleet, &[policy(1, &["shop/a"])], &[("shop/a", 1), ("shop/b", 1)]);
    for (session, name) in ["shop/a", "shop/b"].into_iter().enumerate() {
        connect(&fleet, name, session as u64);
        acknowledge(&fleet, name, session as u64, 1);
    }
    assert_eq!(enforced(&fleet, &pods), is(Answer::Yes, "Enforced", (1, 1)));
    compile(&fleet, &[policy(1, &["shop/a", "shop/b"])], &[("shop/a", 1), ("shop/b", 2)]);
    assert_eq!(enforced(&fleet, &pods), is(Answer::NotYet, "PodLagging", (1, 2)));
    acknowledge(&fleet, "shop/b", 1, 2);
    let again = ObjectRecord { uid: "two".into(), ..policy(1, &["shop/a", "shop/b"]) };
    compile(&fleet, &[again], &[("shop/a", 3), ("shop/b", 3)]);
    assert_eq!(enforced(&fleet, &pods), is(Answer::NotYet, "PodLagging", (0, 2)));
}

#[test]
fn what_changes_nothing_for_a_pod_is_enforced_there_at_once() {
    let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a"]));
    compile(&fleet, &[policy(1, &["shop/a"])], &[("shop/a", 1)]);
    connect(&fleet, "shop/a", 1);
    acknowledge(&fleet, "shop/a", 1, 1);
    compile(&fleet, &[policy(2, &["shop/a"])], &[("shop/a", 1)]);
    assert_eq!(enforced(&fleet, &pods), is(Answer::Yes, "Enforced", (1, 1)));
}

#[test]
fn the_reason_names_what_keeps_a_pod_from_enforcing() {
    let all = ["shop/a", "shop/b"];
    for (injection, reason) in [
        (Injected::Missing, "PodNotInjected"),
        (Injected::NotEnrolled, "NotEnrolled"),
        (Injected::Exempt, "Exempt"),
    ] {
        let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a"]).with("shop/b", injection));
        compile(&fleet, &[policy(1, &all)], &[("shop/a", 1)]);
        connect(&fleet, "shop/a", 1);
        assert_eq!(enforced(&fleet, &pods), is(Answer::No, reason, (0, 2)), "lasting reasons come first");
        acknowledge(&fleet, "shop/a", 1, 1);
        assert_eq!(enforced(&fleet, &pods), is(Answer::No, reason, (1, 2)));
        assert!(assess(&fleet, &pods)[0].enforced.message.contains("shop/b"));
    }
}

#[test]
fn a_sidecar_that_refuses_is_too_old_or_is_not_there_is_said() {
    let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a"]));
    compile(&fleet, &[policy(1, &["shop/a"])], &[("shop/a", 1)]);
    assert_eq!(enforced(&fleet, &pods), is(Answer::No, "SidecarNotConnected", (0, 1)));
    let later = Instant::now() + GRACE;
    let unknown = fleet.assess(&pods, later).remove(0).enforced;
    assert_eq!((unknown.answer, unknown.reason.as_str()), (Answer::Unknown, "Pending"));
    fleet.sidecar(&key("shop/a"), 0, Happened::TooOld("0.0.1"));
    assert_eq!(enforced(&fleet, &pods), is(Answer::No, "SidecarTooOld", (0, 1)));
    connect(&fleet, "shop/a", 1);
    fleet.sidecar(&key("shop/a"), 1, Happened::Refused { version: 1, reason: "broken" });
    assert_eq!(enforced(&fleet, &pods), is(Answer::No, "SidecarRefusedSnapshot", (0, 1)));
    acknowledge(&fleet, "shop/a", 1, 1);
    assert_eq!(enforced(&fleet, &pods), is(Answer::Yes, "Enforced", (1, 1)));
}

#[test]
fn what_takes_no_part_is_audit_only_and_what_reaches_nothing_is_enforced() {
    let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a"]));
    compile(&fleet, &[policy(1, &["shop/gone"])], &[]);
    assert_eq!(enforced(&fleet, &pods), is(Answer::Yes, "NoWorkloads", (0, 0)));
    let role = object(ObjectKind::Role, "reader", 1, &["shop/a"]);
    let bound = ObjectRecord { depends_on: vec![role.key.clone()], ..policy(1, &["shop/a"]) };
    let audit = ObjectRecord { audit: true, ..bound.clone() };
    let cluster = object(ObjectKind::ClusterPolicy, "guard", 1, &["shop/a"]);
    connect(&fleet, "shop/a", 1);
    let reasons = |pods: &Pods| -> Vec<String> {
        assess(&fleet, pods).into_iter().map(|one| one.enforced.reason).collect()
    };
    compile(&fleet, &[cluster.clone(), audit, role.clone()], &[("shop/a", 1)]);
    acknowledge(&fleet, "shop/a", 1, 1);
    assert_eq!(reasons(&pods), ["Enforced", "AuditOnly", "AuditOnly"]);
    let audited = Pods { audited: true, ..Pods::running(&["shop/a"]) };
    compile(&fleet, &[cluster.clone(), bound.clone(), role.clone()], &[("shop/a", 1)]);
    assert_eq!(reasons(&audited), ["Enforced", "AuditOnly", "AuditOnly"]);
    assert_eq!(reasons(&pods), ["Enforced", "Enforced", "Enforced"]);
    let cluster = ObjectRecord { depends_on: vec![role.key.clone()], ..cluster };
    compile(&fleet, &[cluster, bound, role], &[("shop/a", 1)]);
    assert_eq!(reasons(&audited), ["Enforced", "AuditOnly", "Enforced"], "a ClusterPolicy binds it, too");
}

#[test]
fn what_is_not_accepted_is_not_enforced_and_says_why() {
    let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a"]));
    let fails = Verdict::Fails { reason: "NotYetSupported".into(), message: "later".into() };
    compile(&fleet, &[ObjectRecord { accepted: fails, ..policy(1, &["shop/a"]) }], &[("shop/a", 1)]);
    assert_eq!(enforced(&fleet, &pods), is(Answer::No, "NotYetSupported", (0, 1)));
}

#[test]
fn a_sidecar_that_moves_to_another_replica_goes_on_counting() {
    let (fleet, other, pods) = (Fleet::new(), Fleet::new(), Pods::running(&["shop/a"]));
    for fleet in [&fleet, &other] {
        compile(fleet, &[policy(1, &["shop/a"])], &[("shop/a", 1)]);
    }
    connect(&fleet, "shop/a", 1);
    acknowledge(&fleet, "shop/a", 1, 1);
    fleet.sidecar(&key("shop/a"), 1, Happened::Disconnected);
    assert_eq!(enforced(&fleet, &pods).0, Answer::Yes, "it keeps what it has");
    other.sidecar(&key("shop/a"), 7, Happened::Connected(&facts(Some(id("shop/a", 1)))));
    let (replica, (_, told)) = (Arc::from("replica-b"), other.own_since(0));
    fleet.replica_begins(&replica);
    told.into_iter().for_each(|told| fleet.told(&replica, told));
    assert_eq!(enforced(&fleet, &pods).0, Answer::Yes, "it holds what it held");
    compile(&fleet, &[policy(2, &["shop/a"])], &[("shop/a", 2)]);
    assert_eq!(enforced(&fleet, &pods).0, Answer::NotYet);
    acknowledge(&other, "shop/a", 7, 2);
    let (tick, told) = other.own_since(1);
    told.into_iter().for_each(|told| fleet.told(&replica, told));
    assert_eq!(enforced(&fleet, &pods).0, Answer::Yes);
    assert!(other.own_since(tick).1.is_empty(), "nothing new");
    fleet.replica_gone(&replica);
    assert_eq!(enforced(&fleet, &pods).0, Answer::Yes, "for a while");
    compile(&fleet, &[policy(3, &["shop/a"])], &[("shop/a", 3)]);
    assert_eq!(enforced(&fleet, &pods).0, Answer::NotYet, "and only for what it had");
}

#[test]
fn only_what_may_have_changed_is_assessed_again() {
    let (fleet, pods) = (Fleet::new(), Pods::running(&["shop/a", "shop/b"]));
    let other = object(ObjectKind::Policy, "other", 1, &["shop/b"]);
    compile(&fleet, &[policy(1, &["shop/a"]), other], &[("shop/a", 1), ("shop/b", 1)]);
    let stale = || fleet.assess_stale(&pods, Instant::now()).len();
    assert_eq!((stale(), stale()), (2, 0));
    connect(&fleet, "shop/b", 1);
    assert_eq!((stale(), stale()), (1, 0));
}
