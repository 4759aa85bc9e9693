//! The command line: run from a file, run in a pod, capture a pod's connections, begin a drain.

use std::path::PathBuf;

use anyhow::Context as _;
use bailiwick_capture::Exclusions;
use bailiwick_pod::environment;
use clap::{Args, Parser, Subcommand};
use rustix::process::{Pid, Signal, kill_process};

use crate::app;
use crate::config::{Config, PodArguments};

/// Stands before one workload: proves who it is, and decides every call to it.
#[derive(Debug, Parser)]
#[command(
    name = "bailiwick-sidecar",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Command {
    /// The configuration file (YAML); see docs/configuration-sidecar.md.
    #[arg(long, value_name = "FILE", env = "BAILIWICK_SIDECAR_CONFIG", required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs in a pod whose connections are captured; the pod's own settings come by environment.
    Pod(PodArguments),
    /// Redirects the pod's TCP to the sidecar and ends; needs root and NET_ADMIN. Excluded ports come by environment.
    Capture(CaptureArguments),
    /// Tells the sidecar of this container that its pod goes away, and ends: for `preStop`.
    Drain,
}

#[derive(Debug, Args)]
struct CaptureArguments {
    /// The user that the sidecar runs as: its own connections are not captured.
    #[arg(long, value_name = "UID", value_parser = clap::value_parser!(u32).range(1..))]
    user: u32,
}

impl Command {
    /// Does what the command line says.
    ///
    /// # Errors
    /// When the configuration is wrong (every mistake is told), a port is taken, a thread ends unasked, the kernel
    /// refuses the capture, or there is no sidecar to tell.
    pub fn run(self) -> anyhow::Result<()> {
        match (self.verb, self.config) {
            (Some(Verb::Pod(arguments)), _) => app::run(Config::of_pod(arguments, std::env::vars_os())?),
            (None, Some(config)) => app::run(Config::load(&config, std::env::vars_os())?),
            (Some(Verb::Capture(arguments)), _) => arguments.capture(),
            (Some(Verb::Drain), _) => drain(),
            (None, None) => anyhow::bail!("`--config FILE` or a verb is needed; see --help"),
        }
    }
}

impl CaptureArguments {
    fn capture(self) -> anyhow::Result<()> {
        let ports = |name| match std::env::var(name) {
            Ok(text) => text.parse().with_context(|| name),
            Err(std::env::VarError::NotPresent) => Ok(bailiwick_capture::PortSet::default()),
            Err(error @ std::env::VarError::NotUnicode(_)) => Err(error).context(name),
        };
        let exclusions = Exclusions {
            user: self.user,
            inbound: ports(environment::SKIP_INBOUND_PORTS)?,
            outbound: ports(environment::SKIP_OUTBOUND_PORTS)?,
        };
        bailiwick_capture::program(&exclusions)?;
        println!("{exclusions}");
        Ok(())
    }
}

/// The sidecar is the first process of its container. The kubelet sends SIGTERM itself, when the application has ended.
fn drain() -> anyhow::Result<()> {
    kill_process(Pid::INIT, Signal::USR1).context("the sidecar (process 1 of this container) cannot be told")
}
