//! Replicas among each other: whoever does not lead tells the leader of its sidecars and of their denials.
//!
//! ```text
//!  replica --Share (mTLS, both prove the operator's identity), every sidecar, then what changes--> leader's fleet
//! ```
//!
//! Nothing goes through the API server, and nothing comes back. A replica that is not told of a new leader finds it by
//! the lease; one that loses the leader tries again with back-off.

mod codec;
mod server;
mod teller;
#[cfg(test)]
mod tests;

pub(crate) use server::ReplicasService;
pub(crate) use teller::{KubeLeader, Teller};
