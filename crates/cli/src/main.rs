//! `bailiwick`, also `kubectl bailiwick`: ask what would be decided, check a folder, see it work.
//!
//! One file a command (`commands/`), over the same crates as the operator and the sidecar: a second implementation of
//! the decision would rot. This crate must never decide a call itself, make a subject or a permit, or write into a
//! folder of policies.
//!
//! ```text
//!  arguments --app--> commands/{can,validate,status,crds,demo,…}
//!                        |  inputs::read_paths -> compile -> policy::explain
//!                        v
//!                     render (code frames, tables) | one JSON object --> exit code
//! ```

mod app;
mod commands;
mod exit;
mod folder;
mod output;
mod render;

fn main() -> std::process::ExitCode {
    app::run(std::env::args_os())
}
