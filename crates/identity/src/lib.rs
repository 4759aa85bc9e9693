//! Names of workloads, proofs of them, and what may be believed. Plain data.
//!
//! This crate holds the typed hand-off between the two systems of Bailiwick: authentication code makes a
//! [`Connection`] and a [`Subject`]; authorization code reads them. It must never open a socket, verify a signature,
//! read a clock or know a policy.
//!
//! ```text
//!  leaf DER --svid--> Leaf{id} --(handshake done)--> Peer --> Connection --(request credentials)--> Subject
//!                       ^                                                                             |
//!        TrustBundle[trust domain]                                                        policy::authorize
//! ```

mod bundle;
mod issuer;
mod key;
mod name;
mod peer;
mod port;
mod spiffe_id;
mod subject;
mod svid;
mod trust_config;
mod trust_domain;

pub use bundle::{BundleError, TrustBundle};
pub use issuer::{Issuer, issuer};
pub use name::{NameError, Namespace, ServiceAccount, WorkloadName};
pub use peer::{Connection, Peer, Unproven};
pub use port::{Port, PortError};
pub use spiffe_id::{SpiffeId, SpiffeIdError, WorkloadIdentity};
pub use subject::{Principal, Subject};
pub use svid::{KeyPurpose, Leaf, SvidError, leaf_id};
pub use trust_config::{InvalidAuthentication, MtlsMode, PortTrust, TrustConfig};
pub use trust_domain::{TrustDomain, TrustDomainError};
