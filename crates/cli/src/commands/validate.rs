//! `bailiwick validate`: every mistake of a folder as a code frame.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::exit::Exit;
use crate::folder::{Folder, Given};
use crate::output::{Output, print, print_json};
use crate::render::Record;

/// Check policies in files, in the cluster, or files on top of it: every mistake with its place, its code and what to do
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    given: Given,
}

const AFTER_HELP: &str = "\
Ends with 3 if there is an error, with 0 otherwise; warnings are no errors.
The codes are explained in docs/messages.md. `--live` finds what files alone
cannot: a Role that only the cluster has, a target that selects no pod of it.

Examples:
  bailiwick validate -f examples/shop
  bailiwick validate -f base -f overlays/production -o json
  bailiwick validate                      # what is in the cluster now
  bailiwick validate -f policies --live   # what it would be with these";

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    errors: usize,
    warnings: usize,
    objects: usize,
    workloads: usize,
    skipped: BTreeMap<String, usize>,
    diagnostics: Vec<Record>,
}

/// Runs the command.
///
/// # Errors
/// When the cluster cannot be read, or the outcome cannot be printed.
pub(crate) async fn run(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let folder = Folder::read(&arguments.given).await?;
    let (errors, warnings) = folder.counts();
    let exit = if errors == 0 { Exit::Success } else { Exit::Invalid };
    if output.is_json() {
        print_json(&Report {
            ok: errors == 0,
            errors,
            warnings,
            objects: folder.compiled.objects.len(),
            workloads: folder.world.workloads.len(),
            skipped: folder.skipped.clone(),
            diagnostics: folder.records(),
        })?;
    } else {
        print(&format!("{}{}\n", folder.frames(), summary(&folder)))?;
    }
    Ok(exit)
}

fn summary(folder: &Folder) -> String {
    let (errors, warnings) = folder.counts();
    let objects = count(folder.compiled.objects.len(), "object");
    let problems = format!("{}, {}", count(errors, "error"), count(warnings, "warning"));
    let skipped: Vec<String> = folder.skipped.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let skipped =
        if skipped.is_empty() { String::new() } else { format!(" (skipped: {})", skipped.join(", ")) };
    if errors == 0 {
        let workloads = count(folder.world.workloads.len(), "workload");
        format!("OK: {objects}, {workloads}, {}{skipped}", count(warnings, "warning"))
    } else {
        format!("{problems} in {objects}{skipped}; the codes are explained in docs/messages.md")
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
