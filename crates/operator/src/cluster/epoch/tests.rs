use bailiwick_runtime::drain::Drain;
use serde_json::json;

use super::*;
use crate::cluster::testing::FakeApi;

const PATH: &str = "/api/v1/namespaces/bailiwick-system/configmaps/bailiwick-epoch";

#[tokio::test]
async fn replicas_agree_and_a_restart_keeps_the_epoch() {
    let (api, drain) = (FakeApi::default(), Drain::new());
    let context = api.context(&drain);
    let (first, second) = tokio::join!(settle(&context, "a"), settle(&context, "a"));
    let epoch = first.unwrap();
    assert_eq!(second.unwrap(), epoch);
    assert_eq!(settle(&context, "a").await.unwrap(), epoch);
    assert_eq!(api.get(PATH).unwrap()["data"]["epoch"], json!(epoch.to_string()));
}

#[tokio::test]
async fn another_root_and_a_lost_config_map_begin_a_higher_one() {
    let (api, drain) = (FakeApi::default(), Drain::new());
    let context = api.context(&drain);
    let future = u64::MAX / 2;
    api.put(
        PATH,
        json!({"metadata": {"name": "bailiwick-epoch"}, "data": {"epoch": future.to_string(), "root": "a"}}),
    );
    assert_eq!(settle(&context, "a").await.unwrap(), future);
    assert_eq!(settle(&context, "b").await.unwrap(), future + 1, "higher, also where the clock went back");
    api.remove(PATH);
    let before = unix_millis(SystemTime::now());
    assert!(settle(&context, "b").await.unwrap() >= before);
}

#[tokio::test]
async fn what_holds_no_epoch_and_an_api_that_fails_are_errors() {
    let (api, drain) = (FakeApi::default(), Drain::new());
    let context = api.context(&drain);
    api.put(PATH, json!({"metadata": {"name": "bailiwick-epoch"}, "data": {"epoch": "soon", "root": "a"}}));
    assert!(matches!(settle(&context, "a").await, Err(EpochError::Content)));
    api.fail(Some(http::StatusCode::FORBIDDEN));
    assert!(matches!(settle(&context, "a").await, Err(EpochError::Api(_))));
}
