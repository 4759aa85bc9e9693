//! Outbound over real sockets and real mTLS, to a peer made of the accepting half of `authn` and a plain HTTP server.

mod addresses;
mod http_calls;
mod peer;
mod streams;
