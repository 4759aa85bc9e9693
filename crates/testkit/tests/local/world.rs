//! A small shop in a temporary folder: manifests, policies, where everybody listens, and the processes that serve it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::application::Application;
use crate::client::once;
use crate::process::{OPERATOR, Process, SERVICE, SIDECAR};

pub(crate) const OPERATOR_ID: &str = "spiffe://cluster.local/ns/bailiwick-system/sa/bailiwick-operator";
pub(crate) const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// How long anything that must happen may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Who serves something.
const CALLEES: [&str; 2] = ["orders", "payments"];
/// Who calls them.
const CALLERS: [&str; 2] = ["web", "report"];

/// web may read orders, and nobody a secret one.
pub(crate) const ORDERS_POLICY: &str = r#"apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: orders, namespace: shop}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: orders}}}]
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{http: {methods: [GET], paths: ["/orders/{id}"]}}]
  - name: no-secrets
    effect: Deny
    subjects: [{anyone: {}}]
    permissions: [{http: {methods: ["*"], paths: ["/orders/secret"]}}]
"#;

/// web may read payments.
pub(crate) const PAYMENTS_POLICY: &str = r#"apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {name: payments, namespace: shop}
spec:
  targets: [{kind: Pod, selector: {matchLabels: {app: payments}}}]
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{serviceAccount: {name: web}}]
    permissions: [{http: {methods: [GET], paths: ["/payments/{id}"]}}]
"#;

/// Where the parts of a workload listen.
pub(crate) struct Place {
    /// `namespace/name`.
    pub(crate) workload: String,
    pub(crate) admin: SocketAddr,
    /// The sidecar, for container port 8080 of a callee.
    pub(crate) inbound: SocketAddr,
    /// The application behind it.
    pub(crate) forward: SocketAddr,
    /// The way to `shop/orders:8080` of a caller.
    pub(crate) outbound: SocketAddr,
    callee: bool,
}

pub(crate) struct World {
    folder: TempDir,
    places: BTreeMap<&'static str, Place>,
    pub(crate) identity: SocketAddr,
    pub(crate) configuration: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < LIMIT, "after {LIMIT:?} not yet: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// A loopback address that no other test process uses; on systems with one loopback address, that one.
fn own_address() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = IpAddr::from([127, high | 0x80, middle, low]);
    if TcpListener::bind((own, 0)).is_ok() { own } else { IpAddr::from(Ipv4Addr::LOCALHOST) }
}

/// A free port, never given twice to tests of this process.
fn free_port(address: IpAddr) -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let found = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap();
        if GIVEN.lock().unwrap().insert(found) {
            return found;
        }
    }
}

impl World {
    /// Writes everything; nothing runs yet.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("bailiwick-local-").tempdir().unwrap();
        for part in ["source", "audit", "logs", "sidecars"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let address = own_address();
        let port = || free_port(address);
        let place = |name: &'static str| {
            let workload = format!("shop/{name}");
            let callee = CALLEES.contains(&name);
            let (admin, inbound, forward, outbound) = (port(), port(), port(), port());
            (name, Place { workload, admin, inbound, forward, outbound, callee })
        };
        let places = CALLEES.into_iter().chain(CALLERS).map(place).collect();
        let world = Self { folder, places, identity: port(), configuration: port(), admin: port() };
        world.write("workloads.yaml", &world.manifests());
        world.write("orders.yaml", ORDERS_POLICY);
        world.write("payments.yaml", PAYMENTS_POLICY);
        fs::write(world.path("addresses.yaml"), world.addresses()).unwrap();
        for place in world.places.values() {
            fs::write(world.config_file(place), world.config(place)).unwrap();
        }
        world
    }

    /// A path inside of the folder.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// Replaces a file of the source folder; a reader sees the old one or the new one.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path("source").join(name)).unwrap();
    }

    /// Removes a file of the source folder.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path("source").join(name)).unwrap();
    }

    pub(crate) fn place(&self, name: &str) -> &Place {
        &self.places[name]
    }

    fn manifests(&self) -> String {
        let mut text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n".to_owned();
        for (name, place) in &self.places {
            let ports = if place.callee { ", ports: [{containerPort: 8080, name: http}]" } else { "" };
            text.push_str(&format!(
                "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      serviceAccountName: {name}\n      containers: [{{name: {name}, image: example/{name}{ports}}}]\n"
            ));
            if place.callee {
                text.push_str(&format!(
                    "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  selector: {{app: {name}}}\n  ports: [{{name: http, port: 8080, targetPort: http}}]\n"
                ));
            }
        }
        text
    }

    fn addresses(&self) -> String {
        let mut text = "workloads:\n".to_owned();
        for place in self.places.values().filter(|place| place.callee) {
            let (workload, listen) = (&place.workload, place.inbound);
            text.push_str(&format!(
                "- workload: {workload}\n  ports: [{{port: 8080, address: \"{listen}\"}}]\n"
            ));
        }
        text
    }

    fn config(&self, place: &Place) -> String {
        let name = place.workload.replace('/', ".");
        let way = if place.callee {
            format!(
                "inbound: [{{listen: \"{}\", port: 8080, forward: \"{}\"}}]",
                place.inbound, place.forward
            )
        } else {
            format!("outbound: [{{listen: \"{}\", service: \"shop/orders:8080\"}}]", place.outbound)
        };
        format!(
            "workload: {}\ncontrol:\n  identity: \"{}\"\n  configuration: \"{}\"\n  operator: {OPERATOR_ID}\n  tokenFile: {}\n  bundleFile: {}\n{way}\nadmin: {{listen: \"{}\"}}\naudit: {{output: {}}}\n",
            place.workload,
            self.identity,
            self.configuration,
            self.path(&format!("state/tokens/{name}.token")).display(),
            self.path("state/bundle.pem").display(),
            place.admin,
            self.audit_file(place).display(),
        )
    }

    fn config_file(&self, place: &Place) -> PathBuf {
        self.path(&format!("sidecars/{}.yaml", place.workload.replace('/', ".")))
    }

    fn audit_file(&self, place: &Place) -> PathBuf {
        self.path(&format!("audit/{}.jsonl", place.workload.replace('/', ".")))
    }

    /// Starts the operator and waits until it serves.
    pub(crate) async fn operator(&self) -> Process {
        let mut arguments = Vec::new();
        for (flag, value) in [
            ("--source", self.path("source").display().to_string()),
            ("--state", self.path("state").display().to_string()),
            ("--addresses", self.path("addresses.yaml").display().to_string()),
            ("--identity-listen", self.identity.to_string()),
            ("--configuration-listen", self.configuration.to_string()),
            ("--admin-listen", self.admin.to_string()),
        ] {
            arguments.extend([flag.to_owned(), value]);
        }
        let process = Process::start(OPERATOR, &arguments, &self.path("logs"), "operator");
        self.until_ready("the operator", self.admin, &process).await;
        process
    }

    /// Starts a workload's sidecar.
    pub(crate) fn start_sidecar(&self, name: &str) -> Process {
        let arguments = ["--config".to_owned(), self.config_file(self.place(name)).display().to_string()];
        Process::start(SIDECAR, &arguments, &self.path("logs"), name)
    }

    /// Starts a workload's sidecar and waits until it is ready.
    pub(crate) async fn sidecar(&self, name: &str) -> Process {
        let process = self.start_sidecar(name);
        self.until_ready(name, self.place(name).admin, &process).await;
        process
    }

    async fn until_ready(&self, what: &str, admin: SocketAddr, process: &Process) {
        let begun = Instant::now();
        while !is_ready(admin).await {
            assert!(begun.elapsed() < LIMIT, "{what} is not ready after {LIMIT:?}\n{}", process.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts the demonstration's service as a callee's application, and waits until it answers.
    pub(crate) async fn service(&self, name: &str) -> Process {
        let address = self.place(name).forward;
        let arguments = ["--name", name, "--http", &address.to_string()].map(str::to_owned);
        let process = Process::start(SERVICE, &arguments, &self.path("logs"), &format!("{name}-service"));
        until("the service answers", async || once(address, "GET", "/").await.is_ok()).await;
        process
    }

    /// Starts a callee's application in this process.
    pub(crate) async fn application(&self, name: &str) -> Application {
        Application::start(self.place(name).forward).await
    }

    /// What the operator knows.
    pub(crate) async fn status(&self) -> Value {
        state(self.admin).await
    }

    /// The latest publication's version; 0 if there is none.
    pub(crate) async fn version(&self) -> u64 {
        self.status().await["publication"]["version"].as_u64().unwrap_or_default()
    }

    /// True if this many sidecars are connected and each enforces what it should.
    pub(crate) async fn is_enforced_by(&self, sidecars: usize) -> bool {
        let status = self.status().await;
        let workloads = status["workloads"].as_array().cloned().unwrap_or_default();
        let all: Vec<Value> = workloads
            .iter()
            .flat_map(|workload| workload["sidecars"].as_array().cloned().unwrap_or_default())
            .collect();
        all.len() == sidecars && all.iter().all(|sidecar| sidecar["current"] == true)
    }

    /// Changes the source folder and waits until this many sidecars enforce it. Gives the publication.
    pub(crate) async fn edit(&self, sidecars: usize, change: impl FnOnce(&Self)) -> Value {
        let before = self.version().await;
        change(self);
        until("the edit is acknowledged", async || {
            self.version().await > before && self.is_enforced_by(sidecars).await
        })
        .await;
        self.status().await["publication"].clone()
    }

    /// The audit events of a workload's sidecar; each line must be one JSON object.
    pub(crate) fn audit(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.audit_file(self.place(name))).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| text.split_at(end).0);
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        whole.lines().map(parse).collect()
    }

    /// Waits for an audit event.
    pub(crate) async fn audited(&self, name: &str, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        until(what, async || {
            found = self.audit(name).into_iter().find(&is_it);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

pub(crate) async fn is_ready(admin: SocketAddr) -> bool {
    once(admin, "GET", "/ready").await.is_ok_and(|answer| answer.status == 200)
}

/// What a process shows of itself.
pub(crate) async fn state(admin: SocketAddr) -> Value {
    let answer = once(admin, "GET", "/config").await.unwrap();
    serde_json::from_str(&answer.body).unwrap()
}
