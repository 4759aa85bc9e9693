//! What a workload believes, by port: the authentication half of its configuration.

use std::collections::BTreeMap;

use crate::{Port, TrustDomain};

/// What a port expects of a caller's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MtlsMode {
    /// No mesh TLS; every caller is unproven, and policy still decides.
    Disabled,
    /// Mesh TLS where the caller speaks it; plaintext is an unproven subject.
    Permissive,
    /// Mesh TLS only.
    Strict,
}

impl MtlsMode {
    /// The word used in objects, events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "Disabled",
            Self::Permissive => "Permissive",
            Self::Strict => "Strict",
        }
    }
}

/// What one port believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortTrust {
    /// How connections must come.
    pub mode: MtlsMode,
    /// The trust domains whose certificates are accepted; an empty list accepts none.
    pub trust_domains: Vec<TrustDomain>,
    /// True if a missing credential is a reported would-be 401 (namespace label `bailiwick.dev/authentication: audit`).
    pub audit: bool,
    /// Set when an invalid Authentication selects the port: every call is answered 503 until it is mended.
    pub invalid: Option<InvalidAuthentication>,
}

/// The invalid Authentication object that makes a port answer 503.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidAuthentication {
    /// Its namespace and name, `namespace/name`.
    pub object: String,
    /// What is wrong with it, in a sentence.
    pub reason: String,
}

/// What a workload believes: a default for every port, and the ports that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustConfig {
    /// Ports without an entry of their own.
    pub default: PortTrust,
    /// Ports that differ.
    pub ports: BTreeMap<Port, PortTrust>,
}

impl TrustConfig {
    /// What a port believes.
    #[must_use]
    pub fn port(&self, port: Port) -> &PortTrust {
        self.ports.get(&port).unwrap_or(&self.default)
    }
}
