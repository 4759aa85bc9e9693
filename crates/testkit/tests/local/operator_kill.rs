//! The control plane is lost and comes back; nobody who calls notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Http, once};
use crate::world::{ORDERS_POLICY, World, state, until};

/// Calls without pause until told to stop: (calls that got 200, everything else).
async fn calls(address: std::net::SocketAddr, stop: Arc<AtomicBool>, kept_alive: bool) -> (u64, Vec<String>) {
    let (mut served, mut failed) = (0, Vec::new());
    let mut connection = Http::plain(address).await.unwrap();
    while !stop.load(Ordering::SeqCst) {
        let answer = if kept_alive {
            connection.call("GET", "/orders/1").await
        } else {
            once(address, "GET", "/orders/1").await
        };
        match answer {
            Ok(answer) if answer.status == 200 => served += 1,
            Ok(answer) => failed.push(format!("{} {}", answer.status, answer.body)),
            Err(error) => {
                failed.push(error.to_string());
                connection = Http::plain(address).await.unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (served, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i9_kill_9_of_the_operator_fails_no_call_and_it_comes_back_as_the_same_one() {
    let world = World::new();
    let operator = world.operator().await;
    let _service = world.service("orders").await;
    let (_orders, _web) = (world.sidecar("orders").await, world.sidecar("web").await);
    until("both sidecars have acknowledged", async || world.is_enforced_by(2).await).await;
    let web = world.place("web").outbound;
    let orders = world.place("orders").admin;
    let root = std::fs::read(world.path("state/bundle.pem")).unwrap();
    let before = state(orders).await["snapshot"].clone();

    let stop = Arc::new(AtomicBool::new(false));
    let traffic = [true, false].map(|kept_alive| tokio::spawn(calls(web, Arc::clone(&stop), kept_alive)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    operator.kill();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    // Edited while nobody watches.
    world.write("orders.yaml", &ORDERS_POLICY.replace("/orders/secret", "/orders/2"));
    let back = Instant::now();
    let _operator = world.operator().await;
    until("both sidecars are back and have acknowledged", async || world.is_enforced_by(2).await).await;
    println!("acknowledged {:?} after the operator was started again", back.elapsed());
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::SeqCst);
    let served = AtomicU64::new(0);
    for calls in traffic {
        let (ok, failed) = calls.await.unwrap();
        assert!(failed.is_empty(), "{} of {ok} calls failed: {:?}", failed.len(), failed.first());
        served.fetch_add(ok, Ordering::SeqCst);
    }
    assert!(served.into_inner() > 100, "hardly any traffic");

    assert_eq!(std::fs::read(world.path("state/bundle.pem")).unwrap(), root, "the root is the same");
    let after = state(orders).await["snapshot"].clone();
    assert_eq!(after["epoch"], before["epoch"]);
    assert!(after["version"].as_u64() > before["version"].as_u64(), "{before} {after}");
    assert_eq!(once(web, "GET", "/orders/2").await.unwrap().status, 403, "what was edited meanwhile");
    assert_eq!(once(web, "GET", "/orders/1").await.unwrap().status, 200);
}
