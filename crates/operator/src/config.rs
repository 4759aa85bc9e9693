//! What the operator is told: flags, then environment, then one YAML file; every mistake reported at once.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bailiwick_runtime::admin::AdminConfig;
use bailiwick_runtime::config::{Collector, ConfigErrors, Overrides, parse, read_file};
use bailiwick_runtime::log::{LogConfig, RawLog};
use serde::Deserialize;

#[cfg(feature = "cluster")]
mod cluster;

#[cfg(feature = "cluster")]
pub(crate) use cluster::ClusterSettings;

const PREFIX: &str = "BAILIWICK_OPERATOR_";
const DEFAULT_IDENTITY: &str = "127.0.0.1:15010";
const DEFAULT_CONFIGURATION: &str = "127.0.0.1:15012";
const CLUSTER_IDENTITY: &str = "[::]:15010";
const CLUSTER_CONFIGURATION: &str = "[::]:15012";
const DEFAULT_ADMIN: &str = "127.0.0.1:15014";

/// The control plane of Bailiwick: reads policies and workloads from a cluster or a folder, and serves sidecars.
///
/// Without `--source` it runs in a pod and reads its cluster. Each flag can also be given in the environment as `BAILIWICK_OPERATOR_<FLAG>` or in the file of `--config`.
#[derive(Debug, Clone, Default, clap::Parser)]
#[command(name = "bailiwick-operator", version)]
pub struct Flags {
    /// A folder of YAML: the objects of bailiwick.dev and ordinary workload manifests; without it, the cluster
    #[arg(long, value_name = "DIR")]
    pub source: Option<String>,
    /// A private folder for the mesh's root, its marks and the workloads' tokens
    #[arg(long, value_name = "DIR")]
    pub state: Option<String>,
    /// Where each workload's sidecar listens on this machine (YAML)
    #[arg(long, value_name = "FILE")]
    pub addresses: Option<String>,
    /// These settings as one YAML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Where certificates are issued [default: 127.0.0.1:15010, in a cluster `[::]:15010`]
    #[arg(long, value_name = "IP:PORT")]
    pub identity_listen: Option<String>,
    /// Where configuration and destinations are served [default: 127.0.0.1:15012, in a cluster `[::]:15012`]
    #[arg(long, value_name = "IP:PORT")]
    pub configuration_listen: Option<String>,
    /// Readiness, metrics and status, on loopback [default: 127.0.0.1:15014]
    #[arg(long, value_name = "IP:PORT")]
    pub admin_listen: Option<String>,
    /// In a cluster: where the replicas tell each other acknowledgements and denials [default: `[::]:15013`]
    #[arg(long, value_name = "IP:PORT")]
    pub replicas_listen: Option<String>,
    /// In a cluster: readiness, liveness and metrics for the kubelet and Prometheus [default: `[::]:15015`]
    #[arg(long, value_name = "IP:PORT")]
    pub probes_listen: Option<String>,
    /// In a cluster: the admission webhooks [default: `[::]:9443`]
    #[arg(long, value_name = "IP:PORT")]
    pub webhook_listen: Option<String>,
    /// In a cluster: the mesh's own trust domain [default: cluster.local]
    #[arg(long, value_name = "NAME")]
    pub trust_domain: Option<String>,
    /// In a cluster: the Secret in the operator's namespace that holds the mesh's root [default: bailiwick-ca]
    #[arg(long, value_name = "NAME")]
    pub ca_secret: Option<String>,
    /// In a cluster: whether a token must come from an address of its own pod [default: true]
    #[arg(long, value_name = "BOOL")]
    pub check_pod_address: Option<bool>,
    /// In a cluster: the roots (PEM) that must vouch for whoever calls the webhooks; without them anybody may call
    #[arg(long, value_name = "FILE")]
    pub webhook_client_roots: Option<String>,
    /// Written as JSON when serving starts: the addresses that port 0 came to
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<String>,
    /// `text` or `json`
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// `info`, `debug`, or a list such as `info,bailiwick_operator=debug`
    #[arg(long, value_name = "FILTER")]
    pub log_filter: Option<String>,
}

/// The file, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RawConfig {
    source: Option<String>,
    state: Option<String>,
    addresses: Option<String>,
    identity_listen: Option<String>,
    configuration_listen: Option<String>,
    admin_listen: Option<String>,
    replicas_listen: Option<String>,
    probes_listen: Option<String>,
    webhook_listen: Option<String>,
    trust_domain: Option<String>,
    ca_secret: Option<String>,
    check_pod_address: Option<bool>,
    webhook_client_roots: Option<String>,
    ready_file: Option<String>,
    log: RawLog,
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) mode: Mode,
    pub(crate) identity_listen: SocketAddr,
    pub(crate) configuration_listen: SocketAddr,
    pub(crate) admin: AdminConfig,
    pub(crate) ready_file: Option<PathBuf>,
    log: LogConfig,
}

/// Where the world is read.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    /// In a folder of YAML.
    Folder(FolderSettings),
    /// In the cluster that this process runs in.
    #[cfg(feature = "cluster")]
    Cluster(Box<ClusterSettings>),
}

/// What only a folder needs.
#[derive(Debug, Clone)]
pub(crate) struct FolderSettings {
    pub(crate) source: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) addresses: Option<PathBuf>,
}

/// What the kubelet tells a pod of itself.
#[derive(Debug, Default)]
struct PodVariables {
    name: Option<String>,
    namespace: Option<String>,
    address: Option<String>,
}

impl PodVariables {
    fn read(environment: &[(OsString, OsString)]) -> Self {
        let value = |name: &str| {
            let found = environment.iter().find(|(known, _)| known == name)?;
            found.1.to_str().map(str::to_owned)
        };
        Self { name: value("POD_NAME"), namespace: value("POD_NAMESPACE"), address: value("POD_IP") }
    }
}

impl Config {
    /// Joins flags, environment (names starting with `BAILIWICK_OPERATOR_`, and what a pod is told of itself) and the file that either
    /// names. Flags win over the environment, the environment over the file.
    ///
    /// # Errors
    /// Every mistake of all three.
    pub fn load<N: Into<OsString>, V: Into<OsString>>(
        flags: Flags,
        environment: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let mut given = Flags::default();
        let environment: Vec<(OsString, OsString)> =
            environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let pod = PodVariables::read(&environment);
        let read = from_environment(&mut given, environment);
        collector.section("", read);
        given.overlay(flags);
        let mut raw = RawConfig::default();
        if let Some(path) = given.config.as_deref()
            && let Some(read) = collector.value("", read_file(Path::new(path)))
        {
            raw = read;
        }
        raw.overlay(given);
        let config = collector.section("", Self::checked(raw, pod));
        collector.finish(|| config)
    }

    /// How log lines are written.
    #[must_use]
    pub const fn log(&self) -> &LogConfig {
        &self.log
    }
}

impl Flags {
    fn overlay(&mut self, stronger: Self) {
        let over = |target: &mut Option<String>, value: Option<String>| {
            if value.is_some() {
                *target = value;
            }
        };
        over(&mut self.source, stronger.source);
        over(&mut self.state, stronger.state);
        over(&mut self.addresses, stronger.addresses);
        over(&mut self.config, stronger.config);
        over(&mut self.identity_listen, stronger.identity_listen);
        over(&mut self.configuration_listen, stronger.configuration_listen);
        over(&mut self.admin_listen, stronger.admin_listen);
        over(&mut self.replicas_listen, stronger.replicas_listen);
        over(&mut self.probes_listen, stronger.probes_listen);
        over(&mut self.webhook_listen, stronger.webhook_listen);
        over(&mut self.trust_domain, stronger.trust_domain);
        over(&mut self.ca_secret, stronger.ca_secret);
        over(&mut self.webhook_client_roots, stronger.webhook_client_roots);
        self.check_pod_address = stronger.check_pod_address.or(self.check_pod_address);
        over(&mut self.ready_file, stronger.ready_file);
        over(&mut self.log_format, stronger.log_format);
        over(&mut self.log_filter, stronger.log_filter);
    }
}

impl RawConfig {
    fn overlay(&mut self, stronger: Flags) {
        let over = |target: &mut Option<String>, value: Option<String>| {
            if value.is_some() {
                *target = value;
            }
        };
        over(&mut self.source, stronger.source);
        over(&mut self.state, stronger.state);
        over(&mut self.addresses, stronger.addresses);
        over(&mut self.identity_listen, stronger.identity_listen);
        over(&mut self.configuration_listen, stronger.configuration_listen);
        over(&mut self.admin_listen, stronger.admin_listen);
        over(&mut self.replicas_listen, stronger.replicas_listen);
        over(&mut self.probes_listen, stronger.probes_listen);
        over(&mut self.webhook_listen, stronger.webhook_listen);
        over(&mut self.trust_domain, stronger.trust_domain);
        over(&mut self.ca_secret, stronger.ca_secret);
        over(&mut self.webhook_client_roots, stronger.webhook_client_roots);
        self.check_pod_address = stronger.check_pod_address.or(self.check_pod_address);
        over(&mut self.ready_file, stronger.ready_file);
        over(&mut self.log.format, stronger.log_format);
        over(&mut self.log.filter, stronger.log_filter);
    }
}

fn from_environment<N: Into<OsString>, V: Into<OsString>>(
    flags: &mut Flags,
    environment: impl IntoIterator<Item = (N, V)>,
) -> Result<(), ConfigErrors> {
    let mut overrides = Overrides::new(PREFIX, environment);
    overrides.apply("SOURCE", |value: String| flags.source = Some(value));
    overrides.apply("STATE", |value: String| flags.state = Some(value));
    overrides.apply("ADDRESSES", |value: String| flags.addresses = Some(value));
    overrides.apply("CONFIG", |value: String| flags.config = Some(value));
    overrides.apply("IDENTITY_LISTEN", |value: String| flags.identity_listen = Some(value));
    overrides.apply("CONFIGURATION_LISTEN", |value: String| flags.configuration_listen = Some(value));
    overrides.apply("ADMIN_LISTEN", |value: String| flags.admin_listen = Some(value));
    overrides.apply("REPLICAS_LISTEN", |value: String| flags.replicas_listen = Some(value));
    overrides.apply("PROBES_LISTEN", |value: String| flags.probes_listen = Some(value));
    overrides.apply("WEBHOOK_LISTEN", |value: String| flags.webhook_listen = Some(value));
    overrides.apply("TRUST_DOMAIN", |value: String| flags.trust_domain = Some(value));
    overrides.apply("CA_SECRET", |value: String| flags.ca_secret = Some(value));
    overrides.apply("CHECK_POD_ADDRESS", |value: bool| flags.check_pod_address = Some(value));
    overrides.apply("WEBHOOK_CLIENT_ROOTS", |value: String| flags.webhook_client_roots = Some(value));
    overrides.apply("READY_FILE", |value: String| flags.ready_file = Some(value));
    overrides.apply("LOG_FORMAT", |value: String| flags.log_format = Some(value));
    overrides.apply("LOG_FILTER", |value: String| flags.log_filter = Some(value));
    overrides.finish()
}

impl Config {
    fn checked(raw: RawConfig, pod: PodVariables) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let in_cluster = raw.source.is_none();
        let (identity, configuration) = if in_cluster {
            (CLUSTER_IDENTITY, CLUSTER_CONFIGURATION)
        } else {
            (DEFAULT_IDENTITY, DEFAULT_CONFIGURATION)
        };
        let identity_listen = listen(&mut collector, "identityListen", &raw.identity_listen, identity);
        let configuration_listen =
            listen(&mut collector, "configurationListen", &raw.configuration_listen, configuration);
        let admin_listen = listen(&mut collector, "adminListen", &raw.admin_listen, DEFAULT_ADMIN);
        if let Some(address) = admin_listen.filter(|address| !address.ip().to_canonical().is_loopback()) {
            collector.mistake("adminListen", format_args!("`{address}` is not a loopback address"));
        }
        let mut listeners = vec![
            ("identityListen", identity_listen),
            ("configurationListen", configuration_listen),
            ("adminListen", admin_listen),
        ];
        let ready_file = path(&mut collector, "readyFile", raw.ready_file.clone());
        let log = collector.section("log", LogConfig::try_from(raw.log.clone()));
        let mode = if in_cluster {
            cluster(&mut collector, &raw, &pod, &mut listeners)
        } else {
            folder(&mut collector, raw).map(Mode::Folder)
        };
        tell_shared(&mut collector, &listeners);
        collector.finish(|| {
            Some(Self {
                mode: mode?,
                identity_listen: identity_listen?,
                configuration_listen: configuration_listen?,
                admin: AdminConfig::loopback(admin_listen?),
                ready_file,
                log: log?,
            })
        })
    }
}

type Listeners = Vec<(&'static str, Option<SocketAddr>)>;

#[cfg(feature = "cluster")]
fn cluster(
    collector: &mut Collector,
    raw: &RawConfig,
    pod: &PodVariables,
    listeners: &mut Listeners,
) -> Option<Mode> {
    for (field, value) in [("state", &raw.state), ("addresses", &raw.addresses)] {
        if value.is_some() {
            collector.mistake(field, "belongs to a folder: give `source` too, or leave it out in a cluster");
        }
    }
    cluster::settings(collector, raw, pod, listeners).map(|settings| Mode::Cluster(Box::new(settings)))
}

#[cfg(not(feature = "cluster"))]
fn cluster(
    collector: &mut Collector,
    _raw: &RawConfig,
    pod: &PodVariables,
    _listeners: &mut Listeners,
) -> Option<Mode> {
    let inside = [&pod.name, &pod.namespace, &pod.address].into_iter().any(Option::is_some);
    let why = if inside {
        "is required: this build reads no cluster; use the image, or build with the feature `cluster`"
    } else {
        "is required: a folder of YAML (this build reads no cluster)"
    };
    collector.mistake("source", why);
    None
}

fn folder(collector: &mut Collector, raw: RawConfig) -> Option<FolderSettings> {
    let only_in_a_cluster = [
        ("replicasListen", &raw.replicas_listen),
        ("probesListen", &raw.probes_listen),
        ("webhookListen", &raw.webhook_listen),
        ("trustDomain", &raw.trust_domain),
        ("caSecret", &raw.ca_secret),
        ("webhookClientRoots", &raw.webhook_client_roots),
    ];
    for (field, _) in only_in_a_cluster.into_iter().filter(|(_, value)| value.is_some()) {
        collector.mistake(field, "belongs to a cluster: leave it out where `source` is a folder");
    }
    let source = required_path(collector, "source", raw.source);
    if let Some(path) = source.as_deref().filter(|path| !path.is_dir()) {
        collector.mistake("source", format_args!("`{}` is not a folder", path.display()));
    }
    let state = required_path(collector, "state", raw.state);
    let addresses = path(collector, "addresses", raw.addresses);
    Some(FolderSettings { source: source?, state: state?, addresses })
}

fn required_path(collector: &mut Collector, field: &str, text: Option<String>) -> Option<PathBuf> {
    let text = collector.required(field, text)?;
    path(collector, field, Some(text))
}

fn path(collector: &mut Collector, field: &str, text: Option<String>) -> Option<PathBuf> {
    let text = text?;
    if text.is_empty() {
        collector.mistake(field, "is empty: write a path");
        return None;
    }
    Some(PathBuf::from(text))
}

fn listen(
    collector: &mut Collector,
    field: &str,
    text: &Option<String>,
    default: &str,
) -> Option<SocketAddr> {
    collector.parsed_required(field, Some(text.as_deref().unwrap_or(default)), parse::socket_address)
}

fn tell_shared(collector: &mut Collector, listeners: &[(&str, Option<SocketAddr>)]) {
    for (index, (field, address)) in listeners.iter().enumerate() {
        let Some(address) = address.filter(|address| address.port() != 0) else { continue };
        let same = |other: &&(&str, Option<SocketAddr>)| other.1 == Some(address);
        if let Some((other, _)) = listeners.iter().take(index).find(same) {
            collector.mistake(field, format_args!("`{address}` is taken by `{other}`"));
        }
    }
}

#[cfg(test)]
mod tests;
