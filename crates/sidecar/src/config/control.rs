//! Where the operator is, and how the sidecar proves itself at first contact.

use std::path::PathBuf;

use bailiwick_identity::SpiffeId;
use bailiwick_policy::WorkloadKey;
use bailiwick_runtime::config::{Collector, ConfigErrors, parse};
use serde::Deserialize;

/// The `control` section, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawControl {
    identity: Option<String>,
    configuration: Option<String>,
    operator: Option<String>,
    token_file: Option<PathBuf>,
    bundle_file: Option<PathBuf>,
}

/// The operator, as the sidecar knows it.
#[derive(Debug, Clone)]
pub(crate) struct ControlConfig {
    /// Where certificates are issued: `host:port`, looked up at each attempt.
    pub(crate) identity: String,
    /// Where configuration and destinations come from: `host:port`, looked up at each attempt.
    pub(crate) configuration: String,
    /// The one identity that both must prove.
    pub(crate) operator: SpiffeId,
    /// The workload's token; read again at each attempt, so it may be rewritten at any time.
    pub(crate) token_file: PathBuf,
    /// The roots that the operator's own certificate is checked against until the first bundle has come.
    pub(crate) bundle_file: PathBuf,
}

/// Why a text does not name a workload.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkloadError {
    /// There is no `/`, or more than one.
    #[error("`{0}` is not a workload: write its namespace and name, such as `shop/orders`")]
    Form(String),
    /// One of the two is not a name.
    #[error(transparent)]
    Name(#[from] bailiwick_identity::NameError),
}

/// Reads `namespace/name`.
pub(super) fn workload(text: &str) -> Result<WorkloadKey, WorkloadError> {
    let (namespace, name) = text.split_once('/').ok_or_else(|| WorkloadError::Form(text.to_owned()))?;
    if name.contains('/') {
        return Err(WorkloadError::Form(text.to_owned()));
    }
    Ok(WorkloadKey { namespace: namespace.parse()?, name: name.parse()? })
}

impl TryFrom<RawControl> for ControlConfig {
    type Error = ConfigErrors;

    fn try_from(raw: RawControl) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let identity = collector.parsed_required("identity", raw.identity.as_deref(), parse::socket_address);
        let configuration =
            collector.parsed_required("configuration", raw.configuration.as_deref(), parse::socket_address);
        let operator = collector.parsed_required("operator", raw.operator.as_deref(), str::parse);
        let token_file = file(&mut collector, "tokenFile", raw.token_file);
        let bundle_file = file(&mut collector, "bundleFile", raw.bundle_file);
        collector.finish(|| {
            Some(Self {
                identity: identity?.to_string(),
                configuration: configuration?.to_string(),
                operator: operator?,
                token_file: token_file?,
                bundle_file: bundle_file?,
            })
        })
    }
}

/// A file's path. That the file is there is not asked: it may be written after the start.
fn file(collector: &mut Collector, field: &str, path: Option<PathBuf>) -> Option<PathBuf> {
    let path = collector.required(field, path)?;
    if path.as_os_str().is_empty() {
        collector.mistake(field, "is empty: write the file's path");
        return None;
    }
    Some(path)
}
