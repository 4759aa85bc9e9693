use super::*;
use crate::publish::Publisher;
use crate::testing::{identity, metrics, publication, workload};

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_does_not_read_is_dropped_after_ten_seconds_and_holds_one_snapshot() {
    let publisher = Publisher::new("cluster.local".parse().unwrap(), Arc::from([]));
    publisher.publish(publication(&[("shop/web", 1)]));
    let metrics = metrics();
    let (outbound, _unread) = mpsc::channel(2);
    let mut session = Session {
        key: SidecarKey { workload: workload("shop/web"), instance: "a".into() },
        identity: identity("shop/web"),
        number: 1,
        published: publisher.subscribe(&workload("shop/web")).unwrap(),
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
    let publisher = Publisher::new("cluster.local".parse().unwrap(), Arc::from([]));
    publisher.publish(publication(&[("shop/web", 1)]));
    let (outbound, _read) = mpsc::channel(2);
    let mut session = Session {
        key: SidecarKey { workload: workload("shop/web"), instance: "a".into() },
        identity: identity("shop/old"),
        number: 1,
        published: publisher.subscribe(&workload("shop/web")).unwrap(),
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
