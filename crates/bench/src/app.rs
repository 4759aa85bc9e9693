//! The two things that this program can be: the load client, and what drives it.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::load::{self, LoadOptions};
use crate::plan::{self, Plan};
use crate::proxy::Programs;
use crate::report;

/// Measures a sidecar as a process.
#[derive(Debug, clap::Parser)]
#[command(name = "bailiwick-bench", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Calls a proxy over mTLS as fast as it answers, or at a rate; the driver starts this as a process of its own
    Load(LoadOptions),
    /// Starts everything, measures, and writes tables (Markdown)
    Sidecar(SidecarOptions),
}

#[derive(Debug, clap::Args)]
struct SidecarOptions {
    /// Where `bailiwick-operator`, `bailiwick-sidecar` and `bailiwick-demo-service` are
    #[arg(long, value_name = "DIR", default_value = "target/release")]
    binaries: PathBuf,
    /// Envoy's binary; without it Envoy is left out
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Where the tables are written: `sidecar.md`, `runtime.md`
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// How often each figure is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    repetitions: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// The larger number of policies
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=99_999))]
    policies: u32,
}

/// Does what the command line says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Load(options) => Ok(load::run(&options)?),
        Command::Sidecar(options) => sidecar(options),
    }
}

fn sidecar(options: SidecarOptions) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("this program does not know where it is")?;
    let programs = Programs { folder: options.binaries, envoy: options.envoy, load: own };
    programs.check()?;
    std::fs::create_dir_all(&options.output).context("the folder for the tables cannot be made")?;
    let plan =
        Plan { repetitions: options.repetitions, seconds: options.seconds, policies: options.policies };
    let figures = plan::measure(&programs, &plan)?;
    std::fs::write(options.output.join("sidecar.md"), report::sidecar(&figures, &plan))?;
    std::fs::write(options.output.join("runtime.md"), report::runtime(&figures, &plan))?;
    Ok(())
}
