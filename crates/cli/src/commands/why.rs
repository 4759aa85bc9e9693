//! `bailiwick why`: what was decided about one call, and what would be decided now.
//!
//! The sidecars tell their replica of the operator about denials; all replicas are asked, by port-forward. The denial is
//! shown as it was; what would be decided now comes from the evaluator over the live objects.

mod denial;

use serde::Serialize;
use serde_json::Value;

use self::denial::Denial;
use crate::cluster::{Cluster, Options, Reply, ask_all, is_over, operator_pods};
use crate::commands::can::{self, Answer};
use crate::exit::Exit;
use crate::folder::Folder;
use crate::output::{Output, complain, print, print_json};

/// Why was this call denied? From the id that a 403 and the audit log carry
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The decision's id: header `x-bailiwick-decision`, or `decisionId` in the audit log
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    cluster: Options,
}

const AFTER_HELP: &str = "\
Asks every replica of the operator. Ends with 0 if one knows the decision, with
1 if none does. Each replica keeps the last 10,000 denials (at most 16 MiB) in
memory, until it restarts; the record is the sidecars' audit log.

Example:
  bailiwick why 5f0c1d2e3a4b-d2a";

const KEPT: &str = "\
each replica keeps the last 10,000 denials (at most 16 MiB) until it restarts, and a sidecar tells at most 20 a second:
  others are in the audit log of the called pod's sidecar";

/// The whole of `-o json`.
#[derive(Debug, Serialize)]
struct Report {
    found: bool,
    /// As the sidecar told it (docs/audit.md).
    denial: Option<Value>,
    /// What would be decided now.
    now: Option<Answer>,
    /// Replicas that were asked, and those that could not be.
    asked: Vec<String>,
    unreached: Vec<Unreached>,
}

#[derive(Debug, Serialize)]
struct Unreached {
    replica: String,
    because: String,
}

/// Runs the command.
///
/// # Errors
/// When the cluster does not answer, or the outcome cannot be printed.
pub(crate) async fn run(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let id = arguments.id.trim();
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.is_empty() || id.len() > 128 || !id.bytes().all(sound) {
        let error = format!("`{}` is not the id of a decision", id.escape_debug());
        if output.is_json() {
            print_json(&serde_json::json!({"error": error, "help": "it looks like `5f0c1d2e3a4b-d2a`"}))?;
        } else {
            complain(&format!("error: {error}\n = help: it looks like `5f0c1d2e3a4b-d2a`\n"));
        }
        return Ok(Exit::Invalid);
    }
    let cluster = Cluster::connect(&arguments.cluster).await?;
    let pods = operator_pods(&cluster).await?;
    if pods.iter().all(is_over) {
        anyhow::bail!(
            "there is no operator in namespace `{}` (--operator-namespace)",
            cluster.operator_namespace
        );
    }
    let answers = ask_all(&cluster, &pods, &format!("/why?id={id}")).await;
    let mut report =
        Report { found: false, denial: None, now: None, asked: Vec::new(), unreached: Vec::new() };
    for answer in answers {
        match answer.reply {
            Ok(reply) => {
                report.asked.push(answer.replica);
                if let Reply::Found(text) = reply {
                    report.denial = serde_json::from_str(&text).ok().or(report.denial);
                }
            }
            Err(because) => report.unreached.push(Unreached { replica: answer.replica, because }),
        }
    }
    report.found = report.denial.is_some();
    let denial = report.denial.as_ref().map(Denial::read);
    report.now = match &denial {
        Some(denial) => now(&cluster, denial).await,
        None => None,
    };
    let exit = if report.found { Exit::Success } else { Exit::Failure };
    if output.is_json() {
        print_json(&report)?;
    } else {
        print(&report.text(id, denial.as_ref()))?;
    }
    Ok(exit)
}

/// What would be decided now; nothing where the live objects cannot be read.
async fn now(cluster: &Cluster, denial: &Denial) -> Option<Answer> {
    let call = denial.call()?;
    let folder = Folder::over(cluster, Vec::new()).await.ok()?;
    can::again(&folder, &call)
}

impl Report {
    fn text(&self, id: &str, denial: Option<&Denial>) -> String {
        let mut out = match denial {
            Some(denial) => denial.text(self.now.as_ref()),
            None => {
                let asked = match self.asked.len() {
                    1 => "1 replica".to_owned(),
                    many => format!("{many} replicas"),
                };
                format!("no denial with id {id} at {asked} of the operator\n  {KEPT}\n")
            }
        };
        for Unreached { replica, because } in &self.unreached {
            out.push_str(&format!("  not asked: {replica}: {because}\n"));
        }
        out
    }
}
