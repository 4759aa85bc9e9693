//! The whole operator in this process, with sidecars made by hand.

mod lifecycle;
mod limits;
mod real_sidecar;
mod serving;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bailiwick_authn::{CredentialStore, TrustStore};
use bailiwick_identity::SpiffeId;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::config::Flags;
use crate::control::Places;
use crate::own_certificate;
use crate::testing::client::{Client, SOON};

const WORKLOADS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec:
      serviceAccountName: orders
      containers: [{name: app, image: app, ports: [{containerPort: 8080, name: http}]}]
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{port: 80, targetPort: 8080, name: http}]
"#;

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers: [{name: app, image: app, ports: [{containerPort: 8080, name: http}]}]
"#;

/// A Policy of the workload `orders` only.
fn policy(path: &str) -> String {
    format!(
        r#"
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {{name: orders, namespace: shop}}
spec:
  targets: [{{kind: Pod, selector: {{matchLabels: {{app: orders}}}}}}]
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{{serviceAccount: {{name: web}}}}]
    permissions: [{{http: {{methods: [GET], paths: ["{path}"]}}}}]
"#
    )
}

fn start(config: Config) -> anyhow::Result<Running> {
    let Mode::Folder(settings) = &config.mode else { panic!("no folder: {config:?}") };
    folder::start(&config, settings)
}

/// A folder with a source and a state.
struct Ground {
    folder: TempDir,
}

impl Ground {
    fn new() -> Self {
        let ground = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(ground.path("source")).unwrap();
        ground.write("source/workloads.yaml", WORKLOADS);
        ground.write("source/web.yaml", WEB);
        ground.write("source/policy.yaml", &policy("/orders"));
        ground.write("addresses.yaml", "workloads: []\n");
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn token(&self, workload: &str) -> Vec<u8> {
        let name = crate::tokens::file_name(&crate::testing::workload(workload));
        std::fs::read(self.path("state/tokens").join(name)).unwrap()
    }

    fn client(&self) -> Client {
        self.client_of("cluster.local")
    }

    fn client_of(&self, trust_domain: &str) -> Client {
        let bundle = std::fs::read(self.path("state/bundle.pem")).unwrap();
        let operator =
            own_certificate::operator_id(&trust_domain.parse().unwrap(), own_certificate::NAMESPACE).unwrap();
        Client::new(&bundle, operator)
    }

    fn start(&self) -> Running {
        self.start_at("127.0.0.1:0", "127.0.0.1:0")
    }

    fn config(&self) -> Config {
        self.config_at("127.0.0.1:0", "127.0.0.1:0")
    }

    fn start_at(&self, identity: &str, configuration: &str) -> Running {
        start(self.config_at(identity, configuration)).unwrap()
    }

    fn config_at(&self, identity: &str, configuration: &str) -> Config {
        let text = |name: &str| Some(self.path(name).display().to_string());
        let flags = Flags {
            source: text("source"),
            state: text("state"),
            addresses: text("addresses.yaml"),
            ready_file: text("ready.json"),
            identity_listen: Some(identity.to_owned()),
            configuration_listen: Some(configuration.to_owned()),
            admin_listen: Some("127.0.0.1:0".to_owned()),
            ..Flags::default()
        };
        Config::load(flags, [("UNRELATED", "1")]).unwrap()
    }

    /// A sidecar's client with a certificate of the workload.
    async fn enrolled(&self, running: &Running, workload: &str) -> Client {
        let client = self.client();
        client.enrol(running.places.identity, &self.token(workload)).await;
        client
    }
}

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn status(running: &Running) -> Value {
    serde_json::from_str(&get(running.places.admin, "/config").await.1).unwrap()
}

/// Looks at the status until it is as expected.
async fn until(running: &Running, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let status = status(running).await;
        if reached(&status) {
            return status;
        }
        assert!(start.elapsed() < SOON, "{what} did not happen: {status:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn object<'a>(status: &'a Value, kind: &str, name: &str) -> &'a Value {
    let objects = status["objects"].as_array().unwrap();
    objects.iter().find(|object| object["kind"] == kind && object["name"] == name).unwrap()
}
