//! For people, or for programs.

use std::io::{self, Write as _};

use serde::Serialize;

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// For people, only what is not as it should be (`check`).
    Short,
}

impl Output {
    /// True for programs.
    pub(crate) const fn is_json(self) -> bool {
        matches!(self, Self::Json)
    }
}

/// Prints a text as it is.
///
/// # Errors
/// When nobody can read it; `app` takes a closed pipe for an end, not a failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints one JSON object.
///
/// # Errors
/// As [`print()`], and when the value has no JSON form.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// Prints to standard error. Nobody there to read it is no reason to end: the exit code still counts.
pub(crate) fn complain(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
