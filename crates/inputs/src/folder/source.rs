//! A folder that is read again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bailiwick_compile::{Diagnostic, Severity};

use super::list::{FileBytes, Listing, list};
use super::{Reading, Sources};
use crate::api_objects::ApiObject;
use crate::assemble::assemble;
use crate::codes;
use crate::contents::{Contents, Named, problem};

/// Folders and files that are watched by polling.
///
/// At start, a document that cannot be parsed or identified denies every call. While running, its file's last good
/// content stays in effect (of a new file: nothing), and so does everything of a folder that can no longer be read.
#[derive(Debug)]
pub struct FolderSource {
    paths: Vec<PathBuf>,
    last: Option<Listing>,
    /// Folders that could not be read at start and ever since: there is no last good content that could stay.
    broken_since_start: BTreeSet<String>,
    files: BTreeMap<Arc<str>, FileState>,
}

/// What a file says, now and in effect.
#[derive(Debug)]
struct FileState {
    bytes: FileBytes,
    /// What takes effect.
    effective: Contents,
    /// The bytes of the last content of which every document could be read; `None` if the file was broken at start
    /// and ever since.
    good: Option<Arc<[u8]>>,
    /// Set while the last good content is in effect: what is wrong with the present one.
    kept: Option<Vec<Diagnostic>>,
}

impl FolderSource {
    /// A source that has read nothing yet.
    #[must_use]
    pub const fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, last: None, broken_since_start: BTreeSet::new(), files: BTreeMap::new() }
    }

    /// Reads everything; `None` if nothing has changed since the last time. The first time always answers.
    pub fn refresh(&mut self) -> Option<Reading> {
        let listing = list(&self.paths);
        if self.last.as_ref() == Some(&listing) {
            return None;
        }
        let running = self.last.is_some();
        self.files.retain(|name, _| listing.files.contains_key(name) || is_below(&listing, name));
        for (name, bytes) in &listing.files {
            let previous = self.files.remove(name);
            let was_readable =
                running && !self.broken_since_start.iter().any(|prefix| name.starts_with(prefix.as_str()));
            let state = match previous {
                Some(state) if &state.bytes == bytes => state,
                previous => FileState::read(name, bytes, previous.as_ref(), was_readable),
            };
            self.files.insert(Arc::clone(name), state);
        }
        if running {
            self.broken_since_start.retain(|prefix| listing.broken.contains_key(prefix));
        } else {
            self.broken_since_start = listing.broken.keys().cloned().collect();
        }
        let reading = self.reading(&listing);
        self.last = Some(listing);
        Some(reading)
    }

    /// Reads everything as at start, on top of objects of the API server.
    pub(super) fn read_over(mut self, live: &[ApiObject]) -> Reading {
        self.refresh();
        let broken = self.last.as_ref().map(|listing| self.broken_folders(listing)).unwrap_or_default();
        let files: Vec<&Contents> =
            self.files.values().map(|state| &state.effective).chain(&broken).collect();
        let replaced: BTreeSet<Named<'_>> = files.iter().flat_map(|contents| contents.names()).collect();
        let stays = |contents: &&Contents| !contents.names().any(|name| replaced.contains(&name));
        let live = live.iter().map(ApiObject::contents).filter(stays);
        let assembled = assemble(live.chain(files.iter().copied()), false);
        Reading {
            world: assembled.world,
            diagnostics: assembled.diagnostics,
            skipped: assembled.skipped,
            sources: self.sources(),
        }
    }

    fn reading(&self, listing: &Listing) -> Reading {
        let broken = self.broken_folders(listing);
        let contents = self.files.values().map(|state| &state.effective).chain(&broken);
        let assembled = assemble(contents, true);
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for (name, state) in &self.files {
            let Some(problems) = &state.kept else { continue };
            diagnostics.extend(problems.iter().cloned());
            diagnostics.push(kept(
                name,
                "the file",
                state.good.as_ref().is_some_and(|good| !good.is_empty()),
            ));
        }
        diagnostics.extend(assembled.diagnostics);
        Reading { world: assembled.world, diagnostics, skipped: assembled.skipped, sources: self.sources() }
    }

    /// At start a folder that cannot be read denies every call; later its files stay.
    fn broken_folders(&self, listing: &Listing) -> Vec<Contents> {
        let contents = |(prefix, why): (&String, &String)| {
            let name: Arc<str> = Arc::from(if prefix.is_empty() { "." } else { prefix.as_str() });
            let problem = problem(&name, None, codes::UNREADABLE_FILE, why.clone(), "mend or remove it");
            if self.broken_since_start.contains(prefix) {
                return Contents::unreadable(problem);
            }
            let diagnostics = vec![problem, kept(&name, "the folder", true)];
            Contents { diagnostics, ..Contents::default() }
        };
        listing.broken.iter().map(contents).collect()
    }

    fn sources(&self) -> Sources {
        let mut sources = Sources::new();
        for (name, state) in &self.files {
            insert(&mut sources, name, state.bytes.as_ref().ok());
            if state.kept.is_some() {
                insert(&mut sources, &last_good_name(name), state.good.as_ref());
            }
        }
        sources
    }
}

fn insert(sources: &mut Sources, name: &Arc<str>, bytes: Option<&Arc<[u8]>>) {
    if let Some(text) = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()) {
        sources.insert(Arc::clone(name), Arc::from(text));
    }
}

/// True if a file lies in a folder that cannot be read now: it is not gone, it is unknown.
fn is_below(listing: &Listing, name: &str) -> bool {
    listing.broken.keys().any(|prefix| name.starts_with(prefix.as_str()))
}

fn last_good_name(name: &str) -> Arc<str> {
    Arc::from(format!("{name} (last good)"))
}

fn kept(name: &Arc<str>, what: &str, had_content: bool) -> Diagnostic {
    let message = if had_content {
        format!("{what} `{name}` cannot be read; its last good content stays in effect")
    } else {
        format!("{what} `{name}` cannot be read; nothing of it is in effect")
    };
    let diagnostic =
        problem(name, None, codes::LAST_GOOD, message, "mend it; it takes effect when all of it can be read");
    Diagnostic { severity: Severity::Warning, ..diagnostic }
}

impl FileState {
    fn read(name: &Arc<str>, bytes: &FileBytes, previous: Option<&Self>, was_readable: bool) -> Self {
        let contents = match bytes {
            Ok(bytes) => Contents::of_bytes(name, bytes),
            Err(why) => {
                let message = format!("`{name}` cannot be read: {why}");
                let help = "mend the permissions or remove it";
                Contents::unreadable(problem(name, None, codes::UNREADABLE_FILE, message, help))
            }
        };
        if contents.unreadable.is_empty() {
            let good = bytes.as_ref().ok().map(Arc::clone);
            return Self { bytes: bytes.clone(), effective: contents, good, kept: None };
        }
        let good = match previous {
            Some(previous) => previous.good.clone(),
            // A new file was nothing before.
            None if was_readable => Some(Arc::from([])),
            None => None,
        };
        let Some(good) = good else {
            return Self { bytes: bytes.clone(), effective: contents, good: None, kept: None };
        };
        let effective = Contents::of_bytes(&last_good_name(name), &good);
        Self { bytes: bytes.clone(), effective, good: Some(good), kept: Some(contents.unreadable) }
    }
}
