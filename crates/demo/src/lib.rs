//! The services behind the sidecars of the demonstration, of tests and of benchmarks: plain programs that know nothing
//! of certificates or policies.
//!
//! They must never authenticate or authorize anything: that is what the sidecar is for.
//!
//! ```text
//!  --http ADDRESS   HTTP/1.1, HTTP/2 with prior knowledge, gRPC (unary, streaming), WebSocket echo
//!  --tcp ADDRESS    a server that speaks first, then echoes
//! ```

mod http;
mod tcp;

pub use http::serve_http;
pub use tcp::serve_tcp;
