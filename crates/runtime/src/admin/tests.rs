//! The admin server over loopback.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::*;
use crate::ready::Blocker;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn start(config: &AdminConfig) -> (SocketAddr, Readiness, Blocker) {
    let (readiness, starting) = Readiness::starting();
    let metrics = Metrics::new("bailiwick");
    metrics.counter("connections", "Connections").inc();
    let admin =
        Admin::new(readiness.clone(), metrics).with_config(|| r#"{"listen":"127.0.0.1:1"}"#.to_owned());
    let bound = admin.bind(config).unwrap();
    let address = bound.address();
    tokio::spawn(bound.serve(std::future::pending()));
    (address, readiness, starting)
}

async fn exchange(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn call(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let answer = exchange(address, &format!("{method} {path} HTTP/1.1\r\nhost: admin\r\n\r\n")).await;
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[tokio::test]
async fn ready_tells_the_reasons_until_there_are_none_and_again_while_draining() {
    let (address, readiness, starting) = start(&AdminConfig::loopback(loopback()));
    let certificate = readiness.block("certificate \"a\"");
    let (status, answer) = call(address, "GET", "/ready").await;
    assert_eq!(status, 503);
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    assert!(
        answer.ends_with("{\"ready\":false,\"reasons\":[\"starting\",\"certificate \\\"a\\\"\"]}\n"),
        "{answer}"
    );
    starting.done();
    certificate.done();
    let (status, answer) = call(address, "GET", "/ready?verbose").await;
    assert!(status == 200 && answer.ends_with("{\"ready\":true,\"reasons\":[]}\n"), "{answer}");
    let _draining = readiness.block("draining");
    assert_eq!(call(address, "GET", "/ready").await.0, 503);
    assert_eq!(call(address, "GET", "/live").await.0, 200, "a draining process is alive");
}

#[tokio::test]
async fn metrics_and_config_are_shown() {
    let (address, _readiness, _starting) = start(&AdminConfig::loopback(loopback()));
    let (status, answer) = call(address, "GET", "/metrics").await;
    assert!(status == 200 && answer.contains("bailiwick_connections_total 1\n"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    let (status, answer) = call(address, "GET", "/config").await;
    assert!(status == 200 && answer.ends_with(r#"{"listen":"127.0.0.1:1"}"#), "{answer}");
    assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
}

#[tokio::test]
async fn l1_nothing_else_exists_and_nothing_changes_anything() {
    let (address, _readiness, _starting) = start(&AdminConfig::loopback(loopback()));
    for path in
        ["/", "/shutdown", "/quitquitquit", "/drain", "/debug/pprof", "/ready/", "//ready", "/config/../live"]
    {
        assert_eq!(call(address, "GET", path).await.0, 404, "{path}");
        assert_eq!(call(address, "POST", path).await.0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"] {
        let (status, answer) = call(address, method, "/ready").await;
        assert!(status == 405 && answer.contains("allow: GET\r\n"), "{answer}");
    }
    assert_eq!(call(address, "GET", "/live").await.0, 200);
}

#[tokio::test]
async fn without_a_closure_there_is_no_config() {
    let (readiness, _starting) = Readiness::starting();
    let bound =
        Admin::new(readiness, Metrics::new("bailiwick")).bind(&AdminConfig::loopback(loopback())).unwrap();
    let address = bound.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(bound.serve(async move { drop(stopped.await) }));
    assert_eq!(call(address, "GET", "/config").await.0, 404);
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed after the shutdown");
}

#[tokio::test]
async fn l3_an_address_that_others_reach_needs_a_word_of_consent() {
    let (readiness, _starting) = Readiness::starting();
    let admin = Admin::new(readiness, Metrics::new("bailiwick"));
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let config = AdminConfig::loopback(address.parse().unwrap());
        let refused = admin.clone().bind(&config);
        assert!(matches!(refused, Err(AdminError::NotLoopback(_))), "{address}: {refused:?}");
        let raw = RawAdmin { listen: Some(address.into()), ..RawAdmin::default() };
        let message = AdminConfig::try_from(raw).unwrap_err().to_string();
        assert!(message.contains("listen: the admin server would be reachable"), "{message}");
    }
    let outside = accept::listen("0.0.0.0:0".parse().unwrap(), ReusePort::No).unwrap();
    let refused = admin.clone().on(outside, &AdminConfig::loopback(loopback()));
    assert!(matches!(refused, Err(AdminError::NotLoopback(_))), "a given listener is checked too");
    let raw =
        RawAdmin { listen: Some("0.0.0.0:0".into()), allow_non_loopback: Some(true), max_connections: None };
    assert!(admin.bind(&AdminConfig::try_from(raw).unwrap()).is_ok());
}

#[test]
fn the_section_is_read_from_yaml_with_bare_numbers() {
    let text = "listen: '[::1]:15020'\nmaxConnections: 7\n";
    let raw: RawAdmin = crate::config::read_str(text, "sidecar.yaml").unwrap();
    let config = AdminConfig::try_from(raw).unwrap();
    assert_eq!((config.listen().port(), config.max_connections), (15020, 7));
}

#[test]
fn the_section_tells_all_its_mistakes() {
    let raw = RawAdmin { listen: None, allow_non_loopback: None, max_connections: Some("0".into()) };
    let message = AdminConfig::try_from(raw).unwrap_err().to_string();
    assert!(message.contains("listen: is required"), "{message}");
    assert!(message.contains("maxConnections: `0` is not between 1 and 1024"), "{message}");
    assert!(AdminConfig::loopback(loopback()).check_reach("[::ffff:127.0.0.1]:1".parse().unwrap()).is_ok());
}

#[tokio::test]
async fn a_slow_client_loses_its_place_after_the_header_timeout() {
    let raw = RawAdmin {
        listen: Some("127.0.0.1:0".into()),
        allow_non_loopback: None,
        max_connections: Some("1".into()),
    };
    let (address, _readiness, _starting) = start(&AdminConfig::try_from(raw).unwrap());
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /live HT").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    let (status, _) = call(address, "GET", "/live").await;
    let waited = began.elapsed();
    assert_eq!(status, 200);
    assert!(waited > Duration::from_secs(4), "over the limit a client waits its turn: {waited:?}");
    assert!(waited < Duration::from_secs(8), "{waited:?}");
}

#[tokio::test]
async fn a_route_of_the_callers_own_answers_by_its_query_and_replaces_nothing() {
    let (readiness, _starting) = Readiness::starting();
    let why =
        |query: Query<'_>| query.get("id").filter(|id| *id == "a1").map(|id| format!("{{\"id\":\"{id}\"}}"));
    let admin = Admin::new(readiness, Metrics::new("bailiwick"))
        .with_route("/why", why)
        .with_route("/live", |_| Some("{}".to_owned()));
    let bound = admin.bind(&AdminConfig::loopback(loopback())).unwrap();
    let address = bound.address();
    tokio::spawn(bound.serve(std::future::pending()));
    let (status, answer) = call(address, "GET", "/why?x=1&id=a1").await;
    assert!(status == 200 && answer.ends_with("{\"id\":\"a1\"}"), "{answer}");
    for path in ["/why", "/why?id=b", "/why?id", "/why?xid=a1", "/why/?id=a1", "/config"] {
        assert_eq!(call(address, "GET", path).await.0, 404, "{path}");
    }
    assert_eq!(call(address, "POST", "/why?id=a1").await.0, 405);
    assert!(call(address, "GET", "/live").await.1.ends_with("live\n"));
}
