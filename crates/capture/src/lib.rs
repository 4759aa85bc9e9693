//! Redirects a pod's TCP to its sidecar: one nftables table by netlink, and the original destination of a connection.
//!
//! ```text
//!  verb `capture` (root, NET_ADMIN, init container) --netlink--> table inet bailiwick
//!  sidecar (no privileges) --SO_ORIGINAL_DST--> where a redirected connection was going
//! ```
//!
//! It must never know a policy, and never leave half a table: one transaction, or an error.

use std::fmt;

use bailiwick_pod::ports;

mod batch;
mod error;
mod message;
mod original;
mod port_set;
mod rules;
mod socket;

pub use error::CaptureError;
pub use original::original_destination;
pub use port_set::{PortSet, PortSetError};

/// What is captured; everything else of a pod's TCP is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusions {
    /// The sidecar's own user, whose connections leave as they are.
    pub user: u32,
    /// Ports of the pod that callers reach without the sidecar.
    pub inbound: PortSet,
    /// Ports that the application reaches without the sidecar.
    pub outbound: PortSet,
}

impl fmt::Display for Exclusions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "captured: TCP to this pod goes to port {}, TCP of this pod to port {}; left out: connections of user {}",
            ports::INBOUND,
            ports::OUTBOUND,
            self.user
        )?;
        for (direction, ports) in [("to", &self.inbound), ("of", &self.outbound)] {
            if !ports.is_empty() {
                write!(formatter, ", those {direction} this pod at ports {ports}")?;
            }
        }
        Ok(())
    }
}

/// Puts the table into the network namespace of this process, in the place of one that may be there: all of it or
/// none, by one transaction. Doing it twice is as doing it once.
///
/// # Errors
/// [`CaptureError`]; the namespace is then as it was.
pub fn program(exclusions: &Exclusions) -> Result<(), CaptureError> {
    socket::transact(&batch::of(exclusions))
}
