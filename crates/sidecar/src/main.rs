//! The sidecar's entry point; everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match bailiwick_sidecar::Command::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bailiwick-sidecar: {error:#}");
            ExitCode::FAILURE
        }
    }
}
