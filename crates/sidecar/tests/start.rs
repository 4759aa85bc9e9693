//! The binary as a process: what it says before it is ready, and how it ends.
#![expect(clippy::unwrap_used, reason = "test code: a failure is the report")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

struct Sidecar {
    process: Child,
    admin: SocketAddr,
    inbound: SocketAddr,
    application: TcpListener,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick-sidecar"));
    command.arg("--config").arg(config).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(name: &str, config: &str) -> Output {
    let file = folder(name).join("sidecar.yaml");
    fs::write(&file, config).unwrap();
    command(&file).output().unwrap()
}

fn config(admin: SocketAddr, inbound: SocketAddr, forward: SocketAddr) -> String {
    // Nobody is the operator: the sidecar waits for its first certificate without end.
    format!(
        "workload: shop/orders
control:
  identity: 127.0.0.1:1
  configuration: 127.0.0.1:1
  operator: spiffe://cluster.local/ns/bailiwick-system/sa/bailiwick-operator
  tokenFile: /nonexistent/token
  bundleFile: /nonexistent/bundle.pem
inbound: [{{listen: '{inbound}', port: 8080, forward: '{forward}'}}]
admin: {{listen: '{admin}'}}
runtime: {{threads: 2}}
drain: {{grace: 100ms, deadline: 5s}}
"
    )
}

fn start(name: &str) -> Sidecar {
    start_with(name, "")
}

fn start_with(name: &str, more: &str) -> Sidecar {
    let (admin, inbound) = (free_port(), free_port());
    let application = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = folder(name).join("sidecar.yaml");
    let text = config(admin, inbound, application.local_addr().unwrap());
    fs::write(&file, text.replace("threads: 2", &format!("threads: 2{more}"))).unwrap();
    let process = command(&file).spawn().unwrap();
    let sidecar = Sidecar { process, admin, inbound, application };
    let begun = Instant::now();
    while TcpStream::connect(admin).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the admin server does not answer");
        std::thread::sleep(Duration::from_millis(10));
    }
    sidecar
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn i1_before_the_first_snapshot_no_byte_reaches_the_service() {
    let sidecar = start("early");
    let ready = get(sidecar.admin, "/ready");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains(r#""reasons":["certificate","bundle","snapshot"]"#), "{ready}");
    assert!(get(sidecar.admin, "/live").starts_with("HTTP/1.1 200"));
    for _ in 0..20 {
        let mut early = TcpStream::connect(sidecar.inbound).unwrap();
        early.write_all(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n").unwrap();
        early.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut answer = [0; 1];
        // Held in the queue or closed, but never answered.
        assert!(!early.read(&mut answer).is_ok_and(|read| read > 0));
    }
    sidecar.application.set_nonblocking(true).unwrap();
    assert!(sidecar.application.accept().is_err(), "the service was connected to");
}

#[test]
fn the_state_is_shown_without_secrets() {
    let sidecar = start("state");
    let config = get(sidecar.admin, "/config");
    assert!(
        config.contains(r#""workload": "shop/orders""#) && config.contains(r#""snapshot": null"#),
        "{config}"
    );
    assert!(config.contains(&sidecar.inbound.to_string()), "{config}");
    assert!(!config.contains("token"), "{config}");
    let metrics = get(sidecar.admin, "/metrics");
    for name in [
        "bailiwick_snapshot_age_seconds -1",
        "bailiwick_certificate_expiry_seconds -1",
        "bailiwick_audit_events_dropped_total 0",
        r#"bailiwick_connections_open{direction="inbound"} 0"#,
        r#"bailiwick_authz_decisions_total{decision="deny",reason="default"} 0"#,
    ] {
        assert!(metrics.contains(name), "{name} is missing in:\n{metrics}");
    }
}

#[test]
fn sigterm_ends_it_cleanly_and_soon() {
    for (name, more) in [("sigterm", ""), ("sigterm-multi-thread", ", multiThread: true")] {
        let mut sidecar = start_with(name, more);
        let begun = Instant::now();
        let pid = sidecar.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = sidecar.process.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_port_that_is_taken_is_told_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = run("taken", &config(free_port(), address, free_port()));
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&format!("port {} of 127.0.0.1 is taken", address.port())), "{text}");
}

#[test]
fn every_mistake_of_the_configuration_is_told() {
    let output = run("mistakes", "workload: orders\nlimits: {idle: never}\n");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    for expected in
        ["workload: `orders`", "control.operator: is required", "limits.idle: `never`", "inbound: "]
    {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
}
