//! The trust domain: who vouches for an identity.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A SPIFFE trust domain name: lower-case letters, digits, `.`, `-`, `_`; at most 255 bytes
/// (SPIFFE-ID specification, section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(Arc<str>);

/// Why a text is not a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustDomainError {
    /// No text at all.
    #[error("a trust domain must not be empty")]
    Empty,
    /// More than 255 bytes.
    #[error("a trust domain has at most 255 bytes, this one has {length}")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// A byte outside the allowed set.
    #[error("`{name}` is not a trust domain: use lower-case letters, digits, `.`, `-` and `_`")]
    Character {
        /// The text that was given.
        name: String,
    },
}

impl TrustDomain {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = TrustDomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(TrustDomainError::Empty);
        }
        if text.len() > 255 {
            return Err(TrustDomainError::TooLong { length: text.len() });
        }
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        };
        if !text.bytes().all(allowed) {
            return Err(TrustDomainError::Character { name: text.to_owned() });
        }
        Ok(Self(Arc::from(text)))
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = TrustDomainError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0.as_ref().to_owned()
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
