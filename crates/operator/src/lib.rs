//! The control plane: read a folder (or, later, a cluster), compile, publish to each sidecar what it enforces, report.
//!
//! It must never decide a call, believe a name that a caller asks for (an identity comes from the caller's token and
//! the workload's own service account), send a workload another's configuration, go back to an older snapshot, or
//! write a key or a token into a log. It has no endpoint that changes anything.
//!
//! ```text
//!  folder --source--> World --pipeline (compile, encode, diff)--> Publication --publish--> one watch per workload
//!                                |                                   |                        |
//!                     status <---'              tokens <-------------+                        v
//!                       ^                         |                          configuration (mTLS, push, ack)
//!                       |                         v                          destinations  (mTLS, pull)
//!  admin GET /config ---'        identity (token -> certificate, signed by ca)
//! ```
//!
//! Two listeners, both TLS 1.3 by `authn`: `identity` needs no client certificate, the other requires one.

mod addresses;
mod app;
mod audit;
#[cfg(feature = "cluster")]
mod cluster;
mod config;
mod configuration;
mod control;
mod destinations;
mod entry;
mod files;
mod folder;
mod identity;
mod marks;
mod metrics;
mod own_certificate;
mod pipeline;
mod publish;
mod rate;
mod ready_file;
mod reports;
mod serve;
mod source;
mod state;
mod status;
mod tell;
mod tokens;
#[cfg(feature = "cluster")]
mod uninstall;

pub use app::run;
pub use config::{Config, Flags};
pub use entry::entry;

#[cfg(test)]
mod testing;
