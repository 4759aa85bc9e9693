//! The programs that run during the demonstration, and their end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::screen::Screen;

/// How long everything may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// Lines of a log that an error shows.
const TAIL: usize = 8;

const OPERATOR: &str = "bailiwick-operator";
const SIDECAR: &str = "bailiwick-sidecar";
const SERVICE: &str = "bailiwick-demo-service";

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) operator: PathBuf,
    pub(super) sidecar: PathBuf,
    pub(super) service: PathBuf,
}

impl Programs {
    /// Looks for all three in a folder; without one, beside this program.
    pub(super) fn find(folder: Option<&Path>) -> Result<Self> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => {
                let own = std::env::current_exe()
                    .context("this program's own path is not known; use --binaries")?;
                own.parent().map(Path::to_owned).unwrap_or_default()
            }
        };
        let path = |name: &str| folder.join(name);
        let missing: Vec<&str> =
            [OPERATOR, SIDECAR, SERVICE].into_iter().filter(|name| !path(name).is_file()).collect();
        if !missing.is_empty() {
            bail!(
                "not in `{}`: {}; build them with `cargo build --bins`, or say where they are with --binaries",
                folder.display(),
                missing.join(", ")
            );
        }
        Ok(Self { operator: path(OPERATOR), sidecar: path(SIDECAR), service: path(SERVICE) })
    }
}

/// Everything that was started. Dropping it kills what still runs.
#[derive(Debug, Default)]
pub(super) struct Processes {
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Processes {
    /// Starts a program; what it prints goes to `log`.
    pub(super) fn start(
        &mut self,
        name: &str,
        program: &Path,
        arguments: &[String],
        log: PathBuf,
    ) -> Result<()> {
        let opened = || -> std::io::Result<Child> {
            let output = File::create(&log)?;
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
            // INVARIANT: nothing of it outlives this process's own ways to end.
            command.kill_on_drop(true);
            // The user's own settings of an operator or a sidecar are not meant for these.
            for (variable, _) in std::env::vars_os() {
                if variable.to_string_lossy().starts_with("BAILIWICK_") {
                    command.env_remove(variable);
                }
            }
            command.spawn()
        };
        let child = opened().with_context(|| format!("`{}` cannot be started", program.display()))?;
        self.running.push(Running { name: name.to_owned(), child, log });
        Ok(())
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When a process ends, or it takes too long.
    pub(super) async fn wait_for<F: Future<Output = bool>>(
        &mut self,
        what: &str,
        ready: impl Fn() -> F,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            if ready().await {
                return Ok(());
            }
            for running in &mut self.running {
                if let Some(status) = running.child.try_wait()? {
                    bail!("{} ended: {}", running.name, ended(status));
                }
            }
            if start.elapsed() > READY_WITHIN {
                bail!("{what} is not ready after {} s", READY_WITHIN.as_secs());
            }
            sleep(POLL).await;
        }
    }

    /// Shows the last lines of every log that has any.
    pub(super) fn show_logs(&self) {
        for running in &self.running {
            let tail = tail(&running.log);
            if !tail.is_empty() {
                Screen::progress(&format!("--- the end of the log of {}:\n{tail}", running.name));
            }
        }
    }

    /// Ends everything and waits until it is gone.
    pub(super) async fn stop(mut self) {
        for running in &mut self.running {
            // One that has ended by itself cannot be killed, which is as well.
            drop(running.child.start_kill());
        }
        for running in &mut self.running {
            drop(running.child.wait().await);
        }
    }
}

fn ended(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let kept = lines.iter().skip(lines.len().saturating_sub(TAIL));
    kept.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
