//! The commands that a user types.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    command: String,
}

impl Run {
    /// Standard output, if the command succeeded.
    ///
    /// # Errors
    /// With what the command said, if it did not.
    pub fn ok(self) -> Result<String> {
        if self.code != 0 {
            bail!("`{}` exited {}:\n{}{}", self.command, self.code, self.stdout, self.stderr);
        }
        Ok(self.stdout)
    }

    /// Standard error, if the command was refused.
    ///
    /// # Errors
    /// If it succeeded.
    pub fn refused(self) -> Result<String> {
        if self.code == 0 {
            bail!("`{}` succeeded and should have been refused:\n{}", self.command, self.stdout);
        }
        Ok(self.stderr + &self.stdout)
    }
}

fn run(mut command: Command, input: Option<&str>) -> Result<Run> {
    let shown = format!("{command:?}").replace('"', "");
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("`{shown}` cannot be started"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    Ok(Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        command: shown,
    })
}

fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments);
    command
}

/// Runs kubectl.
///
/// # Errors
/// If it cannot be started.
pub fn kubectl(arguments: &[&str]) -> Result<Run> {
    run(program("kubectl", arguments), None)
}

/// Runs kubectl, which must succeed, and gives its output without white space around it.
///
/// # Errors
/// If it fails.
pub fn kubectl_text(arguments: &[&str]) -> Result<String> {
    Ok(kubectl(arguments)?.ok()?.trim().to_owned())
}

/// `kubectl apply -f -`.
///
/// # Errors
/// If kubectl cannot be started.
pub fn apply_text(text: &str, arguments: &[&str]) -> Result<Run> {
    let mut command = program("kubectl", &["apply", "-f", "-"]);
    command.args(arguments);
    run(command, Some(text))
}

/// Runs helm.
///
/// # Errors
/// If it cannot be started.
pub fn helm(arguments: &[&str]) -> Result<Run> {
    run(program("helm", arguments), None)
}

/// Runs our own command line.
///
/// # Errors
/// If it cannot be started.
pub fn bailiwick(arguments: &[&str]) -> Result<Run> {
    let path = std::env::var("BAILIWICK_E2E_CLI").unwrap_or_else(|_| "bailiwick".to_owned());
    run(program(&path, arguments), None)
}

/// Runs a line of shell on the machine of the tests.
///
/// # Errors
/// If the shell cannot be started.
pub fn shell(line: &str) -> Result<Run> {
    run(program("bash", &["-euo", "pipefail", "-c", line]), None)
}
