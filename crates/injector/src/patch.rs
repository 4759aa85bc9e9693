//! JSON patch (RFC 6902), as far as injection needs it.

use serde::Serialize;
use serde_json::Value;

/// One operation of a patch.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Adds a field (or replaces it), or inserts an item before the one at the index.
    Add {
        /// The place, a JSON pointer.
        path: String,
        /// What is put there.
        value: Value,
    },
    /// Replaces what is there.
    Replace {
        /// The place, a JSON pointer.
        path: String,
        /// What is put there.
        value: Value,
    },
    /// Removes what is there.
    Remove {
        /// The place, a JSON pointer.
        path: String,
    },
}

impl Operation {
    pub(crate) fn add(path: impl Into<String>, value: Value) -> Self {
        Self::Add { path: path.into(), value }
    }

    pub(crate) fn replace(path: impl Into<String>, value: Value) -> Self {
        Self::Replace { path: path.into(), value }
    }

    pub(crate) fn remove(path: impl Into<String>) -> Self {
        Self::Remove { path: path.into() }
    }
}

/// A name as one segment of a JSON pointer (RFC 6901).
pub(crate) fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}
