//! `httpGet`, as the kubelet does it (pkg/probe/http): its own agent's name, redirects followed while they stay at the
//! pod, and 200 to 399 for success.

use std::net::SocketAddr;

use ::http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use ::http::uri::{PathAndQuery, Scheme};
use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use bailiwick_pod::ports;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::probe::Outcome;
use super::tls;
use crate::http_settings;

/// How many redirects are followed.
const REDIRECTS: usize = 10;
/// How much of a body is read before the connection is closed; the application may not like to be cut short.
const BODY: usize = 10 * 1024;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Get<'a> {
    pub(super) target: SocketAddr,
    pub(super) path: &'a str,
    pub(super) tls: bool,
    pub(super) headers: &'a [(String, String)],
}

/// Asks and follows. `hook` names the kubelet's errand.
pub(super) async fn get(first: Get<'_>, hook: bool) -> Outcome {
    let Ok(headers) = headers(first.headers, hook) else { return Outcome::Refused };
    let (mut target, mut tls, mut path) = (first.target, first.tls, origin_form(first.path));
    for _ in 0..=REDIRECTS {
        let Some(asked) = path else { return Outcome::Refused };
        let answer = match exchange(target, tls, &asked, &headers).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if !answer.status.is_success() && !answer.status.is_redirection() {
            return Outcome::Answered(answer.status);
        }
        let Some(next) = answer.next(target, tls, &asked) else { return Outcome::Success };
        (target, tls, path) = (next.target, next.tls, Some(next.path));
    }
    Outcome::Refused
}

/// What of an answer counts.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    location: Option<HeaderValue>,
}

/// Where a redirect leads.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    target: SocketAddr,
    tls: bool,
    path: PathAndQuery,
}

impl Answer {
    /// The next place, if this one sends to the pod itself; elsewhere the kubelet does not follow, and is content.
    fn next(&self, target: SocketAddr, tls: bool, asked: &PathAndQuery) -> Option<Next> {
        if ![301, 302, 303, 307, 308].contains(&self.status.as_u16()) {
            return None;
        }
        let location = self.location.as_ref()?.to_str().ok()?;
        let without_fragment = location.split('#').next().unwrap_or_default();
        if without_fragment.starts_with("//") {
            return None;
        }
        if let Some(path) = relative(without_fragment, asked) {
            return Some(Next { target, tls, path });
        }
        let uri: Uri = without_fragment.parse().ok()?;
        let tls = *uri.scheme()? == Scheme::HTTPS;
        if !tls && *uri.scheme()? != Scheme::HTTP {
            return None;
        }
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        // INVARIANT: a redirect leads to the pod's own application, never to the sidecar's ports or to another machine.
        let stays = host.parse() == Ok(target.ip()) && !ports::RESERVED.contains(&port);
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        stays.then_some(Next { target: SocketAddr::new(target.ip(), port), tls, path })
    }
}

/// A location without a host, resolved against what was asked (RFC 3986, section 5.2, without dot segments, which the
/// application resolves).
fn relative(location: &str, asked: &PathAndQuery) -> Option<PathAndQuery> {
    if location.contains("://") {
        return None;
    }
    if location.starts_with('/') {
        return location.parse().ok();
    }
    let folder = asked.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    if location.starts_with('?') {
        return format!("{}{location}", asked.path()).parse().ok();
    }
    format!("{folder}/{location}").parse().ok()
}

fn origin_form(path: &str) -> Option<PathAndQuery> {
    let path = path.split('#').next().unwrap_or_default();
    if path.starts_with('/') { path.parse().ok() } else { format!("/{path}").parse().ok() }
}

/// The declared headers, with the kubelet's own where there is none.
fn headers(declared: &[(String, String)], hook: bool) -> Result<HeaderMap, ::http::Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in declared {
        headers.append(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
    }
    let agent = if hook { "kube-lifecycle/1.0" } else { "kube-probe/1.0" };
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
    let accept = headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    if accept.is_empty() {
        headers.remove(ACCEPT);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}

async fn exchange(
    target: SocketAddr,
    tls: bool,
    path: &PathAndQuery,
    headers: &HeaderMap,
) -> Result<Answer, Outcome> {
    let stream = TcpStream::connect(target).await.map_err(|_| Outcome::Unreachable)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = Uri::from(path.clone());
    *request.headers_mut() = headers.clone();
    if !headers.contains_key(HOST) {
        let host = HeaderValue::from_str(&target.to_string()).map_err(|_| Outcome::Refused)?;
        request.headers_mut().insert(HOST, host);
    }
    if tls {
        let stream = tls::connect(stream, target.ip()).await.map_err(|_| Outcome::Refused)?;
        return send(stream, request).await;
    }
    send(stream, request).await
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answer, Outcome>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let settings = http_settings::http1_client();
    let (mut sender, connection) =
        settings.handshake(TokioIo::new(stream)).await.map_err(|_| Outcome::Unreachable)?;
    let asking = async {
        let response: Response<Incoming> =
            sender.send_request(request).await.map_err(|_| Outcome::Refused)?;
        let (head, body) = response.into_parts();
        let location = head.headers.get(LOCATION).cloned();
        // Whether it could be read to its end does not matter.
        drop(Limited::new(body, BODY).collect().await);
        Ok(Answer { status: head.status, location })
    };
    tokio::pin!(asking);
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        // The connection may end first; what it delivered is still there.
        _ = connection => asking.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(status: u16, location: &str, asked: &str) -> Option<Next> {
        let location = Some(HeaderValue::from_str(location).unwrap());
        let answer = Answer { status: StatusCode::from_u16(status).unwrap(), location };
        answer.next("10.0.0.7:8080".parse().unwrap(), false, &asked.parse().unwrap())
    }

    #[test]
    fn redirects_are_followed_within_the_pod_only() {
        let to = |text: &str, tls: bool, path: &str| {
            Some(Next { target: text.parse().unwrap(), tls, path: path.parse().unwrap() })
        };
        assert_eq!(next(302, "/b?c=1", "/a"), to("10.0.0.7:8080", false, "/b?c=1"));
        assert_eq!(next(301, "c", "/a/b"), to("10.0.0.7:8080", false, "/a/c"));
        assert_eq!(next(307, "?x", "/a/b?y"), to("10.0.0.7:8080", false, "/a/b?x"));
        assert_eq!(next(308, "https://10.0.0.7/c#d", "/"), to("10.0.0.7:443", true, "/c"));
        assert_eq!(next(303, "http://10.0.0.7:9090", "/"), to("10.0.0.7:9090", false, "/"));
        for elsewhere in ["http://10.0.0.8:8080/", "//example.org/", "https://example.org", "ftp://10.0.0.7/"]
        {
            assert_eq!(next(302, elsewhere, "/"), None, "{elsewhere}");
        }
        for own in ports::RESERVED {
            assert_eq!(next(302, &format!("http://10.0.0.7:{own}/probe/0"), "/"), None);
        }
        assert_eq!(next(300, "/b", "/a"), None);
        assert_eq!(next(200, "/b", "/a"), None);
    }

    #[test]
    fn headers_are_the_kubelets_unless_declared() {
        let usual = headers(&[], false).unwrap();
        assert_eq!(
            (&usual[USER_AGENT], &usual[ACCEPT]),
            (&"kube-probe/1.0".parse().unwrap(), &"*/*".parse().unwrap())
        );
        let own =
            [("user-agent", "me"), ("Accept", ""), ("Host", "shop.example"), ("X-A", "1"), ("x-a", "2")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let declared = headers(&own, true).unwrap();
        assert_eq!(declared[USER_AGENT], "me");
        assert!(!declared.contains_key(ACCEPT));
        assert_eq!(declared[HOST], "shop.example");
        assert_eq!(declared.get_all("x-a").iter().count(), 2);
        assert!(headers(&[("a b".to_owned(), String::new())], false).is_err());
    }

    #[test]
    fn what_is_no_path_is_not_asked_for() {
        assert_eq!(origin_form("healthz?full=1#x").unwrap(), "/healthz?full=1");
        assert_eq!(origin_form("").unwrap(), "/");
        assert_eq!(origin_form("/a b"), None);
    }
}
