//! Signs: a request and a proven workload become a certificate.
//!
//! This crate holds the mesh's own root and makes leaf certificates. It must never decide who a caller is (the
//! operator proves that first and passes the [`SpiffeId`](bailiwick_identity::SpiffeId)), read a policy, open a
//! socket or read the clock: the time is an argument.
//!
//! ```text
//!  state folder --open-----> Authority --issue(request, proven id)--> Issued { chain, not_after, serial }
//!  PEM of a Secret --from_pem-->|                ^
//!                               |                only the public key is taken from the request
//!                               +--issue_own(operator id)--> Own { issued, private key in memory }
//!                               +--bundle()--> TrustBundle --bundle_pem--> bundle.pem
//!
//!  ServingAuthority --issue(DNS names)--> PEM   (of the admission webhooks, which the API server calls)
//! ```
//!
//! The two authorities have nothing in common: who holds one key can make no certificate of the other.

mod bundle_pem;
mod given;
mod issue;
mod request;
mod root;
mod serving;
mod state;
mod time;

pub use bundle_pem::{bundle_pem, write_bundle_pem};
pub use given::{GivenError, GivenPem};
pub use issue::{IssueError, Issued, Own};
pub use request::RequestError;
pub use root::{Authority, KeyedPem, RootError};
pub use serving::{ServingAuthority, ServingError, ServingLeaf};
pub use state::StateError;
