//! SPIFFE IDs, parsed strictly: what does not parse is nobody.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{NameError, Namespace, ServiceAccount, TrustDomain, TrustDomainError};

/// The longest SPIFFE ID (SPIFFE-ID specification, section 2.3).
const MAXIMUM_LENGTH: usize = 2048;
const SCHEME: &str = "spiffe://";

/// A SPIFFE ID with a non-empty path. Comparison is byte for byte; the path is case-sensitive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

/// Why a text is not a SPIFFE ID that Bailiwick believes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// Over 2048 bytes.
    #[error("a SPIFFE ID has at most 2048 bytes, this one has {length}")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// It does not start with `spiffe://` in lower case.
    #[error("`{text}` is not a SPIFFE ID: it must start with `spiffe://`")]
    Scheme {
        /// The text that was given.
        text: String,
    },
    /// The trust domain is malformed; this also refuses user names and ports.
    #[error("`{text}` is not a SPIFFE ID: {source}")]
    TrustDomain {
        /// The text that was given.
        text: String,
        /// What is wrong with the domain.
        source: TrustDomainError,
    },
    /// The path is empty, has an empty, `.` or `..` segment, or a byte outside `[a-zA-Z0-9._-]`.
    #[error(
        "`{text}` is not a SPIFFE ID: after the trust domain it needs non-empty segments of letters, digits, `.`, `-` and `_`, none of them `.` or `..`"
    )]
    Path {
        /// The text that was given.
        text: String,
    },
}

/// The namespace and service account that an identity of the form `/ns/<namespace>/sa/<service account>` names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadIdentity {
    /// The namespace.
    pub namespace: Namespace,
    /// The service account.
    pub service_account: ServiceAccount,
}

impl SpiffeId {
    /// The identity of a service account: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
    ///
    /// # Errors
    /// When the whole would be over 2048 bytes, or a name holds a byte that a SPIFFE ID must not.
    pub fn for_service_account(
        trust_domain: &TrustDomain,
        namespace: &Namespace,
        service_account: &ServiceAccount,
    ) -> Result<Self, SpiffeIdError> {
        format!("{SCHEME}{trust_domain}/ns/{namespace}/sa/{service_account}").parse()
    }

    /// The whole identity.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain that must vouch for it.
    #[must_use]
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path, starting with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(SCHEME.len() + self.trust_domain.as_str().len()..).unwrap_or_default()
    }

    /// The namespace and service account, if the path has exactly the form `/ns/<namespace>/sa/<service account>`
    /// with Kubernetes names. Only meaningful for the mesh's own trust domain: see the policy semantics.
    #[must_use]
    pub fn workload(&self) -> Option<WorkloadIdentity> {
        let (namespace, service_account) = self.path().strip_prefix("/ns/")?.split_once("/sa/")?;
        let parsed: Result<_, NameError> = namespace.parse().and_then(|namespace| {
            Ok(WorkloadIdentity { namespace, service_account: service_account.parse()? })
        });
        parsed.ok()
    }
}

fn is_segment(segment: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed)
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAXIMUM_LENGTH {
            return Err(SpiffeIdError::TooLong { length: text.len() });
        }
        let rest =
            text.strip_prefix(SCHEME).ok_or_else(|| SpiffeIdError::Scheme { text: text.to_owned() })?;
        let (domain, path) =
            rest.split_once('/').ok_or_else(|| SpiffeIdError::Path { text: text.to_owned() })?;
        let trust_domain =
            domain.parse().map_err(|source| SpiffeIdError::TrustDomain { text: text.to_owned(), source })?;
        if !path.split('/').all(is_segment) {
            return Err(SpiffeIdError::Path { text: text.to_owned() });
        }
        Ok(Self { text: Arc::from(text), trust_domain })
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.text.as_ref().to_owned()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl PartialEq for SpiffeId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SpiffeId {}

impl PartialOrd for SpiffeId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SpiffeId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for SpiffeId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(test)]
mod tests;
