//! The file that says where the operator came to listen.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use crate::files::{self, Durability};

/// What stands in it, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReadyFile<'a> {
    pub(crate) identity: SocketAddr,
    pub(crate) configuration: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The identity that both listeners prove.
    pub(crate) operator: String,
    pub(crate) trust_domain: String,
    pub(crate) bundle_file: &'a Path,
    pub(crate) tokens_folder: &'a Path,
    pub(crate) pid: u32,
}

impl ReadyFile<'_> {
    /// Writes it; whoever waits for it sees it whole.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        text.push('\n');
        files::replace(path, text.as_bytes(), files::PUBLIC, Durability::Atomic)
    }
}
