//! `bailiwick status`: what the operator published, and which sidecars enforce it.

mod cluster;
mod fetch;
mod report;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::cluster::{ClusterStatus, Seen};
use self::report::Report;
use crate::cluster::{Cluster, Options};
use crate::exit::Exit;
use crate::output::{Output, complain, print, print_json};

/// What the operator published, and which sidecars enforce it: of the cluster, or of one operator by its address
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// An operator's admin address, such as that of `bailiwick-operator --source DIR`; otherwise the cluster is asked
    #[arg(long, value_name = "URL", conflicts_with_all = ["namespace", "kubeconfig", "context"])]
    operator: Option<String>,
    /// One namespace only
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    cluster: Options,
}

const AFTER_HELP: &str = "\
In a cluster every replica of the operator is asked by a port-forward through
the API server (you need `create pods/portforward` in its namespace). Ends with
1 if none answers.

Examples:
  bailiwick status
  bailiwick status -n shop -o json
  bailiwick status --operator http://127.0.0.1:15014";

/// Runs the command.
///
/// # Errors
/// When the operator does not answer, or not as an operator does.
pub(crate) async fn run(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    match &arguments.operator {
        Some(operator) => of_operator(operator, output).await,
        None => of_cluster(arguments, output).await,
    }
}

async fn of_cluster(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let cluster = Cluster::connect(&arguments.cluster).await?;
    let namespace = arguments.namespace.as_deref();
    let status = ClusterStatus::of(&Seen::read(&cluster, namespace).await?, namespace);
    if output.is_json() {
        print_json(&status)?;
    } else {
        print(&status.render())?;
    }
    if status.is_answered() {
        return Ok(Exit::Success);
    }
    complain("error: no replica of the operator answers\n");
    Ok(Exit::Failure)
}

async fn of_operator(operator: &str, output: Output) -> anyhow::Result<Exit> {
    let text = fetch::config(operator).await?;
    let not_an_operator = |source| fetch::FetchError::NotAnOperator { url: operator.to_owned(), source };
    if output.is_json() {
        let value: Value = serde_json::from_str(&text).map_err(not_an_operator)?;
        print_json(&value)?;
    } else {
        let report: Report = serde_json::from_str(&text).map_err(not_an_operator)?;
        print(&report.render())?;
    }
    Ok(Exit::Success)
}
