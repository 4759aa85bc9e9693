//! `bailiwick can`: would this call be forwarded, and why?
//!
//! The same decode, compile and evaluator as the operator and the sidecar have; the steps are those of
//! docs/policy-semantics.md, section 2.

mod answer;
mod change;
mod decide;
mod live;
mod mistake;
mod parties;
mod request;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod vectors;

use std::net::IpAddr;

use bailiwick_policy::Timestamp;
use serde::Serialize;

pub(crate) use self::answer::Answer;
use self::decide::Question;
use self::mistake::Mistake;
use self::parties::{From, To};
use self::request::Asked;
pub(crate) use self::text::outcome_lines;
use crate::cluster::Options;
use crate::exit::Exit;
use crate::folder::{Folder, Given};
use crate::output::{Output, complain, print, print_json};
use crate::render::Record;

/// Would this call be forwarded? The verdict, the rule, the nearest miss, and the YAML that would allow it
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Who calls: `namespace/workload` (in a cluster: a pod or its owner), a SPIFFE ID, or `anonymous`
    #[arg(value_name = "FROM")]
    from: String,
    /// An HTTP method (case-sensitive), `grpc` or `tcp`
    #[arg(value_name = "METHOD")]
    method: String,
    /// Who is called: `namespace/workload`, with `:port` if not its first container port
    #[arg(value_name = "TO")]
    to: String,
    /// The path; of `grpc` `package.Service/Method`, of `tcp` the container port
    #[arg(value_name = "PATH")]
    path: String,
    /// A header of the request, such as `host:orders.example`; can be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE")]
    headers: Vec<String>,
    /// The caller's address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// When (RFC 3339); without it the answer to a rule with a time window is DEPENDS
    #[arg(long, value_name = "TIME", value_parser = instant)]
    now: Option<Timestamp>,
    /// Say how every rule sees the call
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    given: Given,
}

const AFTER_HELP: &str = "\
Prints ALLOW (exit 0), or DENY, DEPENDS, INVALID (400), UNAUTHENTICATED (401)
or UNAVAILABLE (503) (exit 2). What is wrong with the objects goes to standard
error, and the answer is the operator's: what is broken denies what it selects.
In a cluster a workload is a pod, or the name of what made it (a Deployment,
StatefulSet, DaemonSet, ReplicaSet or Job): its newest pod is asked about.

Examples:
  bailiwick can shop/web GET shop/orders /orders/1 -f examples/shop
  bailiwick can shop/web grpc shop/orders shop.v1.Orders/Get -f examples/shop
  bailiwick can shop/web tcp shop/orders 5432 -f examples/shop
  bailiwick can anonymous GET shop/orders / -f examples/shop --ip 10.0.0.9 --explain
  bailiwick can shop/web GET shop/orders /orders/1                     # the cluster
  bailiwick can shop/web GET shop/orders /orders/1 -f new.yaml --live  # with new.yaml";

fn instant(text: &str) -> Result<Timestamp, String> {
    let parsed: jiff::Timestamp =
        text.parse().map_err(|_| "it is not RFC 3339, as in `2026-12-31T00:00:00Z`".to_owned())?;
    Ok(Timestamp(parsed.as_second()))
}

/// The whole of `-o json`.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    answer: Answer,
    /// What is wrong with the objects.
    diagnostics: Vec<Record>,
}

#[derive(Debug, Serialize)]
struct Failure {
    error: String,
    help: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the cluster cannot be read, or the outcome cannot be printed.
pub(crate) async fn run(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let answer = match prepare(arguments) {
        Ok(asked) => {
            let folder = Folder::read(&arguments.given).await?;
            ask(&folder, arguments, &asked, false).map(|answer| (answer, folder))
        }
        Err(mistake) => Err(mistake),
    };
    let (answer, folder) = match answer {
        Ok(answer) => answer,
        Err(mistake) => return fail(&mistake, output),
    };
    let exit = if answer.verdict.is_forwarded() { Exit::Success } else { Exit::Denied };
    if output.is_json() {
        print_json(&Report { answer, diagnostics: folder.records() })?;
    } else {
        complain(&folder.frames());
        print(&text::render(&answer))?;
    }
    Ok(exit)
}

/// What can be said to be wrong before anything is read.
fn prepare(arguments: &Arguments) -> Result<Asked, Mistake> {
    let asked = Asked::read(arguments)?;
    // Said here, since the operator would take a folder that is gone for one that it cannot read yet.
    match arguments.given.files.iter().find(|path| !path.exists()) {
        Some(path) => Err(Mistake::NoFolder { path: path.display().to_string() }),
        None => Ok(asked),
    }
}

/// Asks about a call that was decided. `None` if the call cannot be asked about, such as of a pod that is gone.
pub(crate) fn again(folder: &Folder, call: &DecidedCall) -> Option<Answer> {
    let given = Given {
        files: Vec::new(),
        live: true,
        cluster: Options { kubeconfig: None, context: None, operator_namespace: String::new() },
    };
    let arguments = Arguments {
        from: call.from.clone(),
        method: call.method.clone(),
        to: call.to.clone(),
        path: call.path.clone(),
        headers: call.host.iter().map(|host| format!("host:{host}")).collect(),
        ip: call.ip,
        now: Some(Timestamp(jiff::Timestamp::now().as_second())),
        explain: false,
        given,
    };
    let asked = Asked::read(&arguments).ok()?;
    ask(folder, &arguments, &asked, false).ok()
}

/// A call as the arguments of this command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecidedCall {
    pub(crate) from: String,
    pub(crate) method: String,
    pub(crate) to: String,
    pub(crate) path: String,
    pub(crate) host: Option<String>,
    pub(crate) ip: Option<IpAddr>,
}

/// Answers from a folder that was read. `roots_known` is for tests: every trust domain's roots are at hand.
fn ask(folder: &Folder, arguments: &Arguments, asked: &Asked, roots_known: bool) -> Result<Answer, Mistake> {
    let parties = From::find(folder, &arguments.from)
        .and_then(|from| Ok((from, To::find(folder, &arguments.to, asked)?)));
    let (from, to) = match parties {
        Ok(parties) => parties,
        // FAIL-CLOSED: the workload may be in what could not be read, and then every call to it is denied.
        Err(mistake) if mistake.is_about_the_world() && !folder.world.unreadable.is_empty() => {
            return Ok(Answer::unreadable(folder, arguments, &mistake));
        }
        Err(mistake) => return Err(mistake),
    };
    let question =
        Question { folder, from, to, asked, source: arguments.ip, now: arguments.now, roots_known };
    let mut answer = question.answer();
    live::note(&question, &mut answer);
    answer.from.clone_from(&arguments.from);
    answer.method.clone_from(&arguments.method);
    answer.path.clone_from(&arguments.path);
    if !arguments.explain {
        answer.trace = None;
    }
    Ok(answer)
}

fn fail(mistake: &Mistake, output: Output) -> anyhow::Result<Exit> {
    let help = mistake.help();
    if output.is_json() {
        print_json(&Failure { error: mistake.to_string(), help })?;
    } else {
        let help = help.map(|help| format!(" = help: {help}\n")).unwrap_or_default();
        complain(&format!("error: {mistake}\n{help}"));
    }
    Ok(Exit::Invalid)
}
