//! The operator of the demonstration: where it listens, and what it knows of its sidecars.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::http::get;

/// Where the operator listens, as it says itself when it serves.
#[derive(Debug, Deserialize)]
pub(super) struct ControlPlane {
    pub(super) identity: SocketAddr,
    pub(super) configuration: SocketAddr,
    pub(super) admin: SocketAddr,
    /// The identity that it proves to its sidecars.
    pub(super) operator: String,
}

impl ControlPlane {
    /// Reads the file that the operator writes when it serves; `None` before that.
    pub(super) fn read(file: &Path) -> Option<Self> {
        std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok())
    }

    /// What the operator knows now.
    pub(super) async fn status(&self) -> Result<Status> {
        let answer = get(self.admin, "/config").await?;
        serde_json::from_str(&answer.body).context("the operator's status is not what this program reads")
    }
}

/// What the operator knows.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) publication: Option<Publication>,
    workloads: Vec<Workload>,
}

/// The latest publication.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Publication {
    pub(super) version: u64,
    /// Of the sidecars that it concerns.
    pub(super) acknowledged: usize,
    /// The sidecars that it concerns.
    pub(super) of: usize,
    waiting: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Workload {
    sidecars: Vec<Sidecar>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sidecar {
    acknowledged_version: Option<u64>,
    acknowledged_millis: Option<u64>,
    current: bool,
}

impl Status {
    /// The version of the latest publication; 0 before the first.
    pub(super) fn version(&self) -> u64 {
        self.publication.as_ref().map_or(0, |publication| publication.version)
    }

    /// How many sidecars have acknowledged what they are to enforce now, and how many there are.
    pub(super) fn current(&self) -> (usize, usize) {
        let all = || self.workloads.iter().flat_map(|workload| &workload.sidecars);
        (all().filter(|sidecar| sidecar.current).count(), all().count())
    }

    /// When the last acknowledgement of a publication came, in milliseconds since the Unix epoch.
    pub(super) fn acknowledged_at(&self, version: u64) -> Option<u64> {
        let sidecars = self.workloads.iter().flat_map(|workload| &workload.sidecars);
        let of_it = sidecars.filter(|sidecar| sidecar.acknowledged_version == Some(version));
        of_it.filter_map(|sidecar| sidecar.acknowledged_millis).max()
    }
}

impl Publication {
    /// True once every concerned sidecar has acknowledged it.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.waiting.is_empty() && self.acknowledged == self.of
    }
}
