//! Real handshakes over loopback. Cases are named by their id in the security catalogue (G1 to G20).
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the report")]

mod certificates;
mod handshake;
mod server_identity;
mod support;
mod trust;
