//! Measures the sidecar as users run it, a process, and Envoy doing the same job beside it.
//!
//! It must never be part of what is shipped, and nothing may depend on it: it starts and ends processes.
//!
//! ```text
//!  load (a process of its own) --mTLS--> sidecar | Envoy --HTTP--> the demonstration's service
//!      ^ ready, go, result                 ^
//!      +---------- plan ------------------- CPU and memory of the proxy alone, from /proc
//! ```

mod app;
mod client;
mod control_plane;
mod envoy;
mod error;
mod figures;
mod identity_files;
mod load;
mod measure;
mod plan;
mod process;
mod proxy;
mod report;
mod sidecar;
mod tls;
mod world;

use clap::Parser;

fn main() -> anyhow::Result<()> {
    app::run(app::Arguments::parse())
}
