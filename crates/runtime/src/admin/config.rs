//! Where the admin server listens, and how far it may be reached.

use std::net::SocketAddr;

use serde::Deserialize;

use super::AdminError;
use crate::config::{Collector, ConfigErrors, parse};

/// Connections at once when the configuration says nothing.
const DEFAULT_MAX_CONNECTIONS: usize = 64;

/// The `admin` section of a configuration file, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct RawAdmin {
    /// Address and port, such as `127.0.0.1:15020`; required.
    pub listen: Option<String>,
    /// Allows an address that can be reached from outside this machine (or pod); false when omitted.
    pub allow_non_loopback: Option<bool>,
    /// How many connections may be open at once, 1 to 1024; 64 when omitted.
    pub max_connections: Option<String>,
}

/// A checked admin configuration.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    pub(super) listen: SocketAddr,
    pub(super) max_connections: usize,
    allow_non_loopback: bool,
}

impl AdminConfig {
    /// The configuration that most want: this address, which must be loopback, and the usual limits.
    #[must_use]
    pub fn loopback(listen: SocketAddr) -> Self {
        Self { listen, max_connections: DEFAULT_MAX_CONNECTIONS, allow_non_loopback: false }
    }

    /// This address, which may be reached from outside of this machine (or pod), and the usual limits.
    #[must_use]
    pub fn anywhere(listen: SocketAddr) -> Self {
        Self { allow_non_loopback: true, ..Self::loopback(listen) }
    }

    /// The address asked for; port 0 lets the system choose.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    // FAIL-CLOSED: an unspecified address (`0.0.0.0`, `[::]`) is not loopback, and neither is anything not known to be.
    pub(super) fn check_reach(&self, address: SocketAddr) -> Result<(), AdminError> {
        if self.allow_non_loopback || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(AdminError::NotLoopback(address))
    }
}

impl TryFrom<RawAdmin> for AdminConfig {
    type Error = ConfigErrors;

    fn try_from(raw: RawAdmin) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let listen = collector.parsed_required("listen", raw.listen.as_deref(), parse::socket_address);
        let text = raw.max_connections.as_deref();
        let max_connections =
            collector.parsed("maxConnections", text, parse::whole_number, DEFAULT_MAX_CONNECTIONS);
        let max_connections = collector.within("maxConnections", max_connections, 1..=1024);
        let allow_non_loopback = raw.allow_non_loopback.unwrap_or(false);
        let config = listen.zip(max_connections).map(|(listen, max_connections)| Self {
            listen,
            max_connections,
            allow_non_loopback,
        });
        if let Some(config) = &config
            && let Err(error) = config.check_reach(config.listen)
        {
            collector.mistake("listen", error);
        }
        collector.finish(|| config)
    }
}
