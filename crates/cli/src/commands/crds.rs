//! `bailiwick crds`: the custom resource definitions, from the Rust types.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use bailiwick_api::{crd_file_name, crd_yaml, crds};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Output, print, print_json};

/// Print the custom resource definitions, or write them into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Write one file a kind into this folder
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  bailiwick crds | kubectl apply -f -
  bailiwick crds --write crds";

#[derive(Debug, Serialize)]
struct Written {
    written: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When a definition cannot be written.
pub(crate) fn run(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let crds = crds();
    let Some(folder) = &arguments.write else {
        if output.is_json() {
            print_json(&crds)?;
        } else {
            let all: Result<String, _> = crds.iter().map(crd_yaml).collect();
            print(&all?)?;
        }
        return Ok(Exit::Success);
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let mut written = Vec::new();
    for crd in &crds {
        let path = folder.join(crd_file_name(crd));
        fs::write(&path, crd_yaml(crd)?).with_context(|| format!("cannot write `{}`", path.display()))?;
        written.push(path.display().to_string());
    }
    if output.is_json() {
        print_json(&Written { written })?;
    } else {
        print(&(written.join("\n") + "\n"))?;
    }
    Ok(Exit::Success)
}
