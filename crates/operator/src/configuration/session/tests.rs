use super::*;
use crate::publish::Publisher;
use crate::testing::{identity, metrics, publication, workload};

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_does_not_read_is_dropped_after_ten_seconds_and_holds_one_snapshot() {
    let publisher = Arc::new(Publisher::new("cluster.local".parse().unwrap(), Arc::from([])));
    publisher.publish(publication(&[("shop/web", 1)]));
    let metrics = metrics();
    let (outbound, _unread) = mpsc::channel(2);
    let mut session = Session {
        key: SidecarKey { workload: workload("shop/web"), instance: "a".into() },
        identity: identity("shop/web"),
        number: 1,
        published: publisher.subscribe(&workload("shop/web")).unwrap(),
        publisher: Arc::clone(&publisher),
        ahead: None,
        bundle: publisher.bundle(),
        believed: None,
        offered: None,
        outbound,
        status: Arc::new(StatusBoard::new(metrics.clone())),
        metrics: metrics.clone(),
    };
    session.begin().await.unwrap();
    let started = tokio::time::Instant::now();
    for mark in 2..50 {
        publisher.publish(publication(&[("shop/web", mark)]));
    }
    assert_eq!(session.offer().await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(started.elapsed(), SEND_DEADLINE);
    assert_eq!(metrics.slow_sidecars_dropped.get(), 1);
    assert_eq!(session.offered.map(|offered| offered.position.version), Some(49), "the latest wins");
}

#[tokio::test]
async fn a_workload_that_changes_its_service_account_is_taken_from_the_old_one() {
    let publisher = Arc::new(Publisher::new("cluster.local".parse().unwrap(), Arc::from([])));
    publisher.publish(publication(&[("shop/web", 1)]));
    let (outbound, _read) = mpsc::channel(2);
    let mut session = Session {
        key: SidecarKey { workload: workload("shop/web"), instance: "a".into() },
        identity: identity("shop/old"),
        number: 1,
        published: publisher.subscribe(&workload("shop/web")).unwrap(),
        publisher: Arc::clone(&publisher),
        ahead: None,
        bundle: publisher.bundle(),
        believed: None,
        offered: None,
        outbound,
        status: Arc::new(StatusBoard::new(metrics())),
        metrics: metrics(),
    };
    assert_eq!(session.offer().await.unwrap_err().code(), Code::PermissionDenied);
    assert!(session.offered.is_none());
}

#[tokio::test]
async fn an_acknowledgement_of_another_snapshot_than_the_offered_one_is_ignored() {
    let publisher = Arc::new(Publisher::new("cluster.local".parse().unwrap(), Arc::from([])));
    publisher.publish(publication(&[("shop/web", 1)]));
    let metrics = metrics();
    let (outbound, _read) = mpsc::channel(2);
    let status = Arc::new(StatusBoard::new(metrics.clone()));
    let key = SidecarKey { workload: workload("shop/web"), instance: "a".into() };
    let facts = crate::status::SidecarFacts {
        version: "0.1.0".into(),
        schema_level: 1,
        identity: identity("shop/web"),
        certificate_serial: "01".into(),
        certificate_not_after: 7,
        held: None,
    };
    status.connected(key.clone(), 1, facts).unwrap();
    let mut session = Session {
        key,
        identity: identity("shop/web"),
        number: 1,
        published: publisher.subscribe(&workload("shop/web")).unwrap(),
        publisher: Arc::clone(&publisher),
        ahead: None,
        bundle: publisher.bundle(),
        believed: None,
        offered: None,
        outbound,
        status,
        metrics: metrics.clone(),
    };
    session.offer().await.unwrap();
    session.acknowledged(&Ack { snapshot_id: vec![7; 32], version: 1 }).unwrap();
    assert_eq!(metrics.acknowledged.get(), 0);
    let id = session.offered.as_ref().unwrap().encoded.id();
    session.acknowledged(&Ack { snapshot_id: id.0.to_vec(), version: 1 }).unwrap();
    assert_eq!(metrics.acknowledged.get(), 1);
}
