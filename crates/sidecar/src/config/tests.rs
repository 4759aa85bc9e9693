use std::net::SocketAddr;

use super::*;

const COMPLETE: &str = "
workload: shop/orders
control:
  identity: 127.0.0.1:7001
  configuration: 127.0.0.1:7002
  operator: spiffe://cluster.local/ns/bailiwick-system/sa/bailiwick-operator
  tokenFile: /run/bailiwick/token
  bundleFile: /run/bailiwick/bundle.pem
inbound:
- {listen: 127.0.0.1:15001, port: 8080, forward: 127.0.0.1:31001}
outbound:
- {listen: 127.0.0.1:15100, service: shop/orders:8080}
admin: {listen: 127.0.0.1:15020}
";

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let raw = config::read_str::<RawConfig>(text, "sidecar.yaml").map_err(|error| error.to_string())?;
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_raw(raw, environment).map_err(|errors| errors.to_string())
}

#[test]
fn a_minimal_file_has_the_documented_defaults() {
    let config = load(COMPLETE, &[]).unwrap();
    assert_eq!(config.workload.to_string(), "shop/orders");
    let DataPlane::Listed { inbound, outbound } = &config.data_plane else { panic!("it is a file") };
    assert_eq!(inbound[0].port.number(), 8080);
    assert_eq!(outbound[0].service.to_string(), "shop/orders:8080");
    assert_eq!(config.audit, AuditOutput::Stdout);
    assert_eq!(config.runtime.threads().get(), 1);
    assert!(!config.runtime.multi_thread);
    assert_eq!(config.limits.detection.as_secs(), 5);
    assert_eq!(config.limits.request_header.as_secs(), 10);
    assert_eq!(config.limits.idle.as_secs(), 300);
    assert_eq!(config.limits.http2_streams, 100);
    assert_eq!(config.drain.deadline.as_secs(), 30);
}

#[test]
fn every_section_can_be_set() {
    let more = format!(
        "{COMPLETE}
audit: {{output: ./audit.jsonl}}
runtime: {{threads: 2, multiThread: true}}
limits: {{detection: 1s, handshake: 2s, connect: 3s, requestHeader: 4s, idle: 1m, connections: 10,
  connectionsPerPeer: 5, http2Streams: 7, pooledConnections: 3, pooledIdle: 9s}}
drain: {{grace: 200ms, deadline: 5s}}
log: {{filter: debug, format: json}}
"
    );
    let config = load(&more, &[]).unwrap();
    assert_eq!(config.audit, AuditOutput::File("./audit.jsonl".into()));
    assert!(config.runtime.multi_thread);
    assert_eq!((config.limits.connections, config.limits.connections_per_peer), (10, 5));
    assert_eq!(config.limits.pooled_idle.as_secs(), 9);
    assert_eq!(config.drain.grace.as_millis(), 200);
}

#[test]
fn all_mistakes_are_told_at_once_with_their_fields() {
    let wrong = "
workload: orders
control: {identity: localhost:1, operator: cluster.local}
inbound:
- {listen: '127.0.0.1:15001', port: 0, forward: '127.0.0.1:31001'}
outbound:
- {listen: '127.0.0.1:15100', service: 'orders:8080'}
admin: {listen: '0.0.0.0:15020'}
audit: {output: stdot}
runtime: {threads: many}
limits: {detection: 5, connections: 0}
drain: {grace: 40s}
log: {filter: inof}
";
    let message = load(wrong, &[("BAILIWICK_SIDECAR_LOGFILTER", "debug")]).unwrap_err();
    for expected in [
        "BAILIWICK_SIDECAR_LOGFILTER: is not a setting",
        "workload: `orders` is not a workload",
        "control.identity: `localhost:1` is not an address",
        "control.configuration: is required",
        "control.operator: `cluster.local` is not a SPIFFE ID",
        "control.tokenFile: is required",
        "control.bundleFile: is required",
        "inbound[0].port: `0` is not a port",
        "outbound[0].service: `orders:8080` is not a Service",
        "admin.listen: ",
        "audit.output: `stdot` is no output",
        "runtime.threads: `many` is not a whole number",
        "limits.detection: `5` is not a duration",
        "limits.connections: `0` is not between 1 and 1000000",
        "drain.grace: is longer than `deadline`",
        "log.filter: `inof` is not a log level",
    ] {
        assert!(message.contains(expected), "{expected} is missing in:\n{message}");
    }
}

#[test]
fn a_field_that_is_unknown_is_refused() {
    let message = load(&format!("{COMPLETE}\nlimts: {{}}\n"), &[]).unwrap_err();
    assert!(message.contains("limts"), "{message}");
}

#[test]
fn the_environment_stands_above_the_file() {
    let environment = [
        ("BAILIWICK_SIDECAR_CONFIG", "x.yaml"),
        ("BAILIWICK_SIDECAR_WORKLOAD", "shop/web"),
        ("BAILIWICK_SIDECAR_ADMIN_LISTEN", "127.0.0.1:9"),
        ("OTHER", "x"),
    ];
    let config = load(COMPLETE, &environment).unwrap();
    assert_eq!(config.workload.to_string(), "shop/web");
    assert_eq!(config.admin.listen(), "127.0.0.1:9".parse::<SocketAddr>().unwrap());
}

#[test]
fn j4_forwarding_to_one_of_its_own_ports_is_refused() {
    for forward in ["127.0.0.1:15001", "127.0.0.1:15100", "127.0.0.1:15020", "[::ffff:127.0.0.1]:15100"] {
        let text = COMPLETE.replace("forward: 127.0.0.1:31001", &format!("forward: '{forward}'"));
        let message = load(&text, &[]).unwrap_err();
        assert!(message.contains("inbound[0].forward") && message.contains("leads back"), "{message}");
    }
    let text = COMPLETE.replace("listen: 127.0.0.1:15001", "listen: 0.0.0.0:31001");
    assert!(load(&text, &[]).unwrap_err().contains("leads back"));
}

#[test]
fn a_port_that_is_taken_twice_is_named_twice() {
    let text = COMPLETE.replace("127.0.0.1:15100", "127.0.0.1:15001");
    let message = load(&text, &[]).unwrap_err();
    assert!(
        message.contains("outbound[0].listen: `127.0.0.1:15001` is also `inbound[0].listen`"),
        "{message}"
    );
}

#[test]
fn a_sidecar_without_ports_is_refused() {
    let text = COMPLETE
        .lines()
        .filter(|line| {
            !line.starts_with("- ") && !line.starts_with("inbound") && !line.starts_with("outbound")
        })
        .collect::<Vec<_>>()
        .join("\n");
    assert!(load(&text, &[]).unwrap_err().contains("nothing to do"));
}
