//! The programs under test, as processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub(crate) const OPERATOR: &str = "bailiwick-operator";
pub(crate) const SIDECAR: &str = "bailiwick-sidecar";
pub(crate) const SERVICE: &str = "bailiwick-demo-service";

/// A running program. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

/// A program of this workspace, beside the folder of this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().and_then(Path::parent).unwrap();
    let path = folder.join(name);
    assert!(path.is_file(), "`{}` is missing: run cargo build --bins first", path.display());
    path
}

/// A command without the user's own settings of these programs.
pub(crate) fn command(name: &str) -> Command {
    command_at(&program(name))
}

/// The same of a program that lies elsewhere.
pub(crate) fn command_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("BAILIWICK_") {
            command.env_remove(variable);
        }
    }
    command.stdin(Stdio::null());
    command
}

impl Process {
    /// Starts a program; what it prints goes to the ends of `NAME.out` and `NAME.log`.
    pub(crate) fn start(program: &str, arguments: &[String], logs: &Path, name: &str) -> Self {
        let mut command = command(program);
        command.args(arguments);
        Self::run(command, logs, name)
    }

    /// Starts a command; what it prints goes to the same files.
    pub(crate) fn run(mut command: Command, logs: &Path, name: &str) -> Self {
        let (output, log) = (logs.join(format!("{name}.out")), logs.join(format!("{name}.log")));
        let append = |path: &Path| File::options().create(true).append(true).open(path).unwrap();
        let child = command
            .stdout(append(&output))
            .stderr(append(&log))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        Self { child, output, log }
    }

    /// Sends a signal, such as `TERM` or `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap();
        assert!(sent.success(), "kill -{signal} {pid}: {sent}");
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < limit, "it still runs after {limit:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it wrote to stdout so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
