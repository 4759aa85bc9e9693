//! The services behind the sidecars of the demonstration, of the example, of tests and of benchmarks, and a client of
//! them: plain programs that know nothing of certificates or policies.
//!
//! They must never authenticate or authorize anything: that is what the sidecar is for.
//!
//! ```text
//!  --http ADDRESS   HTTP/1.1, HTTP/2 with prior knowledge, gRPC (unary, streaming, health), WebSocket echo
//!  --tcp ADDRESS    a server that speaks first, then echoes
//!  call URL…        http, grpc, grpc+stream, ws or tcp; once, in a loop, or held open until it is cut
//!  pause            a pod to call from
//! ```

mod arguments;
mod client;
mod http;
mod serve;
mod tcp;

pub use arguments::{Arguments, Service, Verb};
pub use client::{Plan, Target, UrlError, call};
pub use http::serve_http;
pub use serve::{pause, serve};
pub use tcp::serve_tcp;
