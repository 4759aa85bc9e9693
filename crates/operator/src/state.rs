//! The state folder: who this control plane is, across restarts.
//!
//! | file | holds |
//! |---|---|
//! | `lock` | nothing; held by the one operator that uses the folder |
//! | `root.pem` | the root and its key (crate `ca`) |
//! | `epoch` | the epoch, and the digest of the root that it belongs to |
//! | `mark` | the highest mark that was ever given to a snapshot |
//! | `bundle.pem`, `tokens/` | what workloads need for their first contact |

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bailiwick_wire::{Digest, Position};

use crate::files::{self, Durability};

/// The name of the folder among the sources of a snapshot's marks.
const MARK_SOURCE: &str = "folder";
/// No file of ours is near this size.
const LARGEST: u64 = 4096;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateFolderError {
    #[error("the state folder `{path}` cannot be used: {source}; give a folder that this user may write")]
    Folder { path: PathBuf, source: io::Error },
    #[error(
        "the state folder `{path}` is open to other users (mode {found:04o}); run `chmod 700 {path}` if nobody else read it, else remove it and start with a new root"
    )]
    Permissions { path: PathBuf, found: u32 },
    #[error(
        "the state folder `{path}` belongs to user {owner}, and this process runs as user {user}; run as its owner, or give a folder of its own"
    )]
    Owner { path: PathBuf, owner: u32, user: u32 },
    #[error("the state folder `{path}` is in use by another operator; stop it, or give a folder of its own")]
    InUse { path: PathBuf },
    #[error("`{path}` cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "`{path}` does not hold what it should; remove it to begin a new epoch (the root stays the same)"
    )]
    Content { path: PathBuf },
    #[error("`{path}` cannot be written: {source}; check free space and permissions")]
    Write { path: PathBuf, source: io::Error },
}

/// The state folder, locked for this process until it ends (however it ends).
#[derive(Debug)]
pub(crate) struct StateFolder {
    path: PathBuf,
    _lock: File,
}

/// Makes positions that only move forward.
#[derive(Debug)]
pub(crate) struct FolderMarks {
    file: PathBuf,
    epoch: u64,
    mark: u64,
}

impl StateFolder {
    /// Makes the folder (0700) if it is missing, refuses one that others can enter, and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, StateFolderError> {
        private_folder(path)?;
        let file = path.join("lock");
        let failed = |source| StateFolderError::Write { path: file.clone(), source };
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(files::PRIVATE)
            .open(&file)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateFolderError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bundle_file(&self) -> PathBuf {
        self.path.join("bundle.pem")
    }

    pub(crate) fn tokens_folder(&self) -> PathBuf {
        self.path.join("tokens")
    }

    /// Takes up the marks where they stood. A new root, or the loss of the mark, begins a new epoch.
    ///
    /// INVARIANT: (epoch, mark) never goes back as long as the folder is not replaced by an old copy.
    pub(crate) fn marks(&self, root: &Digest, now: SystemTime) -> Result<FolderMarks, StateFolderError> {
        let (epoch_file, mark_file) = (self.path.join("epoch"), self.path.join("mark"));
        let stored = match read(&epoch_file)? {
            Some(text) => {
                let path = epoch_file.clone();
                Some(parse_epoch(&text).ok_or(StateFolderError::Content { path })?)
            }
            None => None,
        };
        let mark = match read(&mark_file)? {
            Some(text) => {
                Some(text.trim().parse().map_err(|_| StateFolderError::Content { path: mark_file.clone() })?)
            }
            None => None,
        };
        if let (Some((epoch, of)), Some(mark)) = (&stored, mark)
            && *of == root.to_string()
        {
            return Ok(FolderMarks { file: mark_file, epoch: *epoch, mark });
        }
        let after_last = stored.map_or(0, |(epoch, _)| epoch.saturating_add(1));
        let epoch = unix_millis(now).max(after_last);
        write(&epoch_file, &format!("{epoch} {root}\n"))?;
        let mut marks = FolderMarks { file: mark_file, epoch, mark: mark.unwrap_or(0) };
        marks.store(marks.mark)?;
        Ok(marks)
    }
}

impl FolderMarks {
    /// The next position, on disk before it is returned.
    ///
    /// INVARIANT: a mark is on disk before any sidecar sees it, so a restarted operator continues above it.
    pub(crate) fn advance(&mut self) -> Result<Position, StateFolderError> {
        self.store(self.mark.saturating_add(1))?;
        let marks = [(MARK_SOURCE.to_owned(), self.mark)].into();
        Ok(Position { epoch: self.epoch, marks, version: self.mark })
    }

    fn store(&mut self, mark: u64) -> Result<(), StateFolderError> {
        write(&self.file, &format!("{mark}\n"))?;
        self.mark = mark;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Milliseconds since the Unix epoch; 0 for times before it.
pub(crate) fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Makes a folder (0700) if it is missing, and refuses one that belongs to another user or that others can enter.
pub(crate) fn private_folder(path: &Path) -> Result<(), StateFolderError> {
    let failed = |source| StateFolderError::Folder { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    // FAIL-CLOSED: whoever owns the folder can open it, and replace what is in it, at any time.
    if owner != user {
        return Err(StateFolderError::Owner { path: path.to_owned(), owner, user });
    }
    let found = metadata.mode() & 0o777;
    if found & 0o077 == 0 {
        Ok(())
    } else {
        Err(StateFolderError::Permissions { path: path.to_owned(), found })
    }
}

fn parse_epoch(text: &str) -> Option<(u64, String)> {
    let (epoch, root) = text.trim().split_once(' ')?;
    Some((epoch.parse().ok()?, root.to_owned()))
}

fn read(path: &Path) -> Result<Option<String>, StateFolderError> {
    let failed = |source| StateFolderError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

fn write(path: &Path, text: &str) -> Result<(), StateFolderError> {
    files::replace(path, text.as_bytes(), files::PRIVATE, Durability::Synced)
        .map_err(|source| StateFolderError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
