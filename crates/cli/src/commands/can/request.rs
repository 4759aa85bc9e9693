//! What would be sent, and how the called sidecar reads it.
//!
//! These are the checks of the sidecar's inbound side, in its order; the vectors run through both, so that they stay
//! the same.

use bailiwick_identity::Port;
use bailiwick_policy::{
    CanonicalPath, HttpCall, PathError, RequestTarget, canonical_host, registered_variant,
};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Arguments;
use super::mistake::Mistake;

/// What would be sent.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// Bytes that are no HTTP, to a container port.
    Tcp(Port),
    /// An HTTP request.
    Http(Request),
}

/// An HTTP request as it would be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: HeaderMap,
    /// Service and method, if the call was written as a gRPC call.
    pub(crate) grpc: Option<(String, String)>,
}

/// An HTTP request as the sidecar reads it.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) method: String,
    pub(crate) target: Target,
    pub(crate) host: String,
    pub(crate) grpc: bool,
}

/// The target of a request that was read.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Path(CanonicalPath<'static>),
    Asterisk,
    /// Only in a namespace in authorization audit.
    Ambiguous,
}

/// Why a request is refused before any policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRequest {
    #[error("CONNECT is not served")]
    Connect,
    #[error("the method is not a token")]
    Method,
    #[error("the method is a registered one in another case: methods are case-sensitive")]
    MethodCase,
    #[error("the request target is not a path")]
    Target,
    #[error("the request has not exactly one well-formed host")]
    Host,
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("a gRPC path has no escapes")]
    GrpcEscape,
    #[error("the message framing is ambiguous")]
    Framing,
}

impl Asked {
    /// Reads the arguments, without a world.
    ///
    /// # Errors
    /// When they make no call.
    pub(crate) fn read(arguments: &Arguments) -> Result<Self, Mistake> {
        let headers = headers(&arguments.headers)?;
        match arguments.method.as_str() {
            "tcp" if headers.is_empty() => {
                let text = &arguments.path;
                let port = text.parse().map_err(|_| Mistake::NotAPort { text: text.clone() })?;
                Ok(Self::Tcp(port))
            }
            "tcp" => Err(Mistake::HeaderOfTcp),
            "grpc" => Request::grpc(&arguments.path, headers).map(Self::Http),
            method => Ok(Self::Http(Request {
                method: method.to_owned(),
                target: arguments.path.clone(),
                headers,
                grpc: None,
            })),
        }
    }

    /// The container port, if the call itself names it.
    pub(crate) const fn port(&self) -> Option<Port> {
        match self {
            Self::Tcp(port) => Some(*port),
            Self::Http(_) => None,
        }
    }
}

fn headers(texts: &[String]) -> Result<HeaderMap, Mistake> {
    let mut headers = HeaderMap::new();
    for text in texts {
        let mistake = || Mistake::NotAHeader { text: text.clone() };
        let (name, value) = text.split_once(':').ok_or_else(mistake)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| mistake())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| mistake())?;
        headers.append(name, value);
    }
    Ok(headers)
}

impl Request {
    fn grpc(text: &str, mut headers: HeaderMap) -> Result<Self, Mistake> {
        let mistake = || Mistake::NotGrpc { text: text.to_owned() };
        let (service, method) = text.strip_prefix('/').unwrap_or(text).split_once('/').ok_or_else(mistake)?;
        if service.is_empty() || method.is_empty() || method.contains('/') {
            return Err(mistake());
        }
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/grpc"));
        Ok(Self {
            method: "POST".to_owned(),
            target: format!("/{service}/{method}"),
            headers,
            grpc: Some((service.to_owned(), method.to_owned())),
        })
    }

    /// True if the call says which host it is for.
    pub(crate) fn names_host(&self) -> bool {
        self.headers.contains_key(HOST)
    }

    /// True if refusals come as gRPC statuses.
    pub(crate) fn is_grpc(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE);
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
    }

    /// Reads the request as the sidecar does; `host` is what the caller would send without being told.
    ///
    /// # Errors
    /// When it has more than one reading.
    pub(crate) fn read(&self, host: &str) -> Result<Read, BadRequest> {
        let read = self.without_target(host)?;
        let target = self.target()?;
        if read.grpc && self.target.split('?').next().is_some_and(|path| path.contains('%')) {
            return Err(BadRequest::GrpcEscape);
        }
        Ok(Read { target, ..read })
    }

    /// The request with a path that has no single reading, where that is only reported.
    ///
    /// # Errors
    /// When anything but the path or query is wrong.
    pub(crate) fn ambiguous(&self, host: &str) -> Result<Read, BadRequest> {
        self.without_target(host)
    }

    fn without_target(&self, host: &str) -> Result<Read, BadRequest> {
        check_method(&self.method)?;
        self.check_framing()?;
        Ok(Read {
            method: self.method.clone(),
            target: Target::Ambiguous,
            host: self.host(host)?,
            grpc: self.has_grpc_content_type(),
        })
    }

    fn target(&self) -> Result<Target, BadRequest> {
        let text = self.target.as_str();
        if text == "*" {
            return if self.method == "OPTIONS" { Ok(Target::Asterisk) } else { Err(BadRequest::Target) };
        }
        if !text.starts_with('/') {
            return Err(BadRequest::Target);
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        query.map_or(Ok(()), CanonicalPath::check_query)?;
        let path = CanonicalPath::parse(path)?.into_owned();
        // What the HTTP parser takes for no request target never gets as far as a policy.
        let is_target = text.parse::<http::uri::PathAndQuery>().is_ok();
        if is_target { Ok(Target::Path(path)) } else { Err(BadRequest::Target) }
    }

    fn host(&self, default: &str) -> Result<String, BadRequest> {
        let mut hosts = self.headers.get_all(HOST).iter();
        let text = match (hosts.next(), hosts.next()) {
            (None, _) => default,
            (Some(host), None) => host.to_str().map_err(|_| BadRequest::Host)?,
            (Some(_), Some(_)) => return Err(BadRequest::Host),
        };
        canonical_host(text).map(std::borrow::Cow::into_owned).map_err(|_| BadRequest::Host)
    }

    fn has_grpc_content_type(&self) -> bool {
        let mut kinds = self.headers.get_all(CONTENT_TYPE).iter();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => {
                let kind = kind.as_bytes();
                kind == b"application/grpc" || kind.starts_with(b"application/grpc+")
            }
            (None, _) | (Some(_), Some(_)) => false,
        }
    }

    fn check_framing(&self) -> Result<(), BadRequest> {
        // What is written as a gRPC call goes over HTTP/2.
        let http2 = self.grpc.is_some();
        let mut lengths = self.headers.get_all(CONTENT_LENGTH).iter();
        if let Some(length) = lengths.next() {
            let bytes = length.as_bytes();
            let digits = !bytes.is_empty() && bytes.len() <= 19 && bytes.iter().all(u8::is_ascii_digit);
            let canonical = digits && (bytes.len() == 1 || bytes.first() != Some(&b'0'));
            if !canonical || lengths.next().is_some() {
                return Err(BadRequest::Framing);
            }
        }
        let mut encodings = self.headers.get_all(TRANSFER_ENCODING).iter();
        if let Some(encoding) = encodings.next() {
            let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
            let length = self.headers.contains_key(CONTENT_LENGTH);
            if !chunked || encodings.next().is_some() || http2 || length {
                return Err(BadRequest::Framing);
            }
        }
        let te_is_sound = self.headers.get_all(TE).iter().all(|te| !http2 || te == "trailers");
        if te_is_sound { Ok(()) } else { Err(BadRequest::Framing) }
    }
}

fn check_method(method: &str) -> Result<(), BadRequest> {
    if method == "CONNECT" {
        return Err(BadRequest::Connect);
    }
    Method::from_bytes(method.as_bytes()).map_err(|_| BadRequest::Method)?;
    if registered_variant(method).is_some() { Err(BadRequest::MethodCase) } else { Ok(()) }
}

impl Read {
    /// What authorization reads.
    pub(crate) fn call(&self) -> HttpCall<'_> {
        HttpCall {
            method: &self.method,
            target: match &self.target {
                Target::Path(path) => RequestTarget::Path(path),
                Target::Asterisk => RequestTarget::Asterisk,
                Target::Ambiguous => RequestTarget::Ambiguous,
            },
            host: &self.host,
            grpc: self.grpc,
        }
    }
}
