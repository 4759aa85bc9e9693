use bailiwick_identity::{Connection, InvalidAuthentication, MtlsMode, PortTrust, Unproven};
use bailiwick_testkit::subject;
use http::HeaderMap;

use super::{CREDENTIAL_HEADERS, RequestRefusal, Unauthenticated, request, would_refuse};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

fn port(mode: MtlsMode) -> PortTrust {
    PortTrust { mode, trust_domains: vec!["cluster.local".parse().unwrap()], audit: false, invalid: None }
}

fn proven() -> Connection {
    subject(WEB).connection().clone()
}

#[test]
fn a_proven_peer_is_the_subject_in_every_mode() {
    for mode in [MtlsMode::Strict, MtlsMode::Permissive, MtlsMode::Disabled] {
        let subject = request(&proven(), &HeaderMap::new(), &port(mode)).unwrap();
        assert_eq!(subject.id().unwrap().as_str(), WEB);
        assert_eq!(subject.principal(), None);
    }
}

#[test]
fn on_a_strict_port_nobody_is_refused_with_a_challenge() {
    let refused =
        request(&Connection::Unproven(Unproven::Plaintext), &HeaderMap::new(), &port(MtlsMode::Strict));
    let Err(RequestRefusal::Unauthenticated(reason)) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, Unauthenticated::Unproven(Unproven::Plaintext));
    http::HeaderValue::from_static(reason.challenge());
    assert!(reason.challenge().contains("bailiwick/1"));
}

#[test]
fn elsewhere_nobody_is_a_subject_with_a_reason() {
    for (mode, reason) in [
        (MtlsMode::Permissive, Unproven::Plaintext),
        (MtlsMode::Permissive, Unproven::ForeignTls),
        (MtlsMode::Disabled, Unproven::Disabled),
    ] {
        let subject = request(&Connection::Unproven(reason), &HeaderMap::new(), &port(mode)).unwrap();
        assert_eq!(subject.unproven(), Some(reason));
        assert_eq!(subject.id(), None);
    }
}

#[test]
fn a_trust_domain_that_is_no_longer_accepted_ends_on_the_next_request() {
    let mut port = port(MtlsMode::Permissive);
    port.trust_domains.clear();
    let refused = request(&proven(), &HeaderMap::new(), &port).unwrap_err();
    let domain = "cluster.local".parse().unwrap();
    assert_eq!(refused, RequestRefusal::Unauthenticated(Unauthenticated::ForeignTrustDomain(domain)));
}

#[test]
fn an_invalid_authentication_answers_everybody_the_same() {
    let mut port = port(MtlsMode::Permissive);
    let invalid = InvalidAuthentication { object: "shop/default".into(), reason: "no issuer".into() };
    port.invalid = Some(invalid.clone());
    for connection in [proven(), Connection::Unproven(Unproven::Plaintext)] {
        let refused = request(&connection, &HeaderMap::new(), &port).unwrap_err();
        assert_eq!(refused, RequestRefusal::Unavailable(invalid.clone()));
        assert!(refused.to_string().contains("`shop/default`"));
    }
}

#[test]
fn no_header_makes_an_identity() {
    let mut headers = HeaderMap::new();
    for name in CREDENTIAL_HEADERS {
        headers.insert(name, "Bearer x".parse().unwrap());
    }
    headers.insert("x-bailiwick-client-id", WEB.parse().unwrap());
    headers.insert("x-forwarded-client-cert", format!("URI={WEB}").parse().unwrap());
    let nobody = Connection::Unproven(Unproven::Plaintext);
    assert_eq!(request(&nobody, &headers, &port(MtlsMode::Permissive)).unwrap().id(), None);
    request(&nobody, &headers, &port(MtlsMode::Strict)).unwrap_err();
}

#[test]
fn in_audit_a_missing_proof_is_reported_and_never_enforced() {
    let mut audited = port(MtlsMode::Permissive);
    audited.audit = true;
    let nobody = Connection::Unproven(Unproven::Plaintext);
    let subject = request(&nobody, &HeaderMap::new(), &audited).unwrap();
    assert_eq!(would_refuse(&subject, &audited), Some(Unauthenticated::Unproven(Unproven::Plaintext)));
    assert_eq!(would_refuse(&subject, &port(MtlsMode::Permissive)), None);
    let proven = request(&proven(), &HeaderMap::new(), &audited).unwrap();
    assert_eq!(would_refuse(&proven, &audited), None);
}
