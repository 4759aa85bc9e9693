//! Which files a folder holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::document::MAXIMUM_FILE;

/// The most entries that are looked at and the deepest nesting: a link to `/` must end.
const MAXIMUM_ENTRIES: usize = 50_000;
const MAXIMUM_DEPTH: usize = 32;

/// The bytes of a file, or why there are none.
pub(super) type FileBytes = Result<Arc<[u8]>, String>;

/// What lies under the given paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// The files by name.
    pub(super) files: BTreeMap<Arc<str>, FileBytes>,
    /// Folders (by the beginning of their files' names) that could not be read, and why.
    pub(super) broken: BTreeMap<String, String>,
}

/// Lists and reads everything under some paths.
pub(super) fn list(paths: &[PathBuf]) -> Listing {
    let mut walk = Walk::default();
    // One folder: names relative to it. Otherwise two folders could have a file of the same name.
    let alone = paths.len() == 1;
    for path in paths {
        let shown = path.to_string_lossy().into_owned();
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                let prefix = if alone { String::new() } else { format!("{}/", shown.trim_end_matches('/')) };
                walk.folder(path, &prefix, 0);
            }
            Ok(_) => walk.file(path, &shown),
            Err(error) => {
                let prefix = if alone { String::new() } else { shown.clone() };
                walk.out.broken.insert(prefix, format!("`{shown}` cannot be read: {}", reason(&error)));
            }
        }
    }
    walk.out
}

#[derive(Default)]
struct Walk {
    out: Listing,
    /// Real paths that were read: a link leads to nothing that was read already, and never in a circle.
    seen: BTreeSet<PathBuf>,
    entries: usize,
}

impl Walk {
    fn folder(&mut self, path: &Path, prefix: &str, depth: usize) {
        match fs::canonicalize(path) {
            Ok(real) => {
                if !self.seen.insert(real) {
                    return;
                }
            }
            Err(error) => return self.break_folder(prefix, path, &reason(&error)),
        }
        if depth >= MAXIMUM_DEPTH {
            return self.break_folder(prefix, path, "folders are nested too deeply");
        }
        let names = match names(path) {
            Ok(names) => names,
            Err(error) => return self.break_folder(prefix, path, &reason(&error)),
        };
        for name in names {
            self.entries += 1;
            if self.entries > MAXIMUM_ENTRIES {
                return self.break_folder(prefix, path, "there are too many entries");
            }
            // `..data` and `..2026_…` of a mounted ConfigMap are hidden; the links beside them lead into them.
            if name.starts_with('.') {
                continue;
            }
            self.entry(&path.join(&name), &format!("{prefix}{name}"), depth);
        }
    }

    fn entry(&mut self, path: &Path, shown: &str, depth: usize) {
        let is_document = [".yaml", ".yml", ".json"].iter().any(|ending| shown.ends_with(ending));
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => self.folder(path, &format!("{shown}/"), depth + 1),
            Ok(_) if is_document => self.file(path, shown),
            Ok(_) => {}
            // A link to nothing: with another ending it could still be a folder of policies.
            Err(error) => self.break_folder(shown, path, &reason(&error)),
        }
    }

    fn file(&mut self, path: &Path, shown: &str) {
        let seen = match fs::canonicalize(path) {
            Ok(real) => !self.seen.insert(real),
            Err(_) => false,
        };
        if !seen {
            self.out.files.insert(Arc::from(shown), read(path));
        }
    }

    fn break_folder(&mut self, prefix: &str, path: &Path, why: &str) {
        let message = format!("`{}` cannot be read: {why}", path.to_string_lossy());
        self.out.broken.insert(prefix.to_owned(), message);
    }
}

fn names(path: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> FileBytes {
    // Before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(|error| reason(&error))?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = fs::File::open(path).map_err(|error| reason(&error))?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAXIMUM_FILE).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    Ok(bytes.into())
}

/// The kind of the error: its text has a number of the operating system.
fn reason(error: &std::io::Error) -> String {
    error.kind().to_string()
}
