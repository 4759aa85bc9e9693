//! The probes and hooks that a pod declared, which its sidecar runs in the kubelet's place.

use serde::{Deserialize, Serialize};

/// One probe or hook. Its place in the list is the index that the kubelet asks for: `/probe/<index>` at the sidecar's
/// pod-IP port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Declared {
    /// The container that declared it.
    pub container: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What is done.
    pub action: Action,
    /// How long it may take, seconds.
    pub timeout_seconds: u32,
}

/// What a probe or hook is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// `startupProbe`.
    Startup,
    /// `readinessProbe`.
    Readiness,
    /// `livenessProbe`.
    Liveness,
    /// `lifecycle.postStart`.
    PostStart,
    /// `lifecycle.preStop`.
    PreStop,
}

impl Purpose {
    /// Hooks change something, so only the node may have them run.
    #[must_use]
    pub const fn is_hook(self) -> bool {
        match self {
            Self::PostStart | Self::PreStop => true,
            Self::Startup | Self::Readiness | Self::Liveness => false,
        }
    }
}

/// What a probe or hook does. Ports are resolved: names of ports are looked up by the injector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Action {
    /// `httpGet`.
    #[serde(rename_all = "camelCase")]
    Http {
        /// The container port.
        port: u16,
        /// Path and query, as declared; `/` where it is empty.
        path: String,
        /// True for `scheme: HTTPS`: the certificate is not verified, as the kubelet does not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        tls: bool,
        /// `httpHeaders`, `Host` among them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
    },
    /// `tcpSocket`.
    Tcp {
        /// The container port.
        port: u16,
    },
    /// `grpc` (the standard health service).
    Grpc {
        /// The container port.
        port: u16,
        /// The service to ask about; empty is the server as a whole.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        service: String,
    },
}
