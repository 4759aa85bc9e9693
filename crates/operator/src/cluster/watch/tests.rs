//! The reflector against an API server that does what a bad day does.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Instant;

use bailiwick_runtime::drain::Drain;
use http::{Request as HttpRequest, Response, StatusCode};
use kube::client::Body;
use serde_json::json;

use super::*;
use crate::cluster::stores::Stores;

/// What the API server answers to one request: a status and lines.
type Turn = (u16, Vec<Value>);

/// An API server that answers in turn, then hangs; it remembers what was asked.
#[derive(Clone)]
struct Script {
    turns: Arc<Mutex<VecDeque<Turn>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn of(turns: Vec<Turn>) -> Self {
        Self { turns: Arc::new(Mutex::new(turns.into())), asked: Arc::default() }
    }

    fn client(&self) -> Client {
        let script = self.clone();
        let service = tower::service_fn(move |request: HttpRequest<Body>| {
            let script = script.clone();
            async move {
                script.asked.lock().unwrap().push(request.uri().query().unwrap_or_default().to_owned());
                let next = script.turns.lock().unwrap().pop_front();
                let Some((status, lines)) = next else { return std::future::pending().await };
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                let status = StatusCode::from_u16(status).unwrap();
                Ok::<_, Infallible>(
                    Response::builder().status(status).body(Body::from(text.into_bytes())).unwrap(),
                )
            }
        });
        Client::new(service, "default")
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn pod(name: &str, revision: u64) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": name, "resourceVersion": revision.to_string()},
        "spec": {}, "status": {"phase": "Running"},
    })
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn bookmark(revision: u64, end: bool) -> Value {
    let annotations = if end { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
    let metadata = json!({"resourceVersion": revision.to_string(), "annotations": annotations});
    event("BOOKMARK", json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}))
}

fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": "X", "message": "no"})
}

/// Follows a script until `reached`, and gives the stores.
async fn followed(script: &Script, reached: impl Fn(&Stores) -> bool) -> Stores {
    let (stores, drain) = (Stores::new(), Drain::new());
    let task = tokio::spawn(follow(script.client(), Arc::clone(&stores.pods), drain.watch()));
    let start = Instant::now();
    while !reached(&stores) {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?} {:?}",
            script.asked(),
            stores.pods.problem()
        );
        sleep(Duration::from_millis(5)).await;
    }
    drain.signal();
    task.await.unwrap();
    stores
}

fn names(stores: &Stores) -> Vec<String> {
    stores.pods.list().into_iter().map(|(name, _)| name.name).collect()
}

#[tokio::test]
async fn a_streamed_list_counts_once_it_is_whole_and_every_revision_moves_the_mark() {
    let script = Script::of(vec![(
        200,
        vec![
            event("ADDED", pod("a", 3)),
            event("ADDED", pod("b", 4)),
            bookmark(10, true),
            event("MODIFIED", pod("a", 11)),
            event("DELETED", pod("b", 12)),
            bookmark(20, false),
        ],
    )]);
    let stores = followed(&script, |stores| stores.pods.mark() == 20).await;
    assert!(stores.pods.is_synced());
    assert_eq!(names(&stores), ["a"]);
    let asked = script.asked();
    assert!(asked[0].contains("sendInitialEvents=true") && asked[0].contains("allowWatchBookmarks=true"));
    assert!(asked[0].contains("resourceVersionMatch=NotOlderThan"), "{asked:?}");
    assert!(!asked[0].contains("resourceVersion=0"), "never from a cache that may lag: {asked:?}");
    assert!(asked[1].contains("resourceVersion=20"), "it goes on where it ended: {asked:?}");
}

#[tokio::test]
async fn a_list_that_is_cut_counts_for_nothing() {
    let script = Script::of(vec![
        (200, vec![event("ADDED", pod("a", 3))]),
        (200, vec![event("ADDED", pod("b", 4)), bookmark(10, true)]),
    ]);
    let stores = followed(&script, |stores| stores.pods.is_synced()).await;
    assert_eq!(names(&stores), ["b"]);
}

#[tokio::test]
async fn without_streaming_lists_it_lists_in_pages() {
    let script = Script::of(vec![
        (422, vec![status(422)]),
        (
            200,
            vec![
                json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "9", "continue": "more"}, "items": [pod("a", 3)]}),
            ],
        ),
        (
            200,
            vec![
                json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": [pod("b", 4)]}),
            ],
        ),
        (200, vec![event("ADDED", pod("c", 15))]),
    ]);
    let stores = followed(&script, |stores| stores.pods.mark() == 15).await;
    assert_eq!(names(&stores), ["a", "b", "c"]);
    assert!(script.asked()[2].contains("continue=more"), "{:?}", script.asked());
    assert!(script.asked()[3].contains("resourceVersion=9"), "{:?}", script.asked());
}

#[tokio::test]
async fn a_revision_that_is_gone_is_listed_again_and_what_was_deleted_meanwhile_is_gone() {
    for gone in [(200, vec![event("ERROR", status(410))]), (410, vec![status(410)])] {
        let script = Script::of(vec![
            (200, vec![event("ADDED", pod("a", 3)), event("ADDED", pod("b", 4)), bookmark(10, true)]),
            gone,
            (200, vec![event("ADDED", pod("b", 4)), bookmark(30, true)]),
        ]);
        let stores = followed(&script, |stores| stores.pods.mark() == 30).await;
        assert_eq!(names(&stores), ["b"]);
        assert!(script.asked()[2].contains("sendInitialEvents=true"));
    }
}

#[tokio::test]
async fn a_refusal_is_told_as_the_reason_and_tried_again() {
    let script =
        Script::of(vec![(404, vec![status(404)]), (429, vec![status(429)]), (200, vec![bookmark(10, true)])]);
    let (stores, drain) = (Stores::new(), Drain::new());
    let task = tokio::spawn(follow(script.client(), Arc::clone(&stores.pods), drain.watch()));
    let (mut told, start) = (String::new(), Instant::now());
    while !stores.pods.is_synced() {
        told = stores.pods.problem().unwrap_or(told);
        assert!(start.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(5)).await;
    }
    assert!(told.contains("`pods` cannot be followed"), "{told}");
    assert_eq!(stores.pods.problem(), None);
    drain.signal();
    task.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_so_that_its_end_is_seen() {
    let mut odd = pod("odd", 3);
    odd["spec"]["containers"] = json!("none");
    let script = Script::of(vec![(
        200,
        vec![event("ADDED", odd), bookmark(10, true), event("DELETED", pod("odd", 11))],
    )]);
    let stores = followed(&script, |stores| stores.pods.mark() == 11).await;
    assert!(names(&stores).is_empty());
}
