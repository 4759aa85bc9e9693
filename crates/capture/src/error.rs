//! Why a pod's connections are not captured.

use std::io;

use rustix::io::Errno;

use crate::batch::What;

/// Why the table is not there. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The process lacks the capability.
    #[error(
        "this container may not change its network: it needs the capability NET_ADMIN, and to run as root \
         (does the namespace's Pod Security level forbid that?)"
    )]
    NotPermitted,
    /// The kernel has no netlink for netfilter.
    #[error("this node's kernel has no nf_tables: load the module `nf_tables`, or use a kernel that has it")]
    NoNfTables,
    /// There is no NAT for tables of both families.
    #[error(
        "this node's kernel has no nf_tables NAT for IPv4 and IPv6 in one table: it needs version 5.2 or later with \
         the modules `nft_chain_nat` and `nft_redir`"
    )]
    NoNat,
    /// The kernel said something else.
    #[error("the kernel refused {what} of the capture: {source}")]
    Refused {
        /// What it refused.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The kernel did not answer every message, so nobody knows what is in force.
    #[error("the kernel did not confirm the capture: {0}")]
    Unanswered(&'static str),
}

impl CaptureError {
    /// For what the kernel answered to a message.
    pub(crate) fn refused(what: What, error: Errno) -> Self {
        let absent = [Errno::NOENT, Errno::OPNOTSUPP, Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT];
        if [Errno::PERM, Errno::ACCESS].contains(&error) {
            return Self::NotPermitted;
        }
        match what {
            What::Transaction | What::Table if absent.contains(&error) || error == Errno::INVAL => {
                Self::NoNfTables
            }
            What::Chain | What::Rule if absent.contains(&error) => Self::NoNat,
            What::Transaction => Self::system("the transaction", error),
            What::Table => Self::system("the table", error),
            What::Chain => Self::system("a chain", error),
            What::Rule => Self::system("a rule", error),
        }
    }

    /// For what the system said.
    pub(crate) fn system(what: &'static str, error: Errno) -> Self {
        Self::Refused { what, source: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_becomes_what_to_do() {
        for (what, error, expected) in [
            (What::Transaction, Errno::PERM, "capability NET_ADMIN"),
            (What::Transaction, Errno::OPNOTSUPP, "no nf_tables:"),
            (What::Table, Errno::AFNOSUPPORT, "no nf_tables:"),
            (What::Chain, Errno::NOENT, "no nf_tables NAT"),
            (What::Rule, Errno::NOENT, "`nft_redir`"),
            (What::Rule, Errno::NOMEM, "refused a rule of the capture"),
        ] {
            let message = CaptureError::refused(what, error).to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
