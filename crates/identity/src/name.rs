//! Kubernetes names that end up in an identity or select a workload.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a Kubernetes name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a DNS label (RFC 1123): namespaces.
    #[error(
        "`{name}` is not a namespace name: use at most 63 lower-case letters, digits and `-`, starting and ending with a letter or digit"
    )]
    Label {
        /// The text that was given.
        name: String,
    },
    /// Not a DNS subdomain (RFC 1123): service accounts and workloads.
    #[error(
        "`{name}` is not an object name: use at most 253 lower-case letters, digits, `-` and `.`, each part starting and ending with a letter or digit"
    )]
    Subdomain {
        /// The text that was given.
        name: String,
    },
}

fn is_label(text: &str) -> bool {
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    text.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_subdomain_part)
}

/// A part of a subdomain may be longer than 63 bytes: the API server checks only the whole (`IsDNS1123Subdomain`).
fn is_subdomain_part(text: &str) -> bool {
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

macro_rules! name_type {
    ($(#[$meta:meta])* $name:ident, $check:ident, $variant:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if $check(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(NameError::$variant { name: text.to_owned() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// A Kubernetes namespace (RFC 1123 label).
    Namespace, is_label, Label
);
name_type!(
    /// A Kubernetes service account name (RFC 1123 subdomain).
    ServiceAccount, is_subdomain, Subdomain
);
name_type!(
    /// The name of a workload: of the Deployment, StatefulSet, DaemonSet, Job, CronJob or bare Pod that runs it.
    WorkloadName, is_subdomain, Subdomain
);

#[cfg(test)]
mod tests;
