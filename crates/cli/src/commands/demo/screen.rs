//! What people see: rows as they happen, a little color on a terminal.

use std::io::{self, IsTerminal as _};

use super::calls::Row;
use crate::output::{complain, print};

/// Widths of all columns but the last.
const WIDTHS: [usize; 5] = [15, 13, 28, 18, 16];
const INDENT: &str = "    ";

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Where lines go: to standard output, or to standard error where that is kept for one JSON object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    to_stderr: bool,
    color: bool,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        // https://no-color.org
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { to_stderr: json, color: terminal && !unwanted }
    }

    /// One line. Nobody there to read it is no reason to end: the exit code still counts.
    pub(super) fn line(&self, text: &str) {
        if self.to_stderr {
            complain(&format!("{text}\n"));
        } else {
            drop(print(&format!("{text}\n")));
        }
    }

    /// A line that stands for a part.
    pub(super) fn title(&self, text: &str) {
        self.line("");
        self.line(&self.painted(BOLD, text));
    }

    /// What goes on, on standard error, so that it is never mistaken for the result.
    pub(super) fn progress(text: &str) {
        complain(&format!("{text}\n"));
    }

    /// The names of the columns.
    pub(super) fn header(&self) {
        let names = ["from", "to", "call", "status", "decision"].map(str::to_owned);
        self.line(&self.painted(BOLD, &format!("{}rule", padded(&names).concat())));
    }

    pub(super) fn row(&self, row: &Row) {
        let color = match row.decision.as_str() {
            "allow" => GREEN,
            "deny" => RED,
            _ => YELLOW,
        };
        let [from, to, call, status, decision] = padded(&row.columns());
        let decision = self.painted(color, &decision);
        self.line(&format!("{from}{to}{call}{status}{decision}{}", row.rule));
    }

    /// What is to be known of the row above.
    pub(super) fn note(&self, word: &str, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let word = if index == 0 { format!("{word:<9}") } else { " ".repeat(9) };
            self.line(&format!("{INDENT}{}{line}", self.painted(DIM, &word)));
        }
    }

    /// Something that is not as it should be.
    pub(super) fn wrong(&self, text: &str) {
        self.line(&format!("{INDENT}{} {text}", self.painted(RED, "UNEXPECTED")));
    }

    /// A unified diff.
    pub(super) fn diff(&self, text: &str) {
        for line in text.lines() {
            let color = match line.as_bytes().first() {
                Some(b'+') => GREEN,
                Some(b'-') => RED,
                Some(_) | None => DIM,
            };
            self.line(&format!("{INDENT}{}", self.painted(color, line)));
        }
    }

    fn painted(&self, color: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{color}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Fills each column to its width; one that is too long keeps a space.
fn padded(columns: &[String; 5]) -> [String; 5] {
    let mut widths = WIDTHS.into_iter();
    columns.clone().map(|text| {
        let width = widths.next().unwrap_or_default();
        format!("{text:<width$} ", width = width.saturating_sub(1))
    })
}
