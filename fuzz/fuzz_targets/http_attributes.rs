//! Any bytes as an HTTP/1.1 request head: what the sidecar reads as attributes is what it forwards, and reading what it forwards
//! gives the same attributes again.
#![no_main]

use bailiwick_policy::{CanonicalPath, RequestTarget};
use http::request::Parts;
use libfuzzer_sys::fuzz_target;

// The sidecar's own file, and not its crate: the whole data plane would be built with instrumentation for these lines.
#[path = "../../crates/sidecar/src/inbound/attributes.rs"]
#[expect(dead_code, reason = "the sidecar uses more of it")]
mod attributes;

use attributes::HttpAttributes;

/// The head as hyper makes it: parsed by httparse, a target that `http::Uri` takes.
fn head(bytes: &[u8]) -> Option<Parts> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    if parsed.parse(bytes).ok()?.is_partial() {
        return None;
    }
    let mut request = http::Request::builder().method(parsed.method?).uri(parsed.path?);
    for header in parsed.headers.iter() {
        request = request.header(header.name, header.value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(mut parts) = head(bytes) else { return };
    let Ok(read) = HttpAttributes::read(&parts) else { return };
    let forwarded = read.forwarded_target();
    match read.call().target {
        RequestTarget::Path(path) => {
            let sent = forwarded.split('?').next().unwrap_or_default();
            assert_eq!(sent, path.as_str(), "the path that was matched is the path that is forwarded");
            assert_eq!(CanonicalPath::parse(sent).as_ref(), Ok(path));
        }
        RequestTarget::Asterisk => assert_eq!(forwarded, "*"),
        RequestTarget::Ambiguous => panic!("`read` refuses an ambiguous target"),
    }
    assert!(!read.host().is_empty() && !read.host().bytes().any(|byte| byte.is_ascii_uppercase()));
    parts.uri = forwarded.parse().expect("what is forwarded is a request target");
    let again = HttpAttributes::read(&parts).expect("what is forwarded is accepted");
    assert_eq!(again.forwarded_target(), forwarded, "reading what is forwarded changes nothing");
    assert_eq!((again.method(), again.host(), again.is_grpc()), (read.method(), read.host(), read.is_grpc()));
});
