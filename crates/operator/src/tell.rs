//! Messages about the world in the log: each once when it appears, and once when it is gone.

use std::collections::BTreeSet;

use bailiwick_compile::{Diagnostic, Severity};

use crate::pipeline::one_line;

/// Remembers what was said.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    told: BTreeSet<String>,
}

impl Teller {
    /// Says what is new and what is gone. `place` is where a message's object stands.
    pub(crate) fn tell(&mut self, diagnostics: &[Diagnostic], place: impl Fn(&Diagnostic) -> String) {
        let mut now = BTreeSet::new();
        for diagnostic in diagnostics {
            let line = format!("{} ({})", one_line(diagnostic), place(diagnostic));
            if !self.told.contains(&line) && !now.contains(&line) {
                let help = diagnostic.help.as_deref().unwrap_or_default();
                match diagnostic.severity {
                    Severity::Error => tracing::error!(help, "{line}"),
                    Severity::Warning => tracing::warn!(help, "{line}"),
                }
            }
            now.insert(line);
        }
        for gone in self.told.difference(&now) {
            tracing::info!("no more: {gone}");
        }
        self.told = now;
    }
}
