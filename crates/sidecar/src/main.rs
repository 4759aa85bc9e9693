//! The sidecar's entry point; everything else is in the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Stands before one workload: proves who it is, and decides every call to it.
#[derive(Debug, Parser)]
#[command(name = "bailiwick-sidecar", version)]
struct Arguments {
    /// The configuration file (YAML); see docs/configuration-sidecar.md.
    #[arg(long, value_name = "FILE", env = "BAILIWICK_SIDECAR_CONFIG")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match bailiwick_sidecar::run(&arguments.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bailiwick-sidecar: {error:#}");
            ExitCode::FAILURE
        }
    }
}
