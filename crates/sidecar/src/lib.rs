//! The data plane: accept, decide, forward.
//!
//! One sidecar stands in front of one workload. It proves who calls, decides every call with the snapshot of that
//! moment, and forwards what is permitted. It must never see Kubernetes, CEL or YAML policies, make a decision without
//! a snapshot, or let a byte pass before its record.
//!
//! ```text
//!                 control thread: certificate, bundle, snapshot, destinations, admin, audit
//!                        |
//!  peer --mTLS--> inbound: admit -> authn -> decide -> record -> forward --> application
//!  application --plain--> outbound: destination -> authn::connect -> mTLS --> peer's sidecar
//! ```

mod app;
mod body;
mod clock;
mod command;
mod config;
mod connections;
mod drain;
mod enforcer;
mod http_settings;
mod inbound;
mod io;
mod metrics;
mod node;
mod outbound;
mod pod_port;
mod proof;
mod sessions;
mod shared;

pub use command::Command;
