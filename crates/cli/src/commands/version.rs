//! `bailiwick version`.

use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Output, print, print_json};

/// Print the version of this program and of the API that it speaks
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bailiwick version -o json")]
pub(crate) struct Arguments {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    api_version: &'static str,
}

/// Runs the command.
///
/// # Errors
/// When the outcome cannot be printed.
pub(crate) fn run(_arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let version = Version { version: env!("CARGO_PKG_VERSION"), api_version: bailiwick_api::API_VERSION };
    if output.is_json() {
        print_json(&version)?;
    } else {
        print(&format!("bailiwick {}\nAPI {}\n", version.version, version.api_version))?;
    }
    Ok(Exit::Success)
}
