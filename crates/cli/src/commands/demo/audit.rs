//! What the called sidecar itself wrote about a call (docs/audit.md). Every decision that is shown comes from here.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tokio::time::sleep;

/// A sidecar writes an event before a byte of the call moves, but its writer is a thread of its own.
const WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// A line of the log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Event {
    /// `authorization`, `authentication` or `dropped`.
    pub(super) event: String,
    pub(super) outcome: String,
    pub(super) verdict: Option<String>,
    pub(super) decision_id: Option<String>,
    pub(super) reasons: Vec<Reason>,
    pub(super) would_be: Option<WouldBe>,
    source: serde_json::Value,
    /// Of authentication: a word of a fixed set.
    pub(super) reason: Option<String>,
    pub(super) path: Option<String>,
}

/// A rule that decided.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reason {
    kind: String,
    namespace: String,
    name: String,
    rule: String,
}

/// What would have been decided with nothing in audit.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WouldBe {
    pub(super) verdict: String,
    pub(super) reasons: Vec<Reason>,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name.as_str(), self.namespace.as_str()) {
            ("", _) => write!(formatter, "{}", self.rule),
            (name, "") => write!(formatter, "{} {name} {}", self.kind, self.rule),
            (name, namespace) => write!(formatter, "{} {namespace}/{name} {}", self.kind, self.rule),
        }
    }
}

/// Reasons as a row shows them.
pub(super) fn rules(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Event {
    /// The proven identity of the caller of a decided call.
    pub(super) fn identity(&self) -> Option<&str> {
        self.source.get("identity").and_then(serde_json::Value::as_str)
    }

    /// True for the decision on a call that began.
    pub(super) fn is_decision(&self) -> bool {
        self.event == "authorization" && self.outcome != "cut"
    }

    /// True for a caller that was not believed.
    pub(super) fn is_rejection(&self) -> bool {
        self.event == "authentication" && self.outcome == "rejected"
    }

    /// True for a call in flight that was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.event == "authorization" && self.outcome == "cut"
    }
}

/// A sidecar's log, read from where it stood.
#[derive(Debug)]
pub(super) struct AuditLog {
    path: PathBuf,
    read: u64,
}

impl AuditLog {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, read: 0 }
    }

    /// Passes over everything that is there.
    pub(super) fn skip(&mut self) -> Result<()> {
        self.events().map(drop)
    }

    /// The first new event that fits.
    ///
    /// # Errors
    /// When none comes in time.
    pub(super) async fn next(&mut self, fits: impl Fn(&Event) -> bool) -> Result<Event> {
        let start = Instant::now();
        loop {
            if let Some(event) = self.events()?.into_iter().find(|event| fits(event)) {
                return Ok(event);
            }
            if start.elapsed() > WITHIN {
                bail!("the called sidecar wrote nothing about the call to `{}`", self.path.display());
            }
            sleep(POLL).await;
        }
    }

    /// Every whole line that is new.
    pub(super) fn events(&mut self) -> Result<Vec<Event>> {
        let failed = || format!("the audit log `{}` cannot be read", self.path.display());
        let mut file = File::open(&self.path).with_context(failed)?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.read))
            .and_then(|_| file.read_to_end(&mut bytes))
            .with_context(failed)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let text = bytes.get(..whole).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events = lines.map(|line| serde_json::from_slice(line).with_context(failed)).collect();
        self.read += u64::try_from(whole)?;
        events
    }
}
