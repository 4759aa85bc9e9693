//! The inbound side, in process: real TLS over loopback, real parsers, a real application behind.

mod adversary;
mod calls;
mod captured;
mod frames;
mod framing;
mod http2;
mod live;
mod stand;
mod vectors;
