//! Where a call goes.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// How a target is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// HTTP/1.1.
    Http,
    /// A unary gRPC call.
    Grpc,
    /// A gRPC call whose answers do not end by themselves.
    GrpcStream,
    /// A WebSocket that echoes.
    WebSocket,
    /// A server that speaks first, then echoes.
    Tcp,
}

/// Where a call goes.
#[derive(Debug, Clone)]
pub struct Target {
    pub(crate) scheme: Scheme,
    /// `host:port`.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
    text: String,
}

/// What a target must look like.
#[derive(Debug, PartialEq, Eq)]
pub struct UrlError;

impl fmt::Display for UrlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("write http, grpc, grpc+stream, ws or tcp, then `://HOST:PORT` and the path")
    }
}

impl std::error::Error for UrlError {}

impl FromStr for Target {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(|_| UrlError)?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("grpc") => Scheme::Grpc,
            Some("grpc+stream") => Scheme::GrpcStream,
            Some("ws") => Scheme::WebSocket,
            Some("tcp") => Scheme::Tcp,
            Some(_) | None => return Err(UrlError),
        };
        let authority = uri.authority().ok_or(UrlError)?;
        let port = authority.port_u16().or((scheme == Scheme::Http).then_some(80)).ok_or(UrlError)?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        Ok(Self { scheme, authority: format!("{}:{port}", authority.host()), path, text: text.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_needs_a_known_scheme_and_a_port() {
        for text in ["grpc://orders:8080/shop.v1.Orders/Get", "tcp://[::1]:5432", "ws://orders:8080/live"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("http://orders/x?y=1".parse::<Target>().unwrap().authority, "orders:80");
        assert_eq!("http://orders/x?y=1".parse::<Target>().unwrap().path, "/x?y=1");
        for text in ["orders:8080", "https://orders", "tcp://ledger", "http://"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
