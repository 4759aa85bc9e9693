//! What is in force while the folder is broken: never more than was meant.

use serde_json::Value;

use crate::member::{Member, Mesh};
use crate::world::{ORDERS_POLICY, PAYMENTS_POLICY, World, until};

const BROKEN: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Policy\nmetadata: {name: orders\n  spec: [\n";

async fn connect(world: &World, callee: &str) -> Mesh {
    let web = Member::enrol(world, "web").await;
    web.connect(world.place(callee).inbound, callee).await.unwrap()
}

async fn status(mesh: &mut Mesh, path: &str) -> u16 {
    mesh.call("GET", path).await.unwrap().status
}

fn reasons(event: &Value) -> String {
    event["reasons"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_policy_denies_what_it_selects_and_the_rest_is_served() {
    let world = World::new();
    // A misspelt field must not select more, nor less.
    world.write("orders.yaml", &ORDERS_POLICY.replace("effect: Deny", "efect: Deny"));
    let _operator = world.operator().await;
    let orders = world.application("orders").await;
    let _payments = world.application("payments").await;
    let _sidecars = (world.sidecar("orders").await, world.sidecar("payments").await);
    assert_eq!(status(&mut connect(&world, "orders").await, "/orders/1").await, 403);
    assert_eq!(status(&mut connect(&world, "payments").await, "/payments/1").await, 200);
    assert!(orders.seen().is_empty());
    let event = world.audited("orders", "the denial", |event| event["path"] == "/orders/1").await;
    assert!(reasons(&event).contains("invalid") && reasons(&event).contains("orders"), "{event}");
    let objects = world.status().await["objects"].clone();
    assert!(objects.to_string().contains("efect"), "the status says what is wrong: {objects}");

    // Mended, it works.
    world.edit(2, |world| world.write("orders.yaml", ORDERS_POLICY)).await;
    assert_eq!(status(&mut connect(&world, "orders").await, "/orders/1").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_at_start_denies_every_call() {
    let world = World::new();
    world.write("broken.yaml", BROKEN);
    let _operator = world.operator().await;
    let payments = world.application("payments").await;
    let _sidecar = world.sidecar("payments").await;
    let mut mesh = connect(&world, "payments").await;
    assert_eq!(status(&mut mesh, "/payments/1").await, 403);
    assert!(payments.seen().is_empty());
    let event = world.audited("payments", "the denial", |event| event["path"] == "/payments/1").await;
    assert!(reasons(&event).contains("broken.yaml"), "the reason names the file: {event}");

    world.edit(1, |world| world.remove("broken.yaml")).await;
    assert_eq!(status(&mut mesh, "/payments/1").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_breaks_while_running_keeps_its_last_good_content() {
    let world = World::new();
    let operator = world.operator().await;
    let _applications = (world.application("orders").await, world.application("payments").await);
    let _sidecars = (world.sidecar("orders").await, world.sidecar("payments").await);
    let (mut orders, mut payments) = (connect(&world, "orders").await, connect(&world, "payments").await);
    world.write("orders.yaml", BROKEN);
    until("the operator says so", async || {
        world.status().await["sourceProblems"].to_string().contains("orders.yaml")
    })
    .await;
    for (path, expected) in [("/orders/1", 200), ("/orders/secret", 403)] {
        assert_eq!(status(&mut orders, path).await, expected, "{path}: the last good content stays");
    }
    // Other files go on being read.
    let edited = PAYMENTS_POLICY.replace("/payments/{id}", "/refunds/{id}");
    world.edit(2, |world| world.write("payments.yaml", &edited)).await;
    assert_eq!(status(&mut payments, "/refunds/1").await, 200);
    assert_eq!(status(&mut payments, "/payments/1").await, 403);
    assert_eq!(status(&mut orders, "/orders/1").await, 200);
    assert!(operator.log().contains("last good"), "{}", operator.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_deleted_keeps_the_last_good_state() {
    let world = World::new();
    let _operator = world.operator().await;
    let _application = world.application("orders").await;
    let orders_sidecar = world.sidecar("orders").await;
    let mut orders = connect(&world, "orders").await;
    std::fs::rename(world.path("source"), world.path("gone")).unwrap();
    until("the operator says so", async || {
        !world.status().await["sourceProblems"].as_object().unwrap().is_empty()
    })
    .await;
    assert_eq!(status(&mut orders, "/orders/1").await, 200);
    assert_eq!(status(&mut orders, "/orders/secret").await, 403);
    // A sidecar that starts now still gets what was last good.
    orders_sidecar.kill();
    let _sidecar = world.sidecar("orders").await;
    let mut orders = connect(&world, "orders").await;
    assert_eq!(status(&mut orders, "/orders/1").await, 200);
    assert_eq!(status(&mut orders, "/orders/secret").await, 403);

    std::fs::rename(world.path("gone"), world.path("source")).unwrap();
    let edited = ORDERS_POLICY.replace("/orders/{id}", "/invoices/{id}");
    world.edit(1, |world| world.write("orders.yaml", &edited)).await;
    assert_eq!(status(&mut orders, "/orders/1").await, 403);
}
