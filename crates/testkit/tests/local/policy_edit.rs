//! Policies change under calls that go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::Http;
use crate::member::Member;
use crate::world::{ORDERS_POLICY, World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_an_edit_is_acknowledged_by_all_and_decides_the_next_call_on_the_same_connection() {
    let world = World::new();
    let _operator = world.operator().await;
    let application = world.application("orders").await;
    let mut sidecars = Vec::new();
    for name in ["orders", "payments", "web", "report"] {
        sidecars.push(world.sidecar(name).await);
    }
    until("all sidecars have acknowledged", async || world.is_enforced_by(4).await).await;
    // One connection through the caller's sidecar, and one straight to the callee's.
    let mut through = Http::plain(world.place("web").outbound).await.unwrap();
    let member = Member::enrol(&world, "web").await;
    let mut straight = member.connect(world.place("orders").inbound, "orders").await.unwrap();
    let mut expect = async |path: &str, status: u16| {
        assert_eq!(
            through.call("GET", path).await.unwrap().status,
            status,
            "{path}, by the caller's sidecar"
        );
        assert_eq!(straight.call("GET", path).await.unwrap().status, status, "{path}, straight");
    };
    expect("/orders/1", 200).await;
    expect("/orders/secret", 403).await;

    let edited = ORDERS_POLICY.replace("/orders/{id}", "/invoices/{id}");
    let publication = world.edit(4, |world| world.write("orders.yaml", &edited)).await;
    assert_eq!(publication["acknowledged"], publication["of"]);
    assert!(publication["of"].as_u64() >= Some(1), "{publication}");
    let millis = publication["millis"].as_f64().unwrap();
    println!("acknowledged after {millis} ms (promised: 1000 ms)");
    assert!(millis < 5000.0, "{millis} ms");
    expect("/orders/1", 403).await;
    expect("/invoices/1", 200).await;

    let served = application.seen().len();
    world.edit(4, |world| world.remove("orders.yaml")).await;
    expect("/orders/1", 403).await;
    expect("/invoices/1", 403).await;
    assert_eq!(application.seen().len(), served);
    let by_default = |event: &serde_json::Value| {
        event["path"] == "/invoices/1" && event["reasons"][0]["kind"] == "Default"
    };
    world.audited("orders", "the default denies", by_default).await;

    world.edit(4, |world| world.write("orders.yaml", ORDERS_POLICY)).await;
    expect("/orders/1", 200).await;
}

/// web may read what `reader` says, but never what `forbidden` says.
const BOUND: &str = r#"apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders, namespace: shop}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    roles: [{name: reader}]
  - name: nobody
    effect: Deny
    subjects: [{anyone: {}}]
    roles: [{name: forbidden}]
"#;

fn role(name: &str, path: &str) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Role\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  permissions: [{{http: {{methods: [GET], paths: [\"{path}\"]}}}}]\n"
    )
}

/// Paths that are allowed, if at all, before and after; and one that is denied in both.
async fn sample(member: Member, world: Arc<World>, stop: Arc<AtomicBool>) -> (usize, usize) {
    let address = world.place("orders").inbound;
    let mut mesh = member.connect(address, "orders").await.unwrap();
    let (mut calls, mut served) = (0, 0);
    while !stop.load(Ordering::SeqCst) {
        for (path, ever) in
            [("/orders/1", true), ("/orders/secret", false), ("/invoices/1", true), ("/other", false)]
        {
            let answer = mesh.call("GET", path).await.unwrap();
            assert!(matches!(answer.status, 200 | 403), "{path}: {answer:?}");
            assert!(ever || answer.status == 403, "{path} was served: more access than before and after");
            served += usize::from(answer.status == 200);
            calls += 1;
        }
    }
    (calls, served)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_objects_deleted_and_created_again_under_load_never_give_more_than_before_and_after() {
    let world = Arc::new(World::new());
    world.write("orders.yaml", BOUND);
    world.write("reader.yaml", &role("reader", "/orders/{id}"));
    world.write("forbidden.yaml", &role("forbidden", "/orders/secret"));
    let _operator = world.operator().await;
    let _application = world.application("orders").await;
    let _orders = world.sidecar("orders").await;
    let (web, report) = (Member::enrol(&world, "web").await, Member::enrol(&world, "report").await);
    let stop = Arc::new(AtomicBool::new(false));
    let sampling =
        [web, report].map(|member| tokio::spawn(sample(member, Arc::clone(&world), Arc::clone(&stop))));

    let pause = || tokio::time::sleep(Duration::from_millis(250));
    for turn in 0..3 {
        world.remove("forbidden.yaml");
        pause().await;
        world.write("forbidden.yaml", &role("forbidden", "/orders/secret"));
        pause().await;
        world.remove("orders.yaml");
        pause().await;
        world.write("orders.yaml", BOUND);
        pause().await;
        world.remove("reader.yaml");
        pause().await;
        let path = if turn % 2 == 0 { "/invoices/{id}" } else { "/orders/{id}" };
        world.write("reader.yaml", &role("reader", path));
        pause().await;
    }
    world.edit(1, |world| world.write("reader.yaml", &role("reader", "/orders/{other}"))).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::SeqCst);
    let [web, report] = sampling;
    let ((calls, served), (others, leaked)) = (web.await.unwrap(), report.await.unwrap());
    println!("{calls} calls by web, {served} of them served; {others} by report");
    assert!(served > 0 && served < calls, "the world changed under the calls");
    assert_eq!(leaked, 0, "report was never allowed anything");
}
