//! What the operator is told: flags, then environment, then one YAML file; every mistake reported at once.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bailiwick_runtime::admin::AdminConfig;
use bailiwick_runtime::config::{Collector, ConfigErrors, Overrides, parse, read_file};
use bailiwick_runtime::log::{LogConfig, RawLog};
use serde::Deserialize;

const PREFIX: &str = "BAILIWICK_OPERATOR_";
const DEFAULT_IDENTITY: &str = "127.0.0.1:15010";
const DEFAULT_CONFIGURATION: &str = "127.0.0.1:15012";
const DEFAULT_ADMIN: &str = "127.0.0.1:15014";

/// The control plane of Bailiwick: reads policies and workloads from a folder and serves sidecars.
///
/// Each flag can also be given in the environment as `BAILIWICK_OPERATOR_<FLAG>` or in the file of `--config`.
#[derive(Debug, Clone, Default, clap::Parser)]
#[command(name = "bailiwick-operator", version)]
pub struct Flags {
    /// A folder of YAML: the objects of bailiwick.dev and ordinary workload manifests
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
    /// Where certificates are issued [default: 127.0.0.1:15010]
    #[arg(long, value_name = "IP:PORT")]
    pub identity_listen: Option<String>,
    /// Where configuration and destinations are served [default: 127.0.0.1:15012]
    #[arg(long, value_name = "IP:PORT")]
    pub configuration_listen: Option<String>,
    /// Readiness, metrics and status, on loopback [default: 127.0.0.1:15014]
    #[arg(long, value_name = "IP:PORT")]
    pub admin_listen: Option<String>,
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
    ready_file: Option<String>,
    log: RawLog,
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) source: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) addresses: Option<PathBuf>,
    pub(crate) identity_listen: SocketAddr,
    pub(crate) configuration_listen: SocketAddr,
    pub(crate) admin: AdminConfig,
    pub(crate) ready_file: Option<PathBuf>,
    log: LogConfig,
}

impl Config {
    /// Joins flags, environment (only names starting with `BAILIWICK_OPERATOR_` are read) and the file that either
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
        let config = collector.section("", Self::try_from(raw));
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
    overrides.apply("READY_FILE", |value: String| flags.ready_file = Some(value));
    overrides.apply("LOG_FORMAT", |value: String| flags.log_format = Some(value));
    overrides.apply("LOG_FILTER", |value: String| flags.log_filter = Some(value));
    overrides.finish()
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigErrors;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let source = required_path(&mut collector, "source", raw.source);
        if let Some(path) = source.as_deref().filter(|path| !path.is_dir()) {
            collector.mistake("source", format_args!("`{}` is not a folder", path.display()));
        }
        let state = required_path(&mut collector, "state", raw.state);
        let addresses = path(&mut collector, "addresses", raw.addresses);
        let ready_file = path(&mut collector, "readyFile", raw.ready_file);
        let identity_listen = listen(&mut collector, "identityListen", raw.identity_listen, DEFAULT_IDENTITY);
        let configuration_listen =
            listen(&mut collector, "configurationListen", raw.configuration_listen, DEFAULT_CONFIGURATION);
        let admin_listen = listen(&mut collector, "adminListen", raw.admin_listen, DEFAULT_ADMIN);
        if let Some(address) = admin_listen.filter(|address| !address.ip().to_canonical().is_loopback()) {
            collector.mistake("adminListen", format_args!("`{address}` is not a loopback address"));
        }
        let listeners = [
            ("identityListen", identity_listen),
            ("configurationListen", configuration_listen),
            ("adminListen", admin_listen),
        ];
        tell_shared(&mut collector, &listeners);
        let log = collector.section("log", LogConfig::try_from(raw.log));
        collector.finish(|| {
            Some(Self {
                source: source?,
                state: state?,
                addresses,
                identity_listen: identity_listen?,
                configuration_listen: configuration_listen?,
                admin: AdminConfig::loopback(admin_listen?),
                ready_file,
                log: log?,
            })
        })
    }
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

fn listen(collector: &mut Collector, field: &str, text: Option<String>, default: &str) -> Option<SocketAddr> {
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
mod tests {
    use super::*;

    const NOTHING: [(&str, &str); 0] = [];

    #[test]
    fn every_mistake_is_told_at_once() {
        let flags = Flags {
            identity_listen: Some("localhost:1".into()),
            admin_listen: Some("0.0.0.0:9".into()),
            log_format: Some("xml".into()),
            ..Flags::default()
        };
        let environment = [("BAILIWICK_OPERATOR_SORCE", "x"), ("BAILIWICK_SIDECAR_STATE", "y")];
        let text = Config::load(flags, environment).unwrap_err().to_string();
        for part in [
            "BAILIWICK_OPERATOR_SORCE",
            "source: is required",
            "state: is required",
            "identityListen",
            "adminListen: `0.0.0.0:9` is not a loopback",
            "log.format",
        ] {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
        assert!(!text.contains("SIDECAR"), "{text}");
    }

    #[test]
    fn flags_win_over_the_environment_and_the_environment_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("operator.yaml");
        let source = folder.path().display();
        let text = format!(
            "source: {source}\nstate: of-file\nidentityListen: 127.0.0.1:1\nadminListen: 127.0.0.1:3\n"
        );
        std::fs::write(&file, text).unwrap();
        let flags = Flags {
            config: Some(file.display().to_string()),
            state: Some("of-flag".into()),
            ..Flags::default()
        };
        let environment = [
            ("BAILIWICK_OPERATOR_STATE", "of-environment"),
            ("BAILIWICK_OPERATOR_IDENTITY_LISTEN", "127.0.0.1:2"),
        ];
        let config = Config::load(flags, environment).unwrap();
        assert_eq!(config.state, Path::new("of-flag"));
        assert_eq!(config.identity_listen.port(), 2);
        assert_eq!(config.admin.listen().port(), 3);
        assert_eq!(config.configuration_listen.port(), 15012);
    }

    #[test]
    fn a_misspelt_field_of_the_file_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("operator.yaml");
        std::fs::write(&file, "sourc: x\n").unwrap();
        let flags = Flags { config: Some(file.display().to_string()), ..Flags::default() };
        let text = Config::load(flags, NOTHING).unwrap_err().to_string();
        assert!(text.contains("operator.yaml:1:") && text.contains("sourc"), "{text}");
    }
}
