//! Entry point of `bailiwick-operator`.

use std::process::ExitCode;

use bailiwick_operator::{Config, Flags, run};
use bailiwick_runtime::log;
use clap::Parser as _;

/// Bad input: flags, environment, configuration file.
const INVALID: u8 = 3;

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(told) => {
            // `--help` and `--version` come this way, too.
            let code = if told.use_stderr() { INVALID } else { 0 };
            return if told.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    let config = match Config::load(flags, std::env::vars_os()) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("bailiwick-operator: {mistakes}");
            return ExitCode::from(INVALID);
        }
    };
    if let Err(error) = log::init(config.log()) {
        eprintln!("bailiwick-operator: {error}");
        return ExitCode::FAILURE;
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bailiwick-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
