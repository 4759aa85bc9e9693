//! From the application to other services: to exactly the identity that the control plane names, or not at all.
//!
//! ```text
//!  accept --peek--> serve --+-- http ----> route --> pool --connect(mTLS, expected id)--> endpoint
//!                           |     `------> upgrade (a WebSocket: a connection of its own)
//!                           `-- tcp -----> route --> connect, then bytes both ways
//! ```
//!
//! It must never send a byte before the endpoint proved its identity, never send as plaintext what is meshed, and
//! never share a connection between two identities.

mod body;
mod captured;
mod connect;
mod failure;
mod http;
mod load;
mod pool;
mod route;
mod serve;
mod tcp;
mod upgrade;

pub(crate) use self::captured::run_captured;
pub(crate) use self::pool::Pool;
pub(crate) use self::serve::run;

#[cfg(test)]
mod tests;
