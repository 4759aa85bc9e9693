//! `bailiwick completions`: what a shell needs to complete our words.

use clap_complete::Shell;

use crate::app::command;
use crate::exit::Exit;
use crate::output::print;

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  source <(bailiwick completions bash)")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// When the outcome cannot be printed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command(None), "bailiwick", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}
