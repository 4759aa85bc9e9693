//! Folders of YAML: what the operator watches without a cluster, and what the CLI reads.

mod list;
mod source;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bailiwick_compile::{Diagnostic, World};

pub use source::FolderSource;

use crate::api_objects::ApiObject;
use crate::assemble::assemble;
use crate::contents::Contents;

/// The texts of the files that were read, by the name that locations give them.
pub type Sources = BTreeMap<Arc<str>, Arc<str>>;

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The world: objects, workloads, services, namespaces, and what could not be read.
    pub world: World,
    /// Every message, by file and place; those of invalid and unreadable parts of the world are among them.
    pub diagnostics: Vec<Diagnostic>,
    /// Documents of unrelated kinds, counted by kind.
    pub skipped: BTreeMap<String, usize>,
    /// The texts, for code frames.
    pub sources: Sources,
}

impl Reading {
    /// The messages of the reading and of the compile of its world, each once, by file and place.
    #[must_use]
    pub fn messages(&self, compiled: &[Diagnostic]) -> Vec<Diagnostic> {
        let mut all: Vec<Diagnostic> = self.diagnostics.iter().chain(compiled).cloned().collect();
        all.sort_by(|left, right| order(left).cmp(&order(right)));
        all.dedup();
        all
    }
}

fn order(diagnostic: &Diagnostic) -> (&str, Option<(usize, usize)>, u16, &str, &str) {
    let location = &diagnostic.location;
    (&location.file, location.span, diagnostic.code.0, diagnostic.field.as_str(), &diagnostic.message)
}

/// Reads one folder, or one file, once.
#[derive(Debug)]
pub struct Folder;

impl Folder {
    /// Reads a folder as the operator does at start.
    #[must_use]
    pub fn read(path: &Path) -> Reading {
        read_paths(&[path.to_path_buf()])
    }
}

/// Reads folders and files as the operator does at start: what cannot be read is in [`World::unreadable`], and denies
/// every call. The files of a single folder are named relative to it, those of several paths with the path.
#[must_use]
pub fn read_paths(paths: &[PathBuf]) -> Reading {
    FolderSource::new(paths.to_vec()).refresh().unwrap_or_default()
}

/// Reads folders and files on top of objects of the API server: an object in a file replaces the one of the same kind,
/// namespace and name, and a workload the one of the same namespace and name. Namespaces are enrolled by their labels.
/// Without paths: the objects alone.
#[must_use]
pub fn read_paths_over(live: &[ApiObject], paths: Vec<PathBuf>) -> Reading {
    FolderSource::new(paths).read_over(live)
}

/// Reads the bytes of one file that is no file (standard input, a fuzzer's), as the operator does at start.
#[must_use]
pub fn read_bytes(name: &str, bytes: &[u8]) -> Reading {
    let name: Arc<str> = Arc::from(name);
    let assembled = assemble([&Contents::of_bytes(&name, bytes)], true);
    let sources = std::str::from_utf8(bytes).map(|text| (name, Arc::from(text))).into_iter().collect();
    let (world, diagnostics, skipped) = (assembled.world, assembled.diagnostics, assembled.skipped);
    Reading { world, diagnostics, skipped, sources }
}
