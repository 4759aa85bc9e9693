//! The folders that were given, read and compiled as the operator does at its start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bailiwick_compile::{Compiled, Diagnostic, Severity, World, compile};
use bailiwick_inputs::{Reading, Sources, read_paths};

use crate::render;

/// What was read, and what it came to.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) world: World,
    pub(crate) compiled: Compiled,
    /// Every message, by file and place.
    pub(crate) messages: Vec<Diagnostic>,
    /// Documents of unrelated kinds, by kind.
    pub(crate) skipped: BTreeMap<String, usize>,
    sources: Sources,
}

impl Folder {
    /// Reads and compiles.
    pub(crate) fn read(paths: &[PathBuf]) -> Self {
        Self::of(read_paths(paths))
    }

    /// Compiles what was read.
    pub(crate) fn of(mut reading: Reading) -> Self {
        let compiled = compile(&reading.world);
        let messages = reading.messages(&compiled.diagnostics);
        Self {
            world: std::mem::take(&mut reading.world),
            compiled,
            messages,
            skipped: reading.skipped,
            sources: reading.sources,
        }
    }

    /// Errors and warnings, counted.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let errors = self.messages.iter().filter(|message| message.severity == Severity::Error).count();
        (errors, self.messages.len() - errors)
    }

    /// Every message as a code frame, with a blank line after each.
    pub(crate) fn frames(&self) -> String {
        let frames = self.messages.iter().map(|message| {
            let text = self.sources.get(&message.location.file).map(AsRef::as_ref);
            render::frame(message, text) + "\n"
        });
        frames.collect()
    }

    /// Every message for programs.
    pub(crate) fn records(&self) -> Vec<render::Record> {
        let record = |message| {
            let message: &Diagnostic = message;
            let text = self.sources.get(&message.location.file).map(AsRef::as_ref);
            render::Record::new(message, text)
        };
        self.messages.iter().map(record).collect()
    }
}
