//! `bailiwick check`: is the cluster ready for Bailiwick, and is Bailiwick as it should be?
//!
//! ```text
//!  cluster --observe--> Observed (plain data) --one file a subject--> categories of facts --> lines | JSON, exit code
//! ```

mod admission;
mod enforcement;
mod fact;
mod kubernetes;
mod network;
mod observe;
mod operator;
mod pods;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use serde::Serialize;

use self::fact::{Category, Fact, Hint, Level};
use self::observe::Observed;
use crate::cluster::{Cluster, Options};
use crate::exit::Exit;
use crate::output::{Output, complain, print, print_json};

/// Is the cluster ready for Bailiwick (`--pre`), and is Bailiwick as it should be? Every fact, what to do, and where it is explained
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Before the installation: only what the cluster must bring
    #[arg(long)]
    pre: bool,
    /// Look again until nothing fails, for at most so long, such as `90s` or `5m`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    cluster: Options,
}

const AFTER_HELP: &str = "\
√ is as it should be, ‼ somebody should know, × does not work or does not
protect. Ends with 1 if there is a ×, with 0 otherwise. `-o short` prints what
is not √ only.

Examples:
  bailiwick check --pre
  bailiwick check
  bailiwick check --wait 2m -o short
  bailiwick check -o json | jq '.categories[].facts[] | select(.level != \"ok\")'";

/// Between two looks of `--wait`.
const AGAIN: Duration = Duration::from_secs(3);

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "it is not a duration such as `90s` or `5m`".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "it is negative".to_owned())
}

/// The whole of `-o json`.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    failures: usize,
    warnings: usize,
    categories: Vec<Category>,
}

/// Runs the command.
///
/// # Errors
/// When the outcome cannot be printed.
pub(crate) async fn run(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let until = arguments.wait.map(|wait| Instant::now() + wait);
    let mut told = false;
    let report = loop {
        let report = Report::of(look(arguments).await);
        if report.ok || until.is_none_or(|until| Instant::now() + AGAIN > until) {
            break report;
        }
        if !told && !output.is_json() {
            complain(&format!("waiting: {}\n", report.first_failure()));
            told = true;
        }
        tokio::time::sleep(AGAIN).await;
    };
    match output {
        Output::Json => print_json(&report)?,
        Output::Text => print(&report.text(Level::Ok))?,
        Output::Short => print(&report.text(Level::Warning))?,
    }
    Ok(if report.ok { Exit::Success } else { Exit::Failure })
}

async fn look(arguments: &Arguments) -> Vec<Category> {
    match Cluster::connect(&arguments.cluster).await {
        Ok(cluster) => categories(&Observed::read(&cluster, arguments.pre).await),
        Err(error) => {
            let todo = "set KUBECONFIG, or use --kubeconfig and --context";
            let fact = Fact::failure(error.to_string(), todo, Hint::Kubeconfig);
            vec![Category::of("kubernetes-api", vec![fact])]
        }
    }
}

/// Everything that can be said of what was observed.
fn categories(observed: &Observed) -> Vec<Category> {
    let mut all = vec![Category::of("kubernetes-api", kubernetes::api(observed))];
    // Without an API server every other line would say the same.
    if observed.version.is_err() {
        return all;
    }
    all.push(Category::of("permissions", kubernetes::permissions(observed)));
    all.push(Category::of("pod-security", kubernetes::pod_security(observed)));
    all.push(Category::of("trust-bundle", kubernetes::trust_bundle(observed)));
    all.push(Category::of("network-policies", network::facts(observed)));
    if let Some(installed) = &observed.installed {
        all.push(Category::of("definitions", admission::definitions(installed)));
        all.push(Category::of("admission", admission::facts(observed, installed)));
        all.push(Category::of("operator", operator::facts(observed, installed)));
        all.push(Category::of("sidecars", pods::facts(observed, installed)));
        all.push(Category::of("enforcement", enforcement::facts(observed, installed)));
    }
    all
}

impl Report {
    fn of(categories: Vec<Category>) -> Self {
        let count = |level| {
            let facts = categories.iter().flat_map(|category| &category.facts);
            facts.filter(|fact| fact.level == level).count()
        };
        let (failures, warnings) = (count(Level::Failure), count(Level::Warning));
        Self { ok: failures == 0, failures, warnings, categories }
    }

    fn first_failure(&self) -> &str {
        let mut facts = self.categories.iter().flat_map(|category| &category.facts);
        facts.find(|fact| fact.level == Level::Failure).map_or("", |fact| fact.text.as_str())
    }

    /// The facts of at least a level, by category.
    fn text(&self, least: Level) -> String {
        let mut out = String::new();
        for category in &self.categories {
            let shown: Vec<&Fact> = category.facts.iter().filter(|fact| fact.level >= least).collect();
            if shown.is_empty() {
                continue;
            }
            out.push_str(&format!("{}\n", category.name));
            for fact in shown {
                out.push_str(&format!("  {} {}\n", fact.level.sign(), fact.text));
                for more in [&fact.todo, &fact.hint].into_iter().flatten() {
                    out.push_str(&format!("      {more}\n"));
                }
            }
            out.push('\n');
        }
        let counted = match (self.failures, self.warnings) {
            (0, 0) => "everything is as it should be".to_owned(),
            (0, warnings) => format!("nothing fails; {}", fact::count(warnings, "warning")),
            (failures, warnings) => {
                format!("{}, {}", fact::count(failures, "failure"), fact::count(warnings, "warning"))
            }
        };
        format!("{out}{counted}\n")
    }
}
