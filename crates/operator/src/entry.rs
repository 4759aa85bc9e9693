//! The command line: what the process was started for.

use std::process::ExitCode;

use bailiwick_runtime::log;
use clap::Parser as _;

use crate::{Config, Flags, run};

/// Bad input: flags, environment, configuration file.
const INVALID: u8 = 3;

/// The control plane of Bailiwick: reads policies and workloads from a cluster or a folder, and serves sidecars.
///
/// Each flag can also be given in the environment as `BAILIWICK_OPERATOR_<FLAG>` or in the file of `--config`.
#[derive(Debug, clap::Parser)]
#[command(name = "bailiwick-operator", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[cfg(feature = "cluster")]
    #[command(subcommand)]
    uninstall: Option<crate::uninstall::Uninstall>,
    #[command(flatten)]
    flags: Flags,
}

/// Everything that `main` does.
#[must_use]
pub fn entry() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(told) => {
            // `--help` and `--version` come this way, too.
            let code = if told.use_stderr() { INVALID } else { 0 };
            return if told.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    #[cfg(feature = "cluster")]
    if let Some(uninstall) = line.uninstall {
        return match uninstall.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    let config = match Config::load(line.flags, std::env::vars_os()) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("bailiwick-operator: {mistakes}");
            return ExitCode::from(INVALID);
        }
    };
    if let Err(error) = log::init(config.log()) {
        return fail(&error);
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bailiwick-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("bailiwick-operator: {error}");
    ExitCode::FAILURE
}
