//! Start, stop, restart, and what happens to the source meanwhile.

use super::*;
use tonic::Code;

use crate::testing::client::{hello, signing_request};

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_serves_and_is_ready() {
    let ground = Ground::new();
    let running = ground.start();
    let ready: Value = serde_json::from_slice(&std::fs::read(ground.path("ready.json")).unwrap()).unwrap();
    assert_eq!(ready["identity"], running.places.identity.to_string());
    assert_eq!(ready["configuration"], running.places.configuration.to_string());
    assert_eq!(ready["admin"], running.places.admin.to_string());
    assert_eq!(ready["operator"], "spiffe://cluster.local/ns/bailiwick-system/sa/bailiwick-operator");
    assert!(std::path::Path::new(ready["bundleFile"].as_str().unwrap()).is_file());
    assert_eq!(get(running.places.admin, "/ready").await.0, 200);
    let mut stream = TcpStream::connect(running.places.admin).await.unwrap();
    stream.write_all(b"POST /config HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 405"), "L1: nothing here changes anything: {text}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_operator_is_the_same_one_and_never_goes_back() {
    let ground = Ground::new();
    let mut last = bailiwick_wire::Position::default();
    let mut bundle = None;
    let mut old_certificate: Option<Client> = None;
    for _ in 0..3 {
        let running = ground.start();
        let client = ground.enrolled(&running, "shop/orders").await;
        let at = running.places.configuration;
        // A certificate of the run before is still good: sidecars reconnect by themselves.
        let client = old_certificate.take().unwrap_or(client);
        let mut stream = client.stream(at, hello("shop/orders", "a")).await.unwrap();
        let header = stream.header().await.unwrap();
        assert!(last.is_older_than(header.position()) && !header.position().is_older_than(&last));
        last = header.position().clone();
        let found = std::fs::read(ground.path("state/bundle.pem")).unwrap();
        assert_eq!(*bundle.get_or_insert_with(|| found.clone()), found);
        old_certificate = Some(client);
        let stopping = Instant::now();
        running.stop().await;
        assert!(stopping.elapsed() < DRAIN_DEADLINE, "an open stream does not hold up the end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_deleted_keeps_the_last_good_state_and_says_so() {
    let ground = Ground::new();
    let running = ground.start();
    let before = status(&running).await;
    std::fs::rename(ground.path("source"), ground.path("away")).unwrap();
    let gone = until(&running, "the loss", |status| !status["sourceProblems"]["folder"].is_null()).await;
    assert_eq!(gone["workloads"], before["workloads"]);
    assert!(ground.path("state/tokens/shop.web.token").exists());
    std::fs::rename(ground.path("away"), ground.path("source")).unwrap();
    let back = until(&running, "the return", |status| status["sourceProblems"]["folder"].is_null()).await;
    assert_eq!(back["workloads"], before["workloads"], "nothing was published anew");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_edit_is_reported_and_denies_what_it_selects() {
    let ground = Ground::new();
    let running = ground.start();
    ground.write("source/policy.yaml", &policy("/orders").replace("effect: Allow", "efect: Allow"));
    let status = until(&running, "the mistake", |status| {
        object(status, "Policy", "orders")["conditions"][0]["status"] == "False"
    })
    .await;
    let message =
        object(&status, "Policy", "orders")["conditions"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("efect") && message.contains("BW"), "{message}");
    ground.write("source/policy.yaml", &policy("/orders"));
    until(&running, "the repair", |status| {
        object(status, "Policy", "orders")["conditions"][0]["status"] == "True"
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_in_use_is_refused() {
    let ground = Ground::new();
    let running = ground.start();
    let error = start(ground.config()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("in use by another operator"), "{error}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_while_its_mark_cannot_be_written() {
    let ground = Ground::new();
    let running = ground.start();
    let client = ground.enrolled(&running, "shop/orders").await;
    let mut stream = client.stream(running.places.configuration, hello("shop/orders", "a")).await.unwrap();
    let first = stream.header().await.unwrap();
    // As a full disk does: the next mark has no place.
    let place = ground.path("state/.mark.new");
    std::fs::create_dir(&place).unwrap();
    ground.write("source/policy.yaml", &policy("/edited"));
    until(&running, "the failure", |status| !status["sourceProblems"]["state"].is_null()).await;
    assert_eq!(status(&running).await["publication"]["version"], first.position().version);
    std::fs::remove_dir(&place).unwrap();
    let second = stream.header().await.unwrap();
    assert!(first.position().is_older_than(second.position()));
    until(&running, "the repair", |status| status["sourceProblems"]["state"].is_null()).await;
    running.stop().await;
}

fn own_trust_domain(name: &str) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: TrustDomain\nmetadata: {{name: {name}}}\nspec: {{own: {{issuer: {{builtIn: {{}}}}}}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_is_issued_while_nobody_knows_the_trust_domain() {
    let ground = Ground::new();
    ground.write("source/domain.yaml", &own_trust_domain("corp.example"));
    let running = ground.start();
    let certified = ground.client_of("corp.example");
    certified.enrol(running.places.identity, &ground.token("shop/web")).await;
    assert_eq!(certified.identity(), "spiffe://corp.example/ns/shop/sa/web");
    ground.write("source/second.yaml", &own_trust_domain("other.example"));
    let status = until(&running, "the doubt", |status| status["mesh"]["issues"] == false).await;
    assert!(status["mesh"]["issuesNothingBecause"].as_str().unwrap().contains("TrustDomain"));
    let answer =
        certified.issue(running.places.identity, &ground.token("shop/web"), signing_request(&[]).1).await;
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    running.stop().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // It starts in that state too, with the root that it has.
    let running = ground.start();
    let ready = std::fs::read_to_string(ground.path("ready.json")).unwrap();
    assert!(ready.contains("spiffe://corp.example/"), "{ready}");
    running.stop().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Another domain than the root's is not a doubt: it is refused.
    std::fs::remove_file(ground.path("source/domain.yaml")).unwrap();
    let error = start(ground.config()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("corp.example") && error.contains("other.example"), "{error}");
}
