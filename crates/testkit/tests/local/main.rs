//! One mesh on this machine: the real operator and the real sidecars, and what must hold when they are killed, edited
//! under, fed broken files, attacked or drained. Cases are named by their id in the security catalogue.
//!
//! Each test has its own loopback address, temporary folder and processes, so all of them run at once.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code: a failure is the report"
)]

mod application;
mod client;
mod member;
mod network;
mod process;
mod world;

mod admin;
mod audit;
mod broken_folder;
mod cold_start;
mod drain;
mod operator_kill;
mod pods;
mod policy_edit;
mod sidecar_kill;
mod tokens;
