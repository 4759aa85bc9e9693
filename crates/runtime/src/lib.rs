//! The process shell that every Bailiwick binary shares: logs, metrics, the admin server, readiness, drain,
//! configuration, listeners and retry delays.
//!
//! It must never know the domain: no identity, no policy, no certificate, no Kubernetes, and no other Bailiwick
//! crate. It never reads the environment by itself (values are passed in), never offers an endpoint that changes
//! something, and never prints a secret, because it is never given one.
//!
//! ```text
//!   file + environment --config--> the binary's own Config
//!                                      |
//!   main --+-- log        lines on stderr
//!          +-- metrics ------------+
//!          +-- ready  (blockers) --+--> admin   GET /ready /live /metrics /config, on loopback
//!          +-- drain  (watches)  <---- SIGTERM, SIGINT
//!          +-- accept (listeners that survive EMFILE) ---- backoff (also: reconnects, renewals)
//! ```

pub mod accept;
pub mod admin;
pub mod backoff;
pub mod config;
pub mod drain;
pub mod log;
pub mod metrics;
pub mod ready;
