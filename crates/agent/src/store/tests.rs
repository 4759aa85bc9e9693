use bailiwick_identity::{MtlsMode, PortTrust};
use bailiwick_policy::{SnapshotParts, WorkloadKey};

use super::*;

fn candidate(epoch: u64, mark: u64, id: u8) -> Candidate {
    let parts = SnapshotParts {
        workload: WorkloadKey { namespace: "shop".parse().unwrap(), name: "orders".parse().unwrap() },
        trust_domain: "cluster.local".parse().unwrap(),
        authorization_audit: false,
        objects: Vec::new(),
    };
    let default =
        PortTrust { mode: MtlsMode::Strict, trust_domains: Vec::new(), audit: false, invalid: None };
    Candidate {
        snapshot: Snapshot::build(SnapshotId([id; 32]), parts).unwrap(),
        trust: TrustConfig { default, ports: BTreeMap::new() },
        protocols: BTreeMap::new(),
        position: position(epoch, mark),
        id: SnapshotId([id; 32]),
    }
}

fn position(epoch: u64, mark: u64) -> Position {
    Position { epoch, marks: BTreeMap::from([("folder".to_owned(), mark)]), version: 1 }
}

#[test]
fn i9_an_older_snapshot_never_replaces_a_newer_one() {
    let store = ConfigStore::default();
    assert!(store.current().is_none() && store.age().is_none());
    store.publish(candidate(2, 5, 1)).unwrap();
    assert!(store.publish(candidate(2, 4, 2)).is_err());
    assert!(store.publish(candidate(1, 9, 3)).is_err());
    assert_eq!(store.current().unwrap().id, SnapshotId([1; 32]));
    store.publish(candidate(2, 5, 4)).unwrap();
    assert_eq!(store.current().unwrap().id, SnapshotId([4; 32]));
}

#[test]
fn the_same_content_moves_on_without_a_change() {
    let store = ConfigStore::default();
    store.publish(candidate(2, 5, 1)).unwrap();
    let mut changed = store.subscribe();
    changed.mark_unchanged();
    assert!(matches!(store.advance(SnapshotId([1; 32]), &position(2, 8)), Advanced::Moved(_)));
    assert!(!changed.has_changed().unwrap());
    assert!(store.publish(candidate(2, 7, 2)).is_err(), "the position moved");
    assert!(matches!(store.advance(SnapshotId([9; 32]), &position(2, 9)), Advanced::Other));
    for older in [position(2, 7), position(1, 9), Position { marks: BTreeMap::new(), ..position(2, 8) }] {
        assert!(matches!(store.advance(SnapshotId([1; 32]), &older), Advanced::Behind(_)));
        assert_eq!(store.current().unwrap().position, position(2, 8), "it never moves back");
    }
}

#[tokio::test]
async fn applied_means_every_thread_confirmed() {
    let store = Arc::new(ConfigStore::default());
    let (mut first, mut second) = (store.register(), store.register());
    let active = store.publish(candidate(1, 1, 1)).unwrap();
    let wait = || tokio::time::timeout(Duration::from_millis(50), store.applied(active.generation()));
    let taken = first.next().await;
    first.confirm(&taken);
    assert!(wait().await.is_err(), "the second thread has not confirmed");
    let taken = second.next().await;
    second.confirm(&taken);
    assert!(wait().await.is_ok());
    // A thread that comes later gets the configuration at once; one that went away is not waited for.
    let mut third = store.register();
    assert!(wait().await.is_err());
    assert_eq!(third.next().await.id, active.id);
    drop(third);
    assert!(wait().await.is_ok());
}
