//! The state folder: private, and written so that a crash or a race leaves either nothing or one whole file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
/// No file of ours is near this size; a bigger one is not ours.
const LARGEST: u64 = 64 * 1024;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be made or looked at.
    #[error("the state folder `{path}` cannot be used: {source}; give a folder that this user may write")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could read the key.
    #[error(
        "`{path}` is open to other users (mode {found:04o}); run `chmod {wanted:o} {path}` if nobody else read it, else remove it and start with a new root"
    )]
    Permissions {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        found: u32,
        /// What they should be.
        wanted: u32,
    },
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is far bigger than anything that is written there.
    #[error("`{path}` is over {LARGEST} bytes, so it is not a file of the state folder; move it away")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("`{path}` cannot be written: {source}; check free space and permissions")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the folder (0700) if it is missing, and refuses one that other users can enter.
pub(crate) fn ensure_private_folder(path: &Path) -> Result<(), StateError> {
    let failed = |source| StateError::Folder { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path).map_err(failed)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    check_mode(path, &metadata, PRIVATE_FOLDER)
}

fn check_mode(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), StateError> {
    let found = metadata.mode() & 0o777;
    if found & 0o077 == 0 {
        Ok(())
    } else {
        Err(StateError::Permissions { path: path.to_owned(), found, wanted })
    }
}

/// Reads a file that only this user may read; `None` if there is none.
pub(crate) fn read_private(path: &Path) -> Result<Option<String>, StateError> {
    let failed = |source| StateError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    check_mode(path, &metadata, PRIVATE_FILE)?;
    if metadata.len() > LARGEST {
        return Err(StateError::TooLarge { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// Creates a private file with its whole content, unless there is one already. Returns whether this call created it.
///
/// INVARIANT: of any number of racing callers exactly one creates the file, because a hard link to an existing name
/// fails; and a reader never sees half of it, because the content is on disk before the name is.
pub(crate) fn create_once(path: &Path, content: &str) -> Result<bool, StateError> {
    let failed = |source| StateError::Write { path: path.to_owned(), source };
    let temporary = write_temporary(path, content, PRIVATE_FILE).map_err(failed)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(failed)?;
    match linked {
        Ok(()) => {
            sync_folder(path).map_err(failed)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file with the given mode; a reader sees the old content or the new, never a part.
pub(crate) fn replace(path: &Path, content: &str, mode: u32) -> Result<(), StateError> {
    let failed = |source| StateError::Write { path: path.to_owned(), source };
    let temporary = write_temporary(path, content, mode).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    sync_folder(path).map_err(failed)
}

fn write_temporary(path: &Path, content: &str, mode: u32) -> io::Result<PathBuf> {
    let mut random = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no randomness from the system"))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{:016x}", u64::from_be_bytes(random)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // The write's own error is the one to report; a file that stays behind is private and unused.
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    Ok(temporary)
}

/// A new name survives a power cut only when its folder is on disk too.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
