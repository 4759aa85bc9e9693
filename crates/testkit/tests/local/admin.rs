//! What the processes show of themselves, and to whom (security cases L1, L3, L4).

use std::time::Duration;

use crate::client::once;
use crate::member::{Member, token};
use crate::process::{OPERATOR, SIDECAR, command};
use crate::world::{World, is_ready};

const DOCUMENTATION: &str = include_str!("../../../../docs/configuration-sidecar.md");

/// The metrics that the documentation names.
fn documented() -> Vec<&'static str> {
    let names = DOCUMENTATION.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    names.filter(|name| name.starts_with("bailiwick_")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_the_documented_names() {
    let world = World::new();
    let _operator = world.operator().await;
    let _application = world.application("orders").await;
    // A family appears with its first event, so there is one of each: an outbound call that reaches nobody,
    let _web = world.sidecar("web").await;
    assert_eq!(once(world.place("web").outbound, "GET", "/orders/1").await.unwrap().status, 503);
    // a caller that proves nothing, a request with two readings, and a call that is served.
    let _orders = world.sidecar("orders").await;
    let inbound = world.place("orders").inbound;
    assert_eq!(once(inbound, "GET", "/orders/1").await.unwrap().status, 401);
    let web = Member::enrol(&world, "web").await;
    for (path, status) in [("/orders/1", 200), ("//orders/1", 400)] {
        let mut mesh = web.connect(inbound, "orders").await.unwrap();
        assert_eq!(mesh.call("GET", path).await.unwrap().status, status, "{path}");
    }
    let mut metrics = String::new();
    for name in ["web", "orders"] {
        let shown = once(world.place(name).admin, "GET", "/metrics").await.unwrap().body;
        assert!(shown.ends_with("# EOF\n"));
        metrics.push_str(&shown);
    }
    let names = documented();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let family = name.strip_suffix("_total").or(name.strip_suffix("_info")).unwrap_or(name);
        assert!(metrics.contains(&format!("# TYPE {family} ")), "`{name}` is missing in:\n{metrics}");
    }
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let family = line.split(' ').next().unwrap();
        assert!(DOCUMENTATION.contains(family), "`{family}` is not documented");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l3_l4_nothing_shown_or_logged_is_a_secret() {
    let world = World::new();
    let operator = world.operator().await;
    let _application = world.application("orders").await;
    let sidecar = world.sidecar("orders").await;
    // A refused attempt and a served call, so that every log has something to tell.
    let web = Member::enrol(&world, "web").await;
    let mut mesh = web.connect(world.place("orders").inbound, "orders").await.unwrap();
    assert_eq!(mesh.call("GET", "/orders/1").await.unwrap().status, 200);
    let forged = [token(&world, "web"), b"x".to_vec()].concat();
    assert!(Member::stranger(&world).issue(&world, forged, Vec::new()).await.is_err());

    let mut shown = Vec::new();
    for admin in [world.admin, world.place("orders").admin] {
        for path in ["/config", "/metrics", "/ready", "/live"] {
            let answer = once(admin, "GET", path).await.unwrap();
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            shown.push((format!("{path} of {admin}"), answer.body));
        }
    }
    for (name, process) in [("the operator", &operator), ("the sidecar", &sidecar)] {
        shown.push((format!("the log of {name}"), process.log()));
        shown.push((format!("the output of {name}"), process.output()));
    }
    shown.push(("the audit log".to_owned(), format!("{:?}", world.audit("orders"))));
    let root = std::fs::read_to_string(world.path("state/root.pem")).unwrap();
    let key = root.lines().skip_while(|line| !line.contains("PRIVATE KEY")).nth(1).unwrap();
    let secrets: Vec<String> = ["orders", "web"]
        .into_iter()
        .map(|name| String::from_utf8(token(&world, name)).unwrap().trim().to_owned())
        .chain(["PRIVATE KEY".to_owned(), key.to_owned()])
        .collect();
    for (place, text) in shown {
        for secret in &secrets {
            assert!(!text.contains(secret), "a secret is in {place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_nothing_can_be_changed_by_the_admin_server() {
    let world = World::new();
    let _operator = world.operator().await;
    let _sidecar = world.sidecar("orders").await;
    for admin in [world.admin, world.place("orders").admin] {
        for path in ["/config", "/metrics", "/ready", "/live"] {
            for method in ["POST", "PUT", "DELETE", "PATCH"] {
                let answer = once(admin, method, path).await.unwrap();
                assert_eq!(answer.status, 405, "{method} {path} of {admin}");
            }
        }
        for path in ["/shutdown", "/quit", "/quitquitquit", "/debug", "/logging", "/drain"] {
            for method in ["GET", "POST"] {
                let answer = once(admin, method, path).await.unwrap();
                assert!(matches!(answer.status, 404 | 405), "{method} {path} of {admin}: {answer:?}");
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(is_ready(admin).await);
    }
}

#[test]
fn the_admin_server_is_not_reachable_from_outside() {
    let world = World::new();
    let place = world.place("orders");
    let file = world.path("sidecars/shop.orders.yaml");
    let config = std::fs::read_to_string(&file).unwrap();
    let outside = format!("0.0.0.0:{}", place.admin.port());
    std::fs::write(&file, config.replace(&place.admin.to_string(), &outside)).unwrap();
    let ended = command(SIDECAR).arg("--config").arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && text.contains("loopback"), "{text}");

    let mut operator = command(OPERATOR);
    operator.arg("--source").arg(world.path("source")).arg("--state").arg(world.path("state"));
    let ended = operator.args(["--admin-listen", &outside]).output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && text.contains("loopback"), "{text}");
}
