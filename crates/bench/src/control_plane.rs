//! Our operator over one number of policies, and the certificates of its root.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::{BenchError, Tried as _};
use crate::identity_files::{self, IdentityFiles};
use crate::process::Process;
use crate::proxy::Programs;
use crate::tls::ClientFiles;
use crate::world::{CLIENT, SERVER, write_source};

/// The longest wait for the operator, in seconds.
const PATIENCE: u64 = 120;

/// A running operator.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) policies: u32,
    pub(crate) ready: Ready,
    pub(crate) client: ClientFiles,
    /// For Envoy: the identity of the workload that our sidecar stands before.
    pub(crate) server: IdentityFiles,
    /// Until its sidecars could come: policies were read, compiled and published.
    pub(crate) started_in: Duration,
    _process: Process,
}

/// What the operator's ready file says of it; more stands in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ready {
    pub(crate) identity: SocketAddr,
    pub(crate) configuration: SocketAddr,
    pub(crate) operator: String,
    pub(crate) bundle_file: PathBuf,
    pub(crate) tokens_folder: PathBuf,
}

impl ControlPlane {
    pub(crate) fn start(programs: &Programs, folder: &Path, policies: u32) -> Result<Self, BenchError> {
        let make = |name: &str| {
            let path = folder.join(format!("{name}-{policies}"));
            std::fs::create_dir_all(&path).tried(format!("`{}`", path.display())).map(|()| path)
        };
        let (source, files) = (make("source")?, make("identities")?);
        // The operator makes this one itself, private.
        let state = folder.join(format!("state-{policies}"));
        let ready_file = folder.join(format!("ready-{policies}.json"));
        write_source(&source, policies)?;
        let mut command = Command::new(programs.ours("bailiwick-operator"));
        command.arg("--source").arg(&source).arg("--state").arg(&state).arg("--ready-file").arg(&ready_file);
        for flag in ["--identity-listen", "--configuration-listen", "--admin-listen"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        let started = Instant::now();
        let mut process = Process::daemon(&format!("operator-{policies}"), &mut command, folder)?;
        let text = loop {
            process.check()?;
            if let Ok(text) = std::fs::read_to_string(&ready_file) {
                break text;
            }
            if started.elapsed().as_secs() > PATIENCE {
                return Err(process.not_ready(PATIENCE));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let started_in = started.elapsed();
        let ready = serde_json::from_str(&text).map_err(|error| BenchError::Content {
            what: format!("`{}`", ready_file.display()),
            detail: error.to_string(),
        })?;
        let client = identity_files::issue(&state, CLIENT, &files, "client")?;
        let client = ClientFiles { certificate: client.certificate, key: client.key, roots: client.roots };
        let server = identity_files::issue(&state, SERVER, &files, "server")?;
        Ok(Self { policies, ready, client, server, started_in, _process: process })
    }
}
