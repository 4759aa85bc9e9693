//! A sidecar is lost and comes back.

use std::time::{Duration, Instant};

use crate::client::once;
use crate::world::{World, is_ready};

/// What is promised.
const PROMISE: Duration = Duration::from_secs(3);
/// What fails the test: machines that run tests are busy.
const BOUND: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_kill_9_of_a_sidecar_is_over_soon_and_nothing_passes_meanwhile() {
    let world = World::new();
    let _operator = world.operator().await;
    let application = world.application("orders").await;
    let (orders, _web) = (world.sidecar("orders").await, world.sidecar("web").await);
    let web = world.place("web").outbound;
    let place = world.place("orders");
    assert_eq!(once(web, "GET", "/orders/1").await.unwrap().status, 200);

    let bytes = application.bytes();
    orders.kill();
    let killed = Instant::now();
    assert!(once(place.inbound, "GET", "/orders/1").await.is_err());
    let without = once(web, "GET", "/orders/1").await.unwrap();
    assert_eq!(without.status, 503, "{without:?}");
    assert_eq!(application.bytes(), bytes, "nothing passes while there is no sidecar");

    let _orders = world.start_sidecar("orders");
    while !is_ready(place.admin).await {
        assert!(killed.elapsed() < BOUND, "not ready after {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ready = killed.elapsed();
    while !once(web, "GET", "/orders/1").await.is_ok_and(|answer| answer.status == 200) {
        assert!(killed.elapsed() < BOUND, "no call is served after {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("ready {ready:?}, first call {:?} after kill -9 (promised: {PROMISE:?})", killed.elapsed());
}
