//! What is claimed about a call. INVARIANT: no field here is an identity.

use std::net::{IpAddr, SocketAddr};

use bailiwick_identity::Port;

use crate::CanonicalPath;

/// An instant, in seconds since the Unix epoch. The caller reads the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// What authorization reads of a call besides its subject.
#[derive(Debug, Clone, Copy)]
pub struct RequestAttributes<'a> {
    /// The TCP peer's address, v4-mapped folded to v4 (see [`fold`]). Forwarding headers never count.
    pub source: SocketAddr,
    /// The container port that is called.
    pub port: Port,
    /// The time of the decision.
    pub now: Timestamp,
    /// The call itself.
    pub call: Call<'a>,
}

/// A call, by what its protocol lets one see.
#[derive(Debug, Clone, Copy)]
pub enum Call<'a> {
    /// A connection whose bytes are opaque: `tcp` and `any` permissions can match it.
    Tcp,
    /// An HTTP request: `http`, `grpc`, `tcp` and `any` permissions can match it.
    Http(HttpCall<'a>),
}

/// An HTTP request, in its canonical form.
#[derive(Debug, Clone, Copy)]
pub struct HttpCall<'a> {
    /// The method, case-sensitive.
    pub method: &'a str,
    /// The target.
    pub target: RequestTarget<'a>,
    /// The host in canonical form ([`crate::canonical_host`]).
    pub host: &'a str,
    /// True if the content type is `application/grpc` or starts with `application/grpc+`.
    pub grpc: bool,
}

/// The target of an HTTP request.
#[derive(Debug, Clone, Copy)]
pub enum RequestTarget<'a> {
    /// A canonical path.
    Path(&'a CanonicalPath<'a>),
    /// `OPTIONS *`: only `any` and `tcp` permissions match.
    Asterisk,
    /// A path without one reading, let through only by a namespace in authorization audit: only `any` and `tcp`
    /// permissions match.
    Ambiguous,
}

/// The same attributes, owned: kept by calls in flight, which are decided again when the truth changes.
#[derive(Debug, Clone)]
pub struct OwnedAttributes {
    source: SocketAddr,
    port: Port,
    call: OwnedCall,
}

#[derive(Debug, Clone)]
enum OwnedCall {
    Tcp,
    Http { method: Box<str>, target: OwnedTarget, host: Box<str>, grpc: bool },
}

#[derive(Debug, Clone)]
enum OwnedTarget {
    Path(CanonicalPath<'static>),
    Asterisk,
    Ambiguous,
}

impl RequestAttributes<'_> {
    /// A copy that outlives the request.
    #[must_use]
    pub fn to_owned(&self) -> OwnedAttributes {
        let call = match &self.call {
            Call::Tcp => OwnedCall::Tcp,
            Call::Http(http) => OwnedCall::Http {
                method: http.method.into(),
                target: match http.target {
                    RequestTarget::Path(path) => OwnedTarget::Path(path.clone().into_owned()),
                    RequestTarget::Asterisk => OwnedTarget::Asterisk,
                    RequestTarget::Ambiguous => OwnedTarget::Ambiguous,
                },
                host: http.host.into(),
                grpc: http.grpc,
            },
        };
        OwnedAttributes { source: self.source, port: self.port, call }
    }
}

impl OwnedAttributes {
    /// The attributes of the opening of the call, at another time.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> RequestAttributes<'_> {
        let call = match &self.call {
            OwnedCall::Tcp => Call::Tcp,
            OwnedCall::Http { method, target, host, grpc } => Call::Http(HttpCall {
                method,
                target: match target {
                    OwnedTarget::Path(path) => RequestTarget::Path(path),
                    OwnedTarget::Asterisk => RequestTarget::Asterisk,
                    OwnedTarget::Ambiguous => RequestTarget::Ambiguous,
                },
                host,
                grpc: *grpc,
            }),
        };
        RequestAttributes { source: self.source, port: self.port, now, call }
    }
}

/// Folds a v4-mapped IPv6 address to the IPv4 address that it maps.
#[must_use]
pub fn fold(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => SocketAddr::new(IpAddr::V4(mapped), address.port()),
            None => address,
        },
    }
}
