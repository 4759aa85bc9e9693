//! The command line: which command, in which form, and with which exit code it ends.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{can, check, completions, crds, demo, messages, status, validate, version, why};
use crate::exit::Exit;
use crate::output::{Output, complain};

/// Under this name `kubectl` finds us, and users know us as its subcommand.
const PLUGIN: &str = "kubectl-bailiwick";

/// Who may call whom, decided at every call and always explained
#[derive(Debug, Parser)]
#[command(name = "bailiwick", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Arguments {
    /// The form of what is printed
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done or allowed, 1 failure, 2 denied, 3 invalid input.

Examples:
  bailiwick demo
  bailiwick validate -f examples/shop
  bailiwick can shop/web GET shop/orders /orders/1 -f examples/shop
  bailiwick check --pre && bailiwick status -n shop

As a plugin of kubectl (installed as `kubectl-bailiwick`): kubectl bailiwick check";

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = "Examples:\n  bailiwick demo\n  bailiwick demo --keep")]
    Demo(demo::Arguments),
    Can(can::Arguments),
    Validate(validate::Arguments),
    Check(check::Arguments),
    Status(status::Arguments),
    Why(why::Arguments),
    Crds(crds::Arguments),
    Completions(completions::Arguments),
    Version(version::Arguments),
    Messages(messages::Arguments),
}

/// Runs the program.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = command(arguments.first())
        .try_get_matches_from(arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let Arguments { output, command } = match parsed {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes; a mistake is invalid input, since 2 is the exit code of a denial.
            let exit = if error.use_stderr() { Exit::Invalid } else { Exit::Success };
            drop(error.print());
            return exit.into();
        }
    };
    if output == Output::Short && !matches!(command, Command::Check(_)) {
        complain("error: `-o short` is for `check`: use `text` or `json`\n");
        return Exit::Invalid.into();
    }
    match dispatch(command, output) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => Exit::Success.into(),
        Err(error) => {
            complain(&format!("error: {error:#}\n"));
            Exit::Failure.into()
        }
    }
}

/// The command line as it was called: by itself, or by `kubectl`.
pub(crate) fn command(program: Option<&OsString>) -> clap::Command {
    let name = program.and_then(|program| Path::new(program).file_stem());
    let command = Arguments::command();
    if name.is_some_and(|name| name == PLUGIN) {
        command.bin_name("kubectl bailiwick").name("kubectl-bailiwick")
    } else {
        command
    }
}

fn dispatch(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    Ok(match command {
        Command::Demo(arguments) => return runtime()?.block_on(demo::run(arguments, output)),
        Command::Check(arguments) => runtime()?.block_on(check::run(&arguments, output))?.into(),
        Command::Why(arguments) => runtime()?.block_on(why::run(&arguments, output))?.into(),
        Command::Status(arguments) => runtime()?.block_on(status::run(&arguments, output))?.into(),
        Command::Can(arguments) => runtime()?.block_on(can::run(&arguments, output))?.into(),
        Command::Validate(arguments) => runtime()?.block_on(validate::run(&arguments, output))?.into(),
        Command::Crds(arguments) => crds::run(&arguments, output)?.into(),
        Command::Completions(arguments) => completions::run(&arguments)?.into(),
        Command::Version(arguments) => version::run(&arguments, output)?.into(),
        Command::Messages(arguments) => messages::run(&arguments, output)?.into(),
    })
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// True where the reader has seen enough, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_shows_an_example() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
            let help = subcommand.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{}: {help}", subcommand.get_name());
        }
    }

    #[test]
    fn kubectl_calls_it_by_its_own_name() {
        let mut command = command(Some(&OsString::from("/usr/bin/kubectl-bailiwick")));
        let usage = command.render_usage().to_string();
        assert!(usage.contains("kubectl bailiwick"), "{usage}");
    }
}
