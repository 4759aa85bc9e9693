//! Two pods with captured TCP, whole: real sidecars behind real nftables, a real operator, nothing told to anybody about
//! where sidecars listen.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::network::{NODE, Network, echo_head, greet};
use crate::process::{OPERATOR, Process, SIDECAR, command, command_at, program};
use crate::world::OPERATOR_ID;

const USER: u32 = 42_137;
const LIMIT: Duration = Duration::from_secs(30);
const WEB: &str = "10.98.0.2";
const ORDERS: &str = "10.98.0.3";
const ORDERS_V6: &str = "[fd00:98::3]";

const SOURCE: &str = r#"apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: web, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop, labels: {app: orders}}
spec:
  serviceAccountName: orders
  containers:
  - name: orders
    image: i
    ports: [{containerPort: 8080, name: http}, {containerPort: 9090}, {containerPort: 6379, name: redis}]
---
apiVersion: bailiwick.dev/v1alpha1
kind: Authentication
metadata: {name: orders, namespace: shop}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  mtls: {mode: Strict, ports: [{port: 7070, mode: Disabled}]}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders, namespace: shop}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{http: {methods: [GET], paths: ["/orders/{id}"]}}, {tcp: {ports: [6379]}}]
  - name: itself
    effect: Allow
    subjects: [{serviceAccount: {name: orders}}]
    permissions: [{http: {methods: [GET], paths: ["/self"]}}]
  - name: open
    effect: Allow
    subjects: [{anyone: {}}]
    permissions: [{http: {methods: [GET], paths: ["/open"]}}]
"#;

struct Mesh {
    network: Network,
    folder: TempDir,
}

impl Mesh {
    fn start() -> Option<(Self, Process)> {
        let network = Network::of(&["web", "orders"])?;
        let folder = tempfile::Builder::new().prefix("bailiwick-pods-").tempdir().unwrap();
        // Sidecars run as a user of their own, and read their tokens.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mesh = Self { network, folder };
        for part in ["source", "logs"] {
            fs::create_dir(mesh.path(part)).unwrap();
        }
        // The folder of builds may be closed to other users.
        fs::copy(program(SIDECAR), mesh.path(SIDECAR)).unwrap();
        fs::write(mesh.path("source/shop.yaml"), SOURCE).unwrap();
        let ports: String = [8080, 9090, 6379, 7070]
            .iter()
            .flat_map(|port| {
                [ORDERS, ORDERS_V6].map(|ip| format!("  - {{port: {port}, address: \"{ip}:{port}\"}}\n"))
            })
            .collect();
        fs::write(
            mesh.path("addresses.yaml"),
            format!("workloads:\n- workload: shop/orders\n  ports:\n{ports}"),
        )
        .unwrap();
        let mut operator = command(OPERATOR);
        for (flag, value) in [("--source", "source"), ("--state", "state"), ("--addresses", "addresses.yaml")]
        {
            operator.arg(flag).arg(mesh.path(value));
        }
        operator.args(["--identity-listen", &format!("{NODE}:15010")]);
        operator.args(["--configuration-listen", &format!("{NODE}:15012")]);
        let operator = mesh.network.within("node", || Process::run(operator, &mesh.path("logs"), "operator"));
        mesh.until_ready("node", "127.0.0.1:15014", &operator);
        Some((mesh, operator))
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// What the kubelet does for a pod: its files, the capture, and the sidecar as its own user.
    fn pod(&self, name: &str, number: u8) -> Process {
        let identity = self.path(name);
        fs::create_dir(&identity).unwrap();
        for (from, to) in
            [(format!("state/tokens/shop.{name}.token"), "token"), ("state/bundle.pem".into(), "bundle.pem")]
        {
            fs::copy(self.path(&from), identity.join(to)).unwrap();
            fs::set_permissions(identity.join(to), Permissions::from_mode(0o644)).unwrap();
        }
        let mut capture = command(SIDECAR);
        capture.args(["capture", "--user", &USER.to_string()]);
        let captured = self.network.within(name, || capture.output().unwrap());
        assert!(captured.status.success(), "{}", String::from_utf8_lossy(&captured.stderr));
        let mut sidecar = command_at(&self.path(SIDECAR));
        sidecar
            .args(["pod", "--operator", NODE, "--operator-id", OPERATOR_ID, "--identity-folder"])
            .arg(&identity)
            .env("BAILIWICK_POD_NAMESPACE", "shop")
            .env("BAILIWICK_POD_NAME", name)
            .env("BAILIWICK_POD_UID", format!("0000-{name}"))
            .env("BAILIWICK_POD_IPS", format!("10.98.0.{number},fd00:98::{number}"))
            .env("BAILIWICK_LOG", "info,bailiwick_sidecar=debug")
            .uid(USER)
            .gid(USER);
        let process = self.network.within(name, || Process::run(sidecar, &self.path("logs"), name));
        self.until_ready(name, "127.0.0.1:15000", &process);
        process
    }

    fn until_ready(&self, pod: &str, admin: &str, process: &Process) {
        let begun = Instant::now();
        while self.network.get(pod, admin, "/ready").0 != "200" {
            assert!(
                begun.elapsed() < LIMIT,
                "not ready after {LIMIT:?}\n{}{}",
                process.log(),
                process.output()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn pods_call_each_other_the_outside_and_themselves_and_nobody_gets_past_a_sidecar() {
    let Some((mesh, operator)) = Mesh::start() else { return };
    let network = &mesh.network;
    let (web, orders) = (mesh.pod("web", 2), mesh.pod("orders", 3));
    for port in [8080, 9090, 7070] {
        network.application("orders", port, echo_head);
    }
    network.application("orders", 6379, greet);
    network.application("node", 2525, greet);
    let told = || format!("web:\n{}orders:\n{}{}", web.log(), orders.log(), orders.output());

    // Pod to pod, of both families, declared HTTP and not declared.
    for (to, source) in [(ORDERS, WEB), (ORDERS_V6, "fd00:98::2")] {
        for port in [8080, 9090] {
            let (status, answer) = network.get("web", &format!("{to}:{port}"), "/orders/1");
            assert_eq!(status, "200", "{to}:{port}: {answer}\n{}", told());
            assert!(
                answer.contains("x-bailiwick-client-id: spiffe://cluster.local/ns/shop/sa/web"),
                "{answer}"
            );
            assert!(answer.contains(&format!("x-forwarded-for: {source}\r\n")), "{answer}");
            assert_eq!(network.get("web", &format!("{to}:{port}"), "/invoices").0, "403", "{to}:{port}");
        }
    }
    // A port without mesh TLS: policy decides, and nobody is proven.
    let (status, answer) = network.get("web", &format!("{ORDERS}:7070"), "/open");
    assert!(status == "200" && !answer.contains("x-bailiwick-client-id"), "{answer}\n{}", told());
    assert_ne!(network.get("web", &format!("{ORDERS}:7070"), "/orders/1").0, "200");
    // The server speaks first: at once, meshed and outside.
    for to in [format!("{ORDERS}:6379"), format!("{NODE}:2525"), "[fd00:98::1]:2525".to_owned()] {
        let begun = Instant::now();
        let mut stream = network.connect("web", &to).unwrap();
        let mut greeting = [0; 10];
        stream.read_exact(&mut greeting).unwrap_or_else(|error| panic!("{to}: {error}\n{}", told()));
        assert_eq!(&greeting, b"220 ready\n");
        assert!(begun.elapsed() < Duration::from_secs(2), "{to}: {:?}", begun.elapsed());
        stream.write_all(b"GET\0 / \n").unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert_eq!(back, b"GET\0 / \n", "{to}");
    }
    calls_to_oneself(network, &told);
    nobody_gets_past(network);
    for (pod, counted) in [
        ("web", "bailiwick_outbound_connections_total{to=\"mesh\"}"),
        ("web", "bailiwick_outbound_connections_total{to=\"as-sent\"}"),
        ("orders", "bailiwick_outbound_connections_total{to=\"itself\"}"),
        ("orders", "bailiwick_connections_refused_total{direction=\"inbound\",reason=\"own-port\"}"),
    ] {
        let (_, metrics) = network.get(pod, "127.0.0.1:15000", "/metrics");
        assert!(metrics.contains(counted), "{counted} is missing at {pod}:\n{metrics}");
    }
    // The operator goes: what is known goes on, what is not known is refused and not guessed.
    drop(operator);
    assert_eq!(network.get("web", &format!("{ORDERS}:8080"), "/orders/2").0, "200");
    assert!(network.exchange("web", &format!("{NODE}:2525"), b"x\n").starts_with("220 ready"));
    let begun = Instant::now();
    let unknown = network.get("web", &format!("{NODE}:2526"), "/");
    assert_eq!(unknown.0, "503", "{}", unknown.1);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// Past the sidecar: from the node, without a certificate, and to its own ports.
fn nobody_gets_past(network: &Network) {
    for to in [ORDERS, ORDERS_V6] {
        for port in [8080, 9090] {
            assert_eq!(network.get("node", &format!("{to}:{port}"), "/orders/1").0, "401");
        }
        assert!(!network.exchange("node", &format!("{to}:6379"), b"x\n").contains("ready"));
        for port in [15_000, 15_001, 15_006, 15_098] {
            let answer = network.exchange("node", &format!("{to}:{port}"), b"GET /config HTTP/1.1\r\n\r\n");
            assert!(!answer.contains("HTTP"), "{to}:{port}: {answer}");
        }
    }
}

/// A pod that calls itself is a caller like any other.
fn calls_to_oneself(network: &Network, told: &dyn Fn() -> String) {
    for to in [ORDERS, ORDERS_V6] {
        let (status, answer) = network.get("orders", &format!("{to}:8080"), "/self");
        assert_eq!(status, "200", "{answer}\n{}", told());
        assert!(
            answer.contains("x-bailiwick-client-id: spiffe://cluster.local/ns/shop/sa/orders"),
            "{answer}"
        );
        assert_eq!(network.get("orders", &format!("{to}:8080"), "/orders/1").0, "403");
    }
}
