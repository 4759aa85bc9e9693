//! From the application to other services: to exactly the identity that the control plane names, or not at all.
//!
//! ```text
//!  accept --peek--> serve --+-- http ----> route --> pool --connect(mTLS, expected id)--> endpoint
//!                           |     `------> upgrade (a WebSocket: a connection of its own)
//!                           `-- tcp -----> route --> connect, then bytes both ways
//! ```
//!
//! In a pod the connection is redirected here, and the route is found by where it was going (`captured.rs`, `routes.rs`);
//! what leads to the pod itself goes through its own inbound side (`itself.rs`).
//!
//! It must never send a byte before the endpoint proved its identity, never send as plaintext what is meshed, and
//! never share a connection between two identities.

mod body;
mod captured;
mod connect;
mod failure;
mod http;
mod itself;
mod load;
mod pool;
mod route;
mod routes;
mod serve;
mod sticky;
mod tcp;
mod upgrade;

#[cfg(test)]
pub(crate) use self::captured::from_application;
pub(crate) use self::captured::run_captured;
pub(crate) use self::pool::Pool;
#[cfg(test)]
pub(crate) use self::route::Route;
pub(crate) use self::routes::Routes;
pub(crate) use self::serve::run;

#[cfg(test)]
mod tests;
