//! Why bytes are refused.

use std::fmt;

use crate::Digest;

/// Why a message is refused. The last good state stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than this build reads.
    #[error("{what} has {length} bytes, more than the {limit} that are read")]
    TooLong {
        /// What was read.
        what: &'static str,
        /// Bytes found.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not a protocol buffer of the expected shape.
    #[error("{what} is not a message of this protocol: {source}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        source: prost::DecodeError,
    },
    /// It has a field that this build does not know, or the same content has another, canonical encoding.
    #[error(
        "{what} is not in canonical form: it has an unknown field, or values that are unsorted, repeated or not normalised"
    )]
    NotCanonical {
        /// What was read.
        what: &'static str,
    },
    /// The sender needs a newer reader.
    #[error(
        "the snapshot needs schema level {found}, this sidecar understands up to {supported}: upgrade the sidecar"
    )]
    SchemaLevel {
        /// The level found.
        found: u32,
        /// The highest level that is understood.
        supported: u32,
    },
    /// The bytes of a chunk are not those that its digest names.
    #[error("the chunk's digest is {found}, expected {expected}")]
    Digest {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A chunk that the header names is not there.
    #[error("chunk {digest} is missing")]
    MissingChunk {
        /// Its digest.
        digest: Digest,
    },
    /// A field's value is refused.
    #[error("{what}: {field}")]
    Field {
        /// What was read.
        what: &'static str,
        /// Which field, and why.
        field: FieldError,
    },
}

/// A field and why its value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    path: String,
    problem: FieldProblem,
}

/// Why a field's value is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// Nothing is there, and nothing never means "all".
    #[error("must be set")]
    Missing,
    /// Something is there that must not be.
    #[error("must not be set here")]
    Unexpected,
    /// A value of an enumeration that this build does not know.
    #[error("`{value}` is not a known value")]
    UnknownValue {
        /// The number found.
        value: i32,
    },
    /// Its parser refuses it.
    #[error("{message}")]
    Invalid {
        /// What the parser says.
        message: String,
    },
}

impl FieldError {
    pub(crate) fn new(path: impl fmt::Display, problem: FieldProblem) -> Self {
        Self { path: path.to_string(), problem }
    }

    pub(crate) fn missing(path: impl fmt::Display) -> Self {
        Self::new(path, FieldProblem::Missing)
    }

    pub(crate) fn invalid(path: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(path, FieldProblem::Invalid { message: error.to_string() })
    }

    pub(crate) fn unknown(path: impl fmt::Display, value: i32) -> Self {
        let problem = if value == 0 { FieldProblem::Missing } else { FieldProblem::UnknownValue { value } };
        Self::new(path, problem)
    }

    pub(crate) fn within(mut self, parent: impl fmt::Display) -> Self {
        let joint = if self.path.is_empty() { "" } else { "." };
        self.path = format!("{parent}{joint}{}", self.path);
        self
    }

    pub(crate) const fn of(self, what: &'static str) -> DecodeError {
        DecodeError::Field { what, field: self }
    }

    /// The path of the field, such as `rules[2].subjects[0].ip_block.cidr`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Why its value is refused.
    #[must_use]
    pub const fn problem(&self) -> &FieldProblem {
        &self.problem
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.problem)
    }
}

impl std::error::Error for FieldError {}

pub(crate) type FieldResult<T> = Result<T, FieldError>;

/// Parses a text with its type's own parser.
pub(crate) fn parse<T>(path: impl fmt::Display, text: &str) -> FieldResult<T>
where
    T: std::str::FromStr,
    T::Err: fmt::Display,
{
    text.parse().map_err(|error| FieldError::invalid(path, error))
}

/// Converts every item of a list; the error names the item.
pub(crate) fn each<Wire, T>(
    path: &str,
    items: &[Wire],
    convert: impl Fn(&Wire) -> FieldResult<T>,
) -> FieldResult<Vec<T>> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| convert(item).map_err(|error| error.within(format!("{path}[{index}]"))))
        .collect()
}

/// A message field that must be there.
pub(crate) fn required<'a, T>(path: &str, field: Option<&'a T>) -> FieldResult<&'a T> {
    field.ok_or_else(|| FieldError::missing(path))
}

/// FAIL-CLOSED: an empty list of alternatives never means "all", and a Deny with one would match nothing.
pub(crate) fn not_empty<T>(path: &str, items: Vec<T>) -> FieldResult<Vec<T>> {
    if items.is_empty() { Err(FieldError::missing(path)) } else { Ok(items) }
}
