//! The binary as a pod runs it, in a network namespace of its own: captured, proven, asked by the kubelet, drained.
//! Needs root and `ip`. Nobody is the operator, so it is never ready for want of a certificate.
#![expect(clippy::unwrap_used, reason = "test code: a failure is the report")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bailiwick_capture::{Exclusions, PortSet, program};
use bailiwick_pod::{environment, ports};

#[path = "../../capture/tests/namespace/pod.rs"]
mod pod;

use pod::Pod;

const OPERATOR_ID: &str = "spiffe://cluster.local/ns/bailiwick-system/sa/bailiwick-operator";
const BOTH: [&str; 2] = [pod::POD_V4, pod::POD_V6];
const SOON: Duration = Duration::from_secs(10);

/// The test and so its sidecar are root.
fn capture() {
    let none = PortSet::default();
    program(&Exclusions { user: 0, inbound: none.clone(), outbound: none }).unwrap();
}

struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Sidecar {
    fn start(pod: &Pod, addresses: &[&str], probes: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick-sidecar"));
        command.args(["pod", "--operator", pod::NODE_V4, "--operator-id", OPERATOR_ID]);
        command.args(["--identity-folder", "/nonexistent"]);
        command.env(environment::NAMESPACE, "shop").env(environment::NAME, "web-1");
        command.env(environment::UID, "2ab2b6cf").env(environment::ADDRESSES, addresses.join(","));
        command.env(environment::PROBES, probes).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(pod.inside(|| command.spawn().unwrap()))
    }

    fn signal(&self, name: &str) {
        pod::command("kill", &[name, &self.0.id().to_string()]);
    }

    /// Ends it, if it has not ended, and gives its log.
    fn log(&mut self) -> String {
        drop(self.0.kill());
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

/// What is answered at an address of the pod; nothing if the connection is refused or closed.
fn get(address: &str, port: u16, path: &str) -> String {
    let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) else {
        return String::new();
    };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    drop(write!(stream, "GET {path} HTTP/1.1\r\nhost: pod\r\n\r\n"));
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer));
    answer
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn not_ready_until_the_capture_is_proven_in_both_families() {
    let Some(pod) = Pod::start("proof") else { return };
    let _sidecar = Sidecar::start(&pod, &BOTH, "[]");
    let reasons = || pod.outside(|| get(pod::POD_V4, ports::PROBES, "/ready"));
    until("the probe port answers", || reasons().starts_with("HTTP/1.1 503"));
    for family in ["IPv4", "IPv6"] {
        assert!(reasons().contains(&format!("capture: outbound connections are not redirected ({family})")));
    }
    for address in BOTH {
        assert_eq!(pod.outside(|| get(address, ports::INBOUND_PROOF, "/ready")), "", "nothing listens there");
    }
    pod.inside(capture);
    until("the capture is proven", || !reasons().contains("capture:"));
    for address in BOTH {
        let ready = pod.outside(|| get(address, ports::INBOUND_PROOF, "/ready"));
        assert!(
            ready.starts_with("HTTP/1.1 503") && ready.contains(r#"["certificate","bundle","snapshot"]"#),
            "{ready}"
        );
        for path in ["/live", "/metrics", "/config", "/probe/0"] {
            let other = pod.outside(|| get(address, ports::INBOUND_PROOF, path));
            assert!(other.starts_with("HTTP/1.1 404"), "only /ready: {other}");
        }
    }
}

#[test]
fn its_own_ports_answer_nobody_outside_but_for_probes() {
    let Some(pod) = Pod::start("ports") else { return };
    pod.inside(capture);
    let _sidecar = Sidecar::start(&pod, &BOTH, "[]");
    until("it lives", || {
        pod.outside(|| get(pod::POD_V4, ports::PROBES, "/live")).starts_with("HTTP/1.1 200")
    });
    for address in BOTH {
        for port in [ports::ADMIN, ports::OUTBOUND, ports::INBOUND, ports::OUTBOUND_PROOF] {
            assert_eq!(pod.outside(|| get(address, port, "/ready")), "", "{address} {port}");
        }
        assert!(pod.outside(|| get(address, ports::PROBES, "/config")).starts_with("HTTP/1.1 404"));
    }
    let config = pod.inside(|| get("127.0.0.1", ports::ADMIN, "/config"));
    assert!(config.contains(r#""workload": "shop/web-1""#), "{config}");
}

#[test]
fn probes_are_run_past_the_inbound_policy_and_hooks_for_the_node_only() {
    let Some(pod) = Pod::start("probes") else { return };
    pod.inside(capture);
    let probes = r#"[
        {"container":"app","purpose":"liveness","action":{"tcp":{"port":8080}},"timeoutSeconds":1},
        {"container":"app","purpose":"liveness","action":{"tcp":{"port":8081}},"timeoutSeconds":1},
        {"container":"app","purpose":"preStop","action":{"tcp":{"port":8080}},"timeoutSeconds":1}]"#;
    let _sidecar = Sidecar::start(&pod, &BOTH, probes);
    // An application that listens on the pod's address only.
    let _application = pod.inside(|| TcpListener::bind((pod::POD_V4, 8080)).unwrap());
    until("it lives", || {
        pod.outside(|| get(pod::POD_V4, ports::PROBES, "/live")).starts_with("HTTP/1.1 200")
    });
    for (path, expected) in
        [("/probe/0", "200"), ("/probe/1", "503"), ("/probe/2", "200"), ("/probe/3", "404")]
    {
        let answer = pod.outside(|| get(pod::POD_V6, ports::PROBES, path));
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{path}: {answer}");
    }
    // From the pod itself, whose address is not the node's.
    let hook = pod.inside(|| get(pod::POD_V4, ports::PROBES, "/probe/2"));
    assert!(hook.starts_with("HTTP/1.1 403"), "{hook}");
}

#[test]
fn told_of_the_end_it_serves_on_and_ends_at_once_when_the_application_has_ended() {
    let Some(pod) = Pod::start("drain") else { return };
    pod.inside(capture);
    let mut sidecar = Sidecar::start(&pod, &BOTH, "[]");
    let ready = || pod.outside(|| get(pod::POD_V4, ports::INBOUND_PROOF, "/ready"));
    until("the capture is proven", || ready().contains("certificate") && !ready().contains("capture:"));
    sidecar.signal("-USR1");
    until("it is draining", || ready().contains("draining"));
    std::thread::sleep(Duration::from_millis(1500));
    assert!(sidecar.0.try_wait().unwrap().is_none(), "it goes on until the application has ended");
    assert!(ready().contains("draining"), "and takes connections");
    let begun = Instant::now();
    sidecar.signal("-TERM");
    assert!(sidecar.0.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn j12_a_port_that_an_application_has_taken_is_told() {
    for (port, address) in
        [(ports::INBOUND, "0.0.0.0"), (ports::OUTBOUND, "127.0.0.1"), (ports::PROBES, "0.0.0.0")]
    {
        let Some(pod) = Pod::start(&format!("taken{port}")) else { return };
        let _taken = pod.inside(|| TcpListener::bind((address, port)).unwrap());
        let mut sidecar = Sidecar::start(&pod, &BOTH, "[]");
        assert!(!sidecar.0.wait().unwrap().success());
        let log = sidecar.log();
        assert!(log.contains(&format!("port {port} of {address} is taken by another process")), "{log}");
    }
}

#[test]
fn a_node_without_ipv6_is_no_mistake_unless_the_pod_has_such_an_address() {
    let Some(pod) = Pod::start("v4only") else { return };
    pod.inside(|| {
        for interface in ["all", "lo"] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1").unwrap();
        }
        capture();
    });
    let mut sidecar = Sidecar::start(&pod, &[pod::POD_V4], "[]");
    let ready = || pod.outside(|| get(pod::POD_V4, ports::INBOUND_PROOF, "/ready"));
    until("the capture is proven", || ready().contains("certificate") && !ready().contains("capture:"));
    let log = sidecar.log();
    assert!(log.contains("this node has no such addresses"), "{log}");
    drop(sidecar);
    let mut sidecar = Sidecar::start(&pod, &BOTH, "[]");
    assert!(!sidecar.0.wait().unwrap().success());
    assert!(sidecar.log().contains("::1 is not an address of this machine"));
}
