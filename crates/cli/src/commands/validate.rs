//! `bailiwick validate`: every mistake of a folder as a code frame.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::exit::Exit;
use crate::folder::Folder;
use crate::output::{Output, print, print_json};
use crate::render::Record;

/// Check a folder of policies: every mistake with its place, its code and what to do
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// A folder or file of YAML; can be given more than once
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Ends with 3 if there is an error, with 0 otherwise; warnings are no errors.
The codes are explained in docs/messages.md.

Examples:
  bailiwick validate -f examples/shop
  bailiwick validate -f base -f overlays/production -o json";

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
/// When the outcome cannot be printed.
pub(crate) fn run(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let folder = Folder::read(&arguments.files);
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
