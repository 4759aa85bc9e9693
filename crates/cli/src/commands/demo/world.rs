//! The temporary folder: the shop's YAML, where everybody listens, a configuration for each sidecar.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::operator::ControlPlane;
use super::ports::Ports;

/// The policies before the edit.
pub(super) const POLICIES: &str = include_str!("../../../../../examples/shop/policies.yaml");

const MANIFESTS: [(&str, &str); 4] = [
    ("workloads.yaml", include_str!("../../../../../examples/shop/workloads.yaml")),
    ("roles.yaml", include_str!("../../../../../examples/shop/roles.yaml")),
    ("policies.yaml", POLICIES),
    ("guardrails.yaml", include_str!("../../../../../examples/shop/guardrails.yaml")),
];

/// The folder, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    root: TempDir,
}

impl Folder {
    /// Makes the folder, for this user only, with the shop in it.
    pub(super) fn create() -> Result<Self> {
        let root = tempfile::Builder::new()
            .prefix("bailiwick-demo-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .context("no temporary folder can be made; set TMPDIR to a folder that you may write")?;
        let folder = Self { root };
        for part in ["source", "sidecars", "audit", "logs"] {
            fs::create_dir(folder.path(part)).context("the temporary folder cannot be filled")?;
        }
        for (name, text) in MANIFESTS {
            folder.write(&format!("source/{name}"), text)?;
        }
        Ok(folder)
    }

    /// A path inside of the folder.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside)
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Writes a file so that a reader sees the old one or the new one.
    pub(super) fn write(&self, inside: &str, text: &str) -> Result<()> {
        let (path, new) = (self.path(inside), self.path("new"));
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.with_context(|| format!("`{}` cannot be written", path.display()))
    }

    /// Removes it, and says so if that fails.
    pub(super) fn remove(self) -> Result<()> {
        let path = self.root.path().to_owned();
        self.root.close().with_context(|| format!("`{}` cannot be removed", path.display()))
    }
}

/// A Service that a workload calls, at a port of its own sidecar.
#[derive(Debug)]
pub(super) struct Outbound {
    /// `namespace/name:port`.
    pub(super) service: &'static str,
    /// Where the application connects to.
    pub(super) listen: SocketAddr,
}

/// A port of a workload's application, behind the workload's sidecar.
#[derive(Debug)]
pub(super) struct Inbound {
    /// The container port.
    pub(super) port: u16,
    /// Where the sidecar listens for it.
    pub(super) listen: SocketAddr,
    /// Where the application listens.
    pub(super) forward: SocketAddr,
}

/// A workload and where its parts listen.
#[derive(Debug)]
pub(super) struct Place {
    /// `namespace/name`.
    pub(super) workload: &'static str,
    pub(super) admin: SocketAddr,
    pub(super) inbound: Vec<Inbound>,
    pub(super) outbound: Vec<Outbound>,
}

impl Place {
    /// The workload's name in names of files.
    pub(super) fn file_name(&self) -> String {
        self.workload.replace('/', ".")
    }

    /// Where the application reaches a Service.
    pub(super) fn way_to(&self, service: &str) -> Result<SocketAddr> {
        let found = self.outbound.iter().find(|outbound| outbound.service == service);
        found
            .map(|outbound| outbound.listen)
            .with_context(|| format!("{} has no way to {service}", self.workload))
    }

    /// Where the sidecar listens for a container port, and where the application does.
    pub(super) fn port(&self, port: u16) -> Result<&Inbound> {
        let found = self.inbound.iter().find(|inbound| inbound.port == port);
        found.with_context(|| format!("{} has no port {port}", self.workload))
    }
}

/// The four workloads of the shop.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) web: Place,
    pub(super) report: Place,
    pub(super) orders: Place,
    pub(super) legacy: Place,
}

impl Places {
    /// Takes a port for every listener.
    pub(super) fn take(ports: &mut Ports) -> Result<Self> {
        Ok(Self {
            web: caller("shop/web", ports)?,
            report: caller("shop/report", ports)?,
            orders: callee("shop/orders", &[8080, 5432], ports)?,
            legacy: callee("trial/legacy", &[8080], ports)?,
        })
    }

    pub(super) fn all(&self) -> [&Place; 4] {
        [&self.web, &self.report, &self.orders, &self.legacy]
    }
}

fn caller(workload: &'static str, ports: &mut Ports) -> Result<Place> {
    let mut outbound = Vec::new();
    for service in ["shop/orders:8080", "shop/orders:5432", "trial/legacy:8080"] {
        outbound.push(Outbound { service, listen: ports.take()? });
    }
    Ok(Place { workload, admin: ports.take()?, inbound: Vec::new(), outbound })
}

fn callee(workload: &'static str, listened: &[u16], ports: &mut Ports) -> Result<Place> {
    let mut inbound = Vec::new();
    for port in listened {
        inbound.push(Inbound { port: *port, listen: ports.take()?, forward: ports.take()? });
    }
    Ok(Place { workload, admin: ports.take()?, inbound, outbound: Vec::new() })
}

/// The operator's extra file: where each workload's sidecar listens.
pub(super) fn addresses(places: &Places) -> String {
    let mut text = String::from("workloads:\n");
    for place in places.all().into_iter().filter(|place| !place.inbound.is_empty()) {
        let mut ports = String::new();
        for inbound in &place.inbound {
            let (port, listen) = (inbound.port, inbound.listen);
            ports.push_str(&format!("  - {{port: {port}, address: \"{listen}\"}}\n"));
        }
        text.push_str(&format!("- workload: {}\n  ports:\n{ports}", place.workload));
    }
    text
}

/// The configuration file of a workload's sidecar.
pub(super) fn sidecar(place: &Place, folder: &Folder, control: &ControlPlane) -> String {
    // A JSON string is a YAML string.
    let quoted = |path: PathBuf| serde_json::Value::from(path.display().to_string()).to_string();
    let name = place.file_name();
    let mut text = format!(
        "workload: {}\ncontrol:\n  identity: \"{}\"\n  configuration: \"{}\"\n  operator: {}\n  tokenFile: {}\n  bundleFile: {}\n",
        place.workload,
        control.identity,
        control.configuration,
        control.operator,
        quoted(folder.path(&format!("state/tokens/{name}.token"))),
        quoted(folder.path("state/bundle.pem")),
    );
    let mut list = |title: &str, items: Vec<String>| {
        if !items.is_empty() {
            text.push_str(&format!("{title}:\n{}\n", items.join("\n")));
        }
    };
    let inbound = |inbound: &Inbound| {
        let Inbound { port, listen, forward } = inbound;
        format!("- {{listen: \"{listen}\", port: {port}, forward: \"{forward}\"}}")
    };
    let outbound = |Outbound { service, listen }: &Outbound| {
        format!("- {{listen: \"{listen}\", service: \"{service}\"}}")
    };
    list("inbound", place.inbound.iter().map(inbound).collect());
    list("outbound", place.outbound.iter().map(outbound).collect());
    let audit = quoted(folder.path(&format!("audit/{name}.jsonl")));
    text.push_str(&format!("admin: {{listen: \"{}\"}}\naudit: {{output: {audit}}}\n", place.admin));
    text
}
