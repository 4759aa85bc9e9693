//! The configuration of a sidecar in a pod: what is the same in the whole installation comes by arguments, which the
//! cluster compares when the pod is admitted, and what is the pod's own by environment (crate `pod`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use bailiwick_agent::audit::AuditOutput;
use bailiwick_identity::SpiffeId;
use bailiwick_pod::{Declared, environment, names, ports};
use bailiwick_runtime::admin::AdminConfig;
use bailiwick_runtime::config::{Collector, ConfigErrors};
use bailiwick_runtime::log::{LogConfig, RawLog};

use super::control::{self, ControlConfig};
use super::limits::RawLimits;
use super::process::{RawDrain, RawRuntime};
use super::{Config, DataPlane};

/// What an installation tells all of its sidecars.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PodArguments {
    /// The operator's host name or address; looked up at each attempt.
    #[arg(long, value_name = "HOST")]
    operator: String,
    /// The one SPIFFE ID that the operator must prove.
    #[arg(long, value_name = "SPIFFE_ID")]
    operator_id: SpiffeId,
    /// The operator's port for certificates.
    #[arg(long, value_name = "PORT", default_value_t = ports::OPERATOR_IDENTITY)]
    identity_port: u16,
    /// The operator's port for configuration and destinations.
    #[arg(long, value_name = "PORT", default_value_t = ports::OPERATOR_CONFIGURATION)]
    configuration_port: u16,
    /// Where the token and the trust bundle are mounted.
    #[arg(long, value_name = "FOLDER", default_value = names::IDENTITY_FOLDER)]
    identity_folder: PathBuf,
}

/// A pod whose TCP is redirected to the sidecar.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    /// The pod's own addresses: where the application is reached, and what a call to oneself goes to. Never empty.
    pub(crate) addresses: Vec<IpAddr>,
    /// The node's addresses: hooks are run for nobody else.
    pub(crate) node: Vec<IpAddr>,
    /// The pod's declared probes and hooks, by index.
    pub(crate) probes: Vec<Declared>,
}

impl Captured {
    /// True if the pod has an IPv4 address.
    pub(crate) fn has_v4(&self) -> bool {
        self.addresses.iter().any(IpAddr::is_ipv4)
    }

    /// True if the pod has an IPv6 address.
    pub(crate) fn has_v6(&self) -> bool {
        self.addresses.iter().any(IpAddr::is_ipv6)
    }
}

/// Why a list of addresses cannot be read.
#[derive(Debug, thiserror::Error)]
enum AddressesError {
    #[error("`{0}` is not an IP address")]
    NotAnAddress(String),
    #[error("is empty: the pod has no address yet")]
    Empty,
}

impl Config {
    /// Builds the configuration of a pod's sidecar and checks everything.
    ///
    /// # Errors
    /// [`ConfigErrors`], with every mistake.
    pub(crate) fn of_pod(
        arguments: PodArguments,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let values = Values::ours(&mut collector, environment);
        let namespace = collector.required(environment::NAMESPACE, values.get(environment::NAMESPACE));
        let name = collector.required(environment::NAME, values.get(environment::NAME));
        let workload = namespace.zip(name).and_then(|(namespace, name)| {
            collector.value(environment::NAME, control::workload(&format!("{namespace}/{name}")))
        });
        let instance = collector.required(environment::UID, values.get(environment::UID));
        let pod_addresses = values.get(environment::ADDRESSES);
        let addresses = collector.parsed_required(environment::ADDRESSES, pod_addresses, addresses);
        let node_addresses = values.get(environment::NODE_ADDRESSES).filter(|text| !text.is_empty());
        let node = collector.parsed(environment::NODE_ADDRESSES, node_addresses, self::addresses, Vec::new());
        let probes = collector.parsed(
            environment::PROBES,
            values.get(environment::PROBES),
            |text| serde_json::from_str::<Vec<Declared>>(text),
            Vec::new(),
        );
        let raw = RawLog { filter: values.get(environment::LOG).map(str::to_owned), format: None };
        let log = collector.section(environment::LOG, LogConfig::try_from(raw));
        let runtime = collector.section("runtime", RawRuntime::default().try_into());
        let limits = collector.section("limits", RawLimits::default().try_into());
        let drain = collector.section("drain", RawDrain::default().try_into());
        collector.finish(|| {
            Some(Self {
                workload: workload?,
                instance: Some(instance?.to_owned()),
                control: arguments.control(),
                data_plane: DataPlane::Captured(Captured {
                    addresses: addresses?,
                    node: node?,
                    probes: probes?,
                }),
                admin: AdminConfig::loopback(SocketAddr::from((Ipv4Addr::LOCALHOST, ports::ADMIN))),
                audit: AuditOutput::Stdout,
                runtime: runtime?,
                limits: limits?,
                drain: drain?,
                log: log?,
            })
        })
    }
}

impl PodArguments {
    fn control(self) -> ControlConfig {
        let address = |port| match self.operator.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, port).to_string(),
            Err(_) => format!("{}:{port}", self.operator),
        };
        ControlConfig {
            identity: address(self.identity_port),
            configuration: address(self.configuration_port),
            token_file: self.identity_folder.join(names::TOKEN_FILE),
            bundle_file: self.identity_folder.join(names::BUNDLE_FILE),
            operator: self.operator_id,
        }
    }
}

/// The pod's values among those of the environment.
struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// Reads the variables of crate `pod`; one that is not UTF-8 is a mistake.
    fn ours(collector: &mut Collector, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut values = BTreeMap::new();
        for (name, value) in environment {
            let known = environment::OF_SIDECAR.iter().find(|known| name.as_os_str() == OsStr::new(known));
            if let Some(known) = known {
                let text = value.into_string().map_err(|_| "is not UTF-8");
                if let Some(text) = collector.value(known, text) {
                    values.insert(*known, text);
                }
            }
        }
        Self(values)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Comma-separated addresses, at least one; v4-mapped ones are folded to IPv4.
fn addresses(text: &str) -> Result<Vec<IpAddr>, AddressesError> {
    if text.trim().is_empty() {
        return Err(AddressesError::Empty);
    }
    let address = |text: &str| {
        let text = text.trim();
        let parsed = text.parse::<IpAddr>().map_err(|_| AddressesError::NotAnAddress(text.to_owned()))?;
        Ok(parsed.to_canonical())
    };
    text.split(',').map(address).collect()
}

#[cfg(test)]
mod tests;
