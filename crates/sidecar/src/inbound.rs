//! Calls that come in: accept, deny early, authenticate, then serve by protocol.
//!
//! ```text
//!  accept --admit--> (TLS) authn --> Caller --http--> attributes -> decide -> record -> forward | deny
//!                                          \--tcp---> decide -> record -> relay | close
//! ```

pub(crate) mod accept;
mod applications;
pub(crate) mod attributes;
pub(crate) mod caller;
mod captured;
pub(crate) mod deny;
pub(crate) mod forward;
pub(crate) mod headers;
mod http;
mod protocol;
pub(crate) mod record;
mod tcp;
mod tcp_call;
pub(crate) mod upstream;

pub(crate) use accept::run;
pub(crate) use applications::Applications;
pub(crate) use captured::{application, run_captured};

#[cfg(test)]
mod tests;
