//! The process around the data plane: audit output, threads, drain.

use std::num::NonZeroUsize;
use std::time::Duration;

use bailiwick_agent::audit::AuditOutput;
use bailiwick_runtime::config::{Collector, ConfigErrors, parse};
use serde::Deserialize;

const MOST_THREADS: usize = 256;

/// The `audit` section, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawAudit {
    output: Option<String>,
}

impl RawAudit {
    /// Where decisions are written, one JSON object a line.
    pub(super) fn output(self) -> Result<AuditOutput, ConfigErrors> {
        match self.output.as_deref() {
            None | Some("stdout") => Ok(AuditOutput::Stdout),
            // A bare word is more often a misspelt `stdout` than a file's name.
            Some(path) if path.contains('/') => Ok(AuditOutput::File(path.into())),
            Some(other) => {
                let message =
                    format_args!("`{other}` is no output: use `stdout` or a file's path with a `/`");
                Err(ConfigErrors::one("output", message))
            }
        }
    }
}

/// The `runtime` section, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawRuntime {
    /// Read by the parent's environment values too.
    pub(super) threads: Option<String>,
    multi_thread: Option<bool>,
}

/// How the data plane runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuntimeConfig {
    /// Data-plane threads at most; never more than allowed processors.
    threads: NonZeroUsize,
    /// One runtime that moves work between its threads, instead of one runtime a thread.
    pub(crate) multi_thread: bool,
}

impl RuntimeConfig {
    /// Data-plane threads: as many as the configuration says and the processors allow.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        std::thread::available_parallelism().map_or(NonZeroUsize::MIN, |allowed| allowed.min(self.threads))
    }
}

impl TryFrom<RawRuntime> for RuntimeConfig {
    type Error = ConfigErrors;

    fn try_from(raw: RawRuntime) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let threads = collector.parsed("threads", raw.threads.as_deref(), parse::whole_number, 1_usize);
        let threads = collector.within("threads", threads, 1..=MOST_THREADS);
        let multi_thread = raw.multi_thread.unwrap_or(false);
        collector.finish(|| Some(Self { threads: NonZeroUsize::new(threads?)?, multi_thread }))
    }
}

/// The `drain` section, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawDrain {
    grace: Option<String>,
    deadline: Option<String>,
}

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DrainConfig {
    /// How long connections are still accepted after the signal: callers learn of it late.
    pub(crate) grace: Duration,
    /// How long calls in flight may take after the signal.
    pub(crate) deadline: Duration,
}

impl TryFrom<RawDrain> for DrainConfig {
    type Error = ConfigErrors;

    fn try_from(raw: RawDrain) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let usual = Self { grace: Duration::from_secs(1), deadline: Duration::from_secs(30) };
        let deadline = collector.parsed("deadline", raw.deadline.as_deref(), parse::duration, usual.deadline);
        // A short deadline alone is no mistake: the usual grace bends to it.
        let usual_grace = usual.grace.min(deadline.unwrap_or(usual.deadline));
        let grace = collector.parsed("grace", raw.grace.as_deref(), parse::duration, usual_grace);
        let config = grace.zip(deadline).map(|(grace, deadline)| Self { grace, deadline });
        if config.is_some_and(|config| config.grace > config.deadline) {
            collector.mistake("grace", "is longer than `deadline`");
        }
        collector.finish(|| config)
    }
}
