//! Loading configuration: one YAML file, few environment values, and every mistake told at once.
//!
//! ```text
//!   file --read_file--> Raw (the caller's serde type, `deny_unknown_fields`)
//!   environment --Overrides--> changes Raw
//!   Raw --TryFrom, with a Collector--> the module's Config | ConfigErrors
//! ```
//!
//! Leaves of a raw type are `Option<String>`, read with [`parse`]: YAML gives a bare `4` as text too, and a wrong
//! one is then told with its field and together with all others, while decoding stops at the first mistake.
//! Each module owns its `Config` and its `TryFrom<Raw…>`; a parent collects its sections' mistakes with
//! [`Collector::section`], which puts the section's name before each field.

mod collect;
mod overrides;
pub mod parse;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use thiserror::Error;

pub use self::{
    collect::{Collector, ConfigError, ConfigErrors},
    overrides::Overrides,
};

/// The largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Why a configuration file could not be read into its raw form.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be opened or read, or is not UTF-8.
    #[error("the configuration file `{path}` cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any configuration is.
    #[error("the configuration file `{path}` is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The text is not YAML, or not of the expected form: a field unknown, missing, given twice or of another type.
    #[error("{place}: {message}")]
    Decode {
        /// `file:line:column`, as editors understand it; the file alone where the place is not known.
        place: String,
        /// What is wrong there.
        message: String,
    },
}

/// Reads one YAML document from a file. An unknown field is an error if the type says `deny_unknown_fields`, which
/// every raw configuration must; a field given twice, a second document and an empty file always are.
///
/// # Errors
/// [`LoadError`], with line and column where there is one.
pub fn read_file<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(read)?;
    // One byte more than allowed tells "too large" from "just fits".
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(read)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= MAX_FILE_BYTES) {
        read_str(&text, &path.display().to_string())
    } else {
        Err(LoadError::TooLarge { path: path.to_owned() })
    }
}

/// As [`read_file`], from text that is at hand; `name` stands for the file in messages.
///
/// # Errors
/// [`LoadError::Decode`].
pub fn read_str<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, LoadError> {
    if is_blank(text) {
        return Err(LoadError::Decode { place: name.to_owned(), message: "the file is empty".to_owned() });
    }
    serde_saphyr::from_str(text).map_err(|error| decode_error(&error, name))
}

/// True if the text has comments and blank lines at most: all defaults is what an unmounted or truncated file would
/// otherwise mean.
fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

fn decode_error(error: &serde_saphyr::Error, name: &str) -> LoadError {
    // Without the snippet: lines around a mistake are not ours to print into a log.
    // The formatter for users: it gives no advice about the library's own options.
    let message = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let Some(location) = error.location() else {
        return LoadError::Decode { place: name.to_owned(), message };
    };
    let (line, column) = (location.line(), location.column());
    // The library tells the place too, after the message; once, in front, is enough.
    let told = format!(" at line {line}, column {column}");
    let message = message.replace(&told, "");
    LoadError::Decode { place: format!("{name}:{line}:{column}"), message }
}

#[cfg(test)]
mod tests;
