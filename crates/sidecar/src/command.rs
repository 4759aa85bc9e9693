//! The command line: run from a file, run in a pod, capture a pod's connections, begin a drain.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
}

impl Command {
    /// Does what the command line says.
    ///
    /// # Errors
    /// When the configuration is wrong (every mistake is told), a port is taken, or a thread ends unasked.
    pub fn run(self) -> anyhow::Result<()> {
        match (self.verb, self.config) {
            (Some(Verb::Pod(arguments)), _) => app::run(Config::of_pod(arguments, std::env::vars_os())?),
            (None, Some(config)) => app::run(Config::load(&config, std::env::vars_os())?),
            (None, None) => anyhow::bail!("`--config FILE` or a verb is needed; see --help"),
        }
    }
}
