//! `bailiwick status`: what a running operator published, and which sidecars enforce it.

mod fetch;
mod report;

use serde_json::Value;

use self::report::Report;
use crate::exit::Exit;
use crate::output::{Output, print, print_json};

/// What a running operator published, and which sidecars enforce it
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The operator's admin address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:15014")]
    operator: String,
}

const AFTER_HELP: &str = "\
Example:
  bailiwick status --operator http://127.0.0.1:15014";

/// Runs the command.
///
/// # Errors
/// When the operator does not answer, or not as an operator does.
pub(crate) async fn run(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let text = fetch::config(&arguments.operator).await?;
    let not_an_operator =
        |source| fetch::FetchError::NotAnOperator { url: arguments.operator.clone(), source };
    if output.is_json() {
        let value: Value = serde_json::from_str(&text).map_err(not_an_operator)?;
        print_json(&value)?;
    } else {
        let report: Report = serde_json::from_str(&text).map_err(not_an_operator)?;
        print(&report.render())?;
    }
    Ok(Exit::Success)
}
