//! A request becomes attributes, or is refused before any policy is asked.
//!
//! INVARIANT: no field made here is an identity, and what is made here is what is forwarded: the canonical path, one
//! host, a method that is spelt one way.

use bailiwick_policy::{
    CanonicalPath, HttpCall, PathError, RequestTarget, canonical_host, registered_variant,
};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Version, request::Parts};

/// The claims of one HTTP request, in canonical form.
#[derive(Debug, Clone)]
pub(crate) struct HttpAttributes {
    method: Method,
    target: Target,
    host: Box<str>,
    grpc: bool,
}

#[derive(Debug, Clone)]
enum Target {
    Path {
        path: CanonicalPath<'static>,
        query: Option<Box<str>>,
    },
    Asterisk,
    /// Only made by [`HttpAttributes::ambiguous`].
    Ambiguous {
        raw: Box<str>,
    },
}

/// Why a request is refused before policy. All are answered 400 and the connection is closed, but `Connect`: 405.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRequest {
    /// CONNECT is no call to a service.
    #[error("CONNECT is not served")]
    Connect,
    /// A case variant of a registered method: backends disagree on what it means.
    #[error("the method is a registered one in another case")]
    MethodCase,
    /// Absolute-form, authority-form, or `*` with a method other than OPTIONS.
    #[error("the request target is not a path")]
    Target,
    /// No host, more than one, or a malformed one.
    #[error("the request has not exactly one well-formed host")]
    Host,
    /// `host` and `:authority` differ.
    #[error("`host` and `:authority` differ")]
    HostMismatch,
    /// The path or query has no single reading.
    #[error("{0}")]
    Path(#[from] PathError),
    /// A gRPC path with an escape.
    #[error("a gRPC path has no escapes")]
    GrpcEscape,
    /// Framing headers that two parties could read differently.
    #[error("the message framing is ambiguous")]
    Framing,
    /// HTTP/1.0 and older have no host and no framing that can be relied on.
    #[error("the HTTP version is not served")]
    Version,
}

impl HttpAttributes {
    /// Reads and checks a request.
    ///
    /// # Errors
    /// When the request has more than one reading.
    pub(crate) fn read(parts: &Parts) -> Result<Self, BadRequest> {
        let checked = Self::read_without_target(parts)?;
        let target = read_target(parts)?;
        if checked.grpc && parts.uri.path().contains('%') {
            return Err(BadRequest::GrpcEscape);
        }
        Ok(Self { target, ..checked })
    }

    /// The attributes of a request whose path has no single reading, for a namespace in authorization audit: it is
    /// forwarded byte for byte and only `any` and `tcp` permissions can match it.
    ///
    /// # Errors
    /// When anything but the path or query is wrong.
    pub(crate) fn ambiguous(parts: &Parts) -> Result<Self, BadRequest> {
        let raw = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let checked = Self::read_without_target(parts)?;
        Ok(Self { target: Target::Ambiguous { raw: raw.into() }, ..checked })
    }

    fn read_without_target(parts: &Parts) -> Result<Self, BadRequest> {
        check_version(parts.version)?;
        check_method(&parts.method)?;
        check_framing(parts)?;
        Ok(Self {
            method: parts.method.clone(),
            target: Target::Asterisk,
            host: read_host(parts)?,
            grpc: is_grpc(&parts.headers),
        })
    }

    /// What authorization reads.
    pub(crate) fn call(&self) -> HttpCall<'_> {
        HttpCall {
            method: self.method.as_str(),
            target: match &self.target {
                Target::Path { path, .. } => RequestTarget::Path(path),
                Target::Asterisk => RequestTarget::Asterisk,
                Target::Ambiguous { .. } => RequestTarget::Ambiguous,
            },
            host: &self.host,
            grpc: self.grpc,
        }
    }

    /// The target in the form in which it is forwarded: canonical path, query as received.
    pub(crate) fn forwarded_target(&self) -> String {
        match &self.target {
            Target::Path { path, query: None } => path.as_str().to_owned(),
            Target::Path { path, query: Some(query) } => format!("{path}?{query}"),
            Target::Asterisk => "*".to_owned(),
            Target::Ambiguous { raw } => raw.as_ref().to_owned(),
        }
    }

    /// The path for audit events: without the query, which may hold secrets.
    pub(crate) fn audited_path(&self) -> &str {
        match &self.target {
            Target::Path { path, .. } => path.as_str(),
            Target::Asterisk => "*",
            Target::Ambiguous { raw } => raw.split('?').next().unwrap_or_default(),
        }
    }

    /// The method.
    pub(crate) const fn method(&self) -> &Method {
        &self.method
    }

    /// The canonical host.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// True for a gRPC content type.
    pub(crate) const fn is_grpc(&self) -> bool {
        self.grpc
    }
}

fn check_version(version: Version) -> Result<(), BadRequest> {
    if version == Version::HTTP_11 || version == Version::HTTP_2 { Ok(()) } else { Err(BadRequest::Version) }
}

fn check_method(method: &Method) -> Result<(), BadRequest> {
    if method == Method::CONNECT {
        return Err(BadRequest::Connect);
    }
    if registered_variant(method.as_str()).is_some() { Err(BadRequest::MethodCase) } else { Ok(()) }
}

fn read_target(parts: &Parts) -> Result<Target, BadRequest> {
    let uri = &parts.uri;
    if parts.version == Version::HTTP_11 && (uri.scheme().is_some() || uri.authority().is_some()) {
        return Err(BadRequest::Target);
    }
    let path = uri.path();
    if path == "*" {
        return if parts.method == Method::OPTIONS && uri.query().is_none() {
            Ok(Target::Asterisk)
        } else {
            Err(BadRequest::Target)
        };
    }
    if !path.starts_with('/') {
        return Err(BadRequest::Target);
    }
    let query = uri.query();
    query.map_or(Ok(()), CanonicalPath::check_query)?;
    let path = CanonicalPath::parse(path)?.into_owned();
    Ok(Target::Path { path, query: query.map(Into::into) })
}

fn read_host(parts: &Parts) -> Result<Box<str>, BadRequest> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(host), None) => Some(host.to_str().map_err(|_| BadRequest::Host)?),
        (Some(_), Some(_)) => return Err(BadRequest::Host),
    };
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let canonical = |text| canonical_host(text).map_err(|_| BadRequest::Host);
    match (authority, header) {
        (None, None) => Err(BadRequest::Host),
        (Some(host), None) | (None, Some(host)) => Ok(canonical(host)?.into()),
        (Some(authority), Some(header)) => {
            let host = canonical(authority)?;
            if host == canonical(header)? { Ok(host.into()) } else { Err(BadRequest::HostMismatch) }
        }
    }
}

/// hyper refuses most bad framing itself; this refuses what it leaves visible (`Transfer-Encoding` twice,
/// `Content-Length: 0001`), so that what is forwarded has one reading.
fn check_framing(parts: &Parts) -> Result<(), BadRequest> {
    let headers = &parts.headers;
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let bytes = length.as_bytes();
        let digits = !bytes.is_empty() && bytes.len() <= 19 && bytes.iter().all(u8::is_ascii_digit);
        let canonical = digits && (bytes.len() == 1 || bytes.first() != Some(&b'0'));
        if !canonical || lengths.next().is_some() {
            return Err(BadRequest::Framing);
        }
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next() {
        let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !chunked || encodings.next().is_some() || parts.version != Version::HTTP_11 {
            return Err(BadRequest::Framing);
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(BadRequest::Framing);
        }
    }
    let te_is_sound =
        headers.get_all(TE).iter().all(|te| parts.version != Version::HTTP_2 || te == "trailers");
    if te_is_sound { Ok(()) } else { Err(BadRequest::Framing) }
}

/// True for exactly one content type, and that gRPC's.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(kind), None) => {
            let kind = kind.as_bytes();
            kind == b"application/grpc" || kind.starts_with(b"application/grpc+")
        }
        (None, _) | (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
#[path = "attributes_tests.rs"]
mod tests;
