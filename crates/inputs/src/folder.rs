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
