//! Test certificate authority, peers and subjects. For tests only: no production crate depends on this one.
//!
//! It must never hold anything that production code needs, and nothing in it weakens a check: a bad certificate is
//! made bad here, and refused by the real verifier.
//!
//! ```text
//!  TestAuthority --issue / issue_flawed(Flaw)--> TestCredentials { chain, key }   (for authn::Credentials)
//!  peer("spiffe://…"), subject("spiffe://…"), unproven_subject(reason)            (for policy tests)
//!  vectors::load() --compile--> Asked --engine--> Observed                         (one corpus, many engines)
//! ```

mod ca;
mod subject;
pub mod vectors;

pub use ca::{Flaw, TestAuthority, TestCredentials, Validity};
pub use subject::{leaf, peer, spiffe_id, subject, unproven_subject};
