//! A proxy that is measured, whichever it is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use rustls::ClientConfig;

use crate::client::{Caller, HttpVersion};
use crate::error::{BenchError, Tried as _};
use crate::process::Process;
use crate::tls::{self, ClientFiles};
use crate::world::{DENIED_PATH, allowed_path};

/// The longest wait for a first answer, in seconds.
const PATIENCE: u64 = 60;

/// The binaries.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) folder: PathBuf,
    pub(crate) envoy: Option<PathBuf>,
    pub(crate) load: PathBuf,
}

impl Programs {
    /// The error if one is not there.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        let ours = ["bailiwick-operator", "bailiwick-sidecar", "bailiwick-demo-service"];
        let wanted = ours.into_iter().map(|name| self.ours(name)).chain(self.envoy.clone());
        wanted.filter(|path| !path.is_file()).try_for_each(|path| Err(BenchError::NoProgram { path }))
    }

    pub(crate) fn ours(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Which proxy, and how it is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sidecar(Threads),
    Envoy { access_log: bool },
}

/// The sidecar's data-plane threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threads {
    pub(crate) count: u32,
    pub(crate) multi_thread: bool,
}

impl Threads {
    pub(crate) const ONE: Self = Self { count: 1, multi_thread: false };
    pub(crate) const TWO: Self = Self { count: 2, multi_thread: false };
    pub(crate) const TWO_SHARED: Self = Self { count: 2, multi_thread: true };
}

impl Kind {
    pub(crate) const SIDECAR: Self = Self::Sidecar(Threads::ONE);
    pub(crate) const ENVOY: Self = Self::Envoy { access_log: false };

    /// For names of files and processes.
    pub(crate) fn slug(self) -> String {
        match self {
            Self::Sidecar(threads) => {
                format!("sidecar-{}{}", threads.count, if threads.multi_thread { "-shared" } else { "" })
            }
            Self::Envoy { access_log } => format!("envoy{}", if access_log { "-access-log" } else { "" }),
        }
    }

    /// The protocol name that a client of it offers.
    pub(crate) const fn protocol(self, version: HttpVersion) -> &'static str {
        match self {
            // Our sidecars know the version by its preface.
            Self::Sidecar(_) => "bailiwick/1",
            Self::Envoy { .. } => version.protocol(),
        }
    }
}

/// A running proxy and what is needed to call it.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) policies: u32,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// Our sidecar's admin server.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) client: ClientFiles,
    pub(crate) started: Instant,
}

impl Proxy {
    /// Calls until the first 200; returns the time since the process was started.
    pub(crate) fn first_answer(&mut self) -> Result<Duration, BenchError> {
        let settings = self.settings(HttpVersion::Http1)?;
        let path = allowed_path(self.policies);
        let runtime = runtime()?;
        while self.started.elapsed().as_secs() < PATIENCE {
            self.process.check()?;
            let call = async {
                let attempt = get(self.address, &settings, HttpVersion::Http1, &path);
                // A sidecar that is not ready leaves connections waiting; one that hangs must not hang the bench.
                tokio::time::timeout(Duration::from_secs(5), attempt).await
            };
            if let Ok(Ok(StatusCode::OK)) = runtime.block_on(call) {
                return Ok(self.started.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(self.process.not_ready(PATIENCE))
    }

    /// The error unless it does the job: what a policy allows is answered, what none allows is refused.
    pub(crate) fn check_job(&self) -> Result<(), BenchError> {
        let runtime = runtime()?;
        let allowed = allowed_path(self.policies);
        let expected = [(allowed.as_str(), StatusCode::OK), (DENIED_PATH, StatusCode::FORBIDDEN)];
        for version in HttpVersion::BOTH {
            let settings = self.settings(version)?;
            for (path, expected) in expected {
                let found = runtime.block_on(get(self.address, &settings, version, path))?;
                if found != expected {
                    return Err(BenchError::Status {
                        name: self.process.name.clone(),
                        path: path.to_owned(),
                        expected: expected.as_u16(),
                        found: found.as_u16(),
                    });
                }
            }
        }
        Ok(())
    }

    fn settings(&self, version: HttpVersion) -> Result<Arc<ClientConfig>, BenchError> {
        tls::settings(&self.client, self.kind.protocol(version))
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, BenchError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().tried("the runtime")
}

async fn get(
    address: SocketAddr,
    settings: &Arc<ClientConfig>,
    version: HttpVersion,
    path: &str,
) -> Result<StatusCode, BenchError> {
    Caller::connect(address, settings, version).await?.get(path).await
}

/// Where a proxy's files go and what stands behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) application: SocketAddr,
}
