//! The sidecar's configuration: one YAML file and few environment values, or in a pod arguments and the pod's
//! environment; every mistake told at once.
//!
//! The user's page is `docs/configuration-sidecar.md`.

mod control;
mod limits;
mod listeners;
mod pod;
mod process;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;

use bailiwick_agent::audit::AuditOutput;
use bailiwick_policy::WorkloadKey;
use bailiwick_runtime::admin::{AdminConfig, RawAdmin};
use bailiwick_runtime::config::{self, Collector, ConfigErrors, LoadError, Overrides};
use bailiwick_runtime::log::{LogConfig, RawLog};
use serde::Deserialize;

use crate::node::Node;

pub(crate) use self::control::ControlConfig;
pub(crate) use self::limits::Limits;
pub(crate) use self::listeners::{InboundPort, OutboundService, ServicePort};
pub(crate) use self::pod::{Captured, PodArguments};
pub(crate) use self::process::{DrainConfig, RuntimeConfig};

use self::control::RawControl;
use self::limits::RawLimits;
use self::listeners::{RawInbound, RawOutbound};
use self::process::{RawAudit, RawDrain, RawRuntime};

/// What every environment value's name starts with.
const ENVIRONMENT_PREFIX: &str = "BAILIWICK_SIDECAR_";

/// Everything that the sidecar is told.
#[derive(Debug)]
pub(crate) struct Config {
    /// The workload that it stands before.
    pub(crate) workload: WorkloadKey,
    /// Names this process among those of the workload: the pod's UID; without one a random id is made.
    pub(crate) instance: Option<String>,
    /// Where the operator is and how to prove oneself at first contact.
    pub(crate) control: ControlConfig,
    /// Where connections come from.
    pub(crate) data_plane: DataPlane,
    /// The admin server.
    pub(crate) admin: AdminConfig,
    /// Where decisions are written.
    pub(crate) audit: AuditOutput,
    /// Threads.
    pub(crate) runtime: RuntimeConfig,
    /// Deadlines and sizes.
    pub(crate) limits: Limits,
    /// How the process ends.
    pub(crate) drain: DrainConfig,
    /// Log lines.
    pub(crate) log: LogConfig,
}

/// How connections reach the sidecar.
#[derive(Debug)]
pub(crate) enum DataPlane {
    /// Each has a port of its own, in the file: on a laptop and in tests.
    Listed {
        /// Ports of the workload.
        inbound: Vec<InboundPort>,
        /// Services that the application calls.
        outbound: Vec<OutboundService>,
    },
    /// All of a pod's TCP is redirected here.
    Captured(Captured),
}

impl DataPlane {
    /// The node, where connections are captured; else nobody.
    pub(crate) fn node(&self) -> Node {
        match self {
            Self::Listed { .. } => Node::default(),
            Self::Captured(pod) => Node::new(&pod.node),
        }
    }

    /// The pod's own addresses; none where connections are not captured.
    pub(crate) fn pod_addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::Listed { .. } => Vec::new(),
            Self::Captured(pod) => pod.addresses.clone(),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read into its form.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Values of the file or of the environment are wrong; all are told.
    #[error(transparent)]
    Values(#[from] ConfigErrors),
}

/// The file, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RawConfig {
    workload: Option<String>,
    control: RawControl,
    inbound: Vec<RawInbound>,
    outbound: Vec<RawOutbound>,
    admin: RawAdmin,
    audit: RawAudit,
    runtime: RawRuntime,
    limits: RawLimits,
    drain: RawDrain,
    log: RawLog,
}

impl Config {
    /// Reads the file, applies the environment, and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`], with every mistake.
    pub(crate) fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let raw = config::read_file::<RawConfig>(path)?;
        Ok(Self::from_raw(raw, environment)?)
    }

    fn from_raw(
        mut raw: RawConfig,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let overridden = raw.apply(Overrides::new(ENVIRONMENT_PREFIX, environment));
        let overridden = collector.section("", overridden);
        let workload = collector.parsed_required("workload", raw.workload.as_deref(), control::workload);
        let control = collector.section("control", raw.control.try_into());
        let inbound = listeners::inbound(&mut collector, raw.inbound);
        let outbound = listeners::outbound(&mut collector, raw.outbound);
        let admin = collector.section("admin", AdminConfig::try_from(raw.admin));
        let audit = collector.section("audit", raw.audit.output());
        let runtime = collector.section("runtime", raw.runtime.try_into());
        let limits = collector.section("limits", raw.limits.try_into());
        let drain = collector.section("drain", raw.drain.try_into());
        let log = collector.section("log", LogConfig::try_from(raw.log));
        if let (Some(inbound), Some(outbound)) = (&inbound, &outbound) {
            let admin = admin.as_ref().map(AdminConfig::listen);
            listeners::check_together(&mut collector, (inbound, outbound), admin);
        }
        collector.finish(|| {
            overridden?;
            Some(Self {
                workload: workload?,
                instance: None,
                control: control?,
                data_plane: DataPlane::Listed { inbound: inbound?, outbound: outbound? },
                admin: admin?,
                audit: audit?,
                runtime: runtime?,
                limits: limits?,
                drain: drain?,
                log: log?,
            })
        })
    }
}

impl RawConfig {
    /// The environment's values stand above the file's.
    fn apply(&mut self, mut overrides: Overrides) -> Result<(), ConfigErrors> {
        // The file's own path; read by the command line.
        overrides.apply("CONFIG", |_: String| ());
        overrides.apply("WORKLOAD", |value: String| self.workload = Some(value));
        overrides.apply("ADMIN_LISTEN", |value: String| self.admin.listen = Some(value));
        overrides.apply("THREADS", |value: String| self.runtime.threads = Some(value));
        overrides.apply("LOG_FILTER", |value: String| self.log.filter = Some(value));
        overrides.apply("LOG_FORMAT", |value: String| self.log.format = Some(value));
        overrides.finish()
    }
}

#[cfg(test)]
mod tests;
