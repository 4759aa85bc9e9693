//! `bailiwick`, also `kubectl bailiwick`: ask what would be decided, check a folder, see it work.
//!
//! One file a command (`commands/`), over the same crates as the operator and the sidecar: a second implementation of
//! the decision would rot. This crate must never decide a call itself, make a subject or a permit, or write into a
//! folder of policies or a cluster.
//!
//! ```text
//!  arguments --app--> commands/{can,validate,check,status,why,crds,demo,…}
//!                        |  files, cluster/ -> inputs -> compile -> policy::explain
//!                        v
//!                     render (code frames, tables) | one JSON object --> exit code
//! ```

mod app;
mod cluster;
mod commands;
mod exchange;
mod exit;
mod folder;
mod output;
mod render;
mod reports;

fn main() -> std::process::ExitCode {
    app::run(std::env::args_os())
}
