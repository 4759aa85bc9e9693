//! Time, trust and own credentials change under living connections and settings.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bailiwick_authn::{
    AuthnError, Caller, CertificateRefusal, ClientTls, CredentialError, Credentials, ServerTls, TrustError,
    accept, accept_control, connect,
};
use bailiwick_ca::Authority;
use bailiwick_identity::{TrustBundle, leaf_id};
use bailiwick_testkit::{Flaw, TestAuthority, Validity};

use crate::support::{ORDERS, SOON, Side, WEB, domain, id, meet, own_domain, pair};

const OPERATOR: &str = "spiffe://cluster.local/ns/bailiwick-system/sa/bailiwick-operator";

#[tokio::test]
async fn g18_a_connection_ends_with_its_certificate_or_its_root() {
    let authority = TestAuthority::new("cluster.local");
    let server = Side::new(&authority.issue(ORDERS), authority.bundle());
    let client = Side::new(&authority.issue(WEB), authority.bundle());
    let (accepted, connected) = meet(&server, &client, ORDERS).await;
    let now = SystemTime::now();
    for evidence in [accepted.unwrap().evidence, connected.unwrap().evidence] {
        let trust = server.trust.current();
        evidence.still_trusted(&trust, &own_domain(), now).unwrap();
        assert!(evidence.not_after() > 0);

        let reason = |outcome: Result<(), AuthnError>| outcome.unwrap_err().reason();
        let later = now + Duration::from_secs(25 * 3600);
        assert_eq!(reason(evidence.still_trusted(&trust, &own_domain(), later)), "expired");
        assert_eq!(reason(evidence.still_trusted(&trust, &[], now)), "foreign-trust-domain");
    }
}

#[tokio::test]
async fn g18_a_withdrawn_root_is_seen_by_living_and_by_new_connections() {
    let old = TestAuthority::new("cluster.local");
    let new = TestAuthority::new("cluster.local");
    let server = Side::new(&old.issue(ORDERS), old.bundle());
    let client = Side::new(&old.issue(WEB), old.bundle());
    let evidence = meet(&server, &client, ORDERS).await.0.unwrap().evidence;

    let mut changed = server.trust.subscribe();
    let mut both = TrustBundle::default();
    let roots = vec![old.root_der().clone(), new.root_der().clone()];
    both.insert(domain("cluster.local"), roots).unwrap();
    assert!(server.trust.replace(both.clone()).unwrap());
    assert!(!server.trust.replace(both).unwrap(), "the same bundle is no change");
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    let now = SystemTime::now();
    evidence.still_trusted(&server.trust.current(), &own_domain(), now).unwrap();
    meet(&server, &client, ORDERS).await.0.unwrap();

    server.trust.replace(new.bundle()).unwrap();
    assert!(changed.has_changed().unwrap());
    let withdrawn = evidence.still_trusted(&server.trust.current(), &own_domain(), now).unwrap_err();
    assert!(matches!(withdrawn, AuthnError::Certificate(CertificateRefusal::UntrustedChain)));
    let refused = meet(&server, &client, ORDERS).await.0.unwrap_err();
    assert!(matches!(refused, AuthnError::Certificate(CertificateRefusal::UntrustedChain)));
}

#[tokio::test]
async fn renewed_credentials_are_used_by_the_next_handshake() {
    let authority = TestAuthority::new("cluster.local");
    let server = Side::new(&authority.issue(ORDERS), authority.bundle());
    let client = Side::new(&authority.issue(WEB), authority.bundle());
    let (server_tls, client_tls) = (server.server(), client.client());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (near, far) = pair().await;
        let (domains, expected) = (own_domain(), id(ORDERS));
        let (accepted, connected) = tokio::join!(
            accept(near, &server_tls, &domains, SOON),
            connect(far, &client_tls, &expected, SOON)
        );
        let connected = connected.unwrap();
        let serial = accepted.unwrap().connection.peer().unwrap().serial().to_owned();
        assert_eq!(serial, client.credentials.current().unwrap().leaf().serial());
        let server_serial = connected.evidence.leaf().serial().to_owned();
        assert_eq!(server_serial, server.credentials.current().unwrap().leaf().serial());
        seen.push((serial, server_serial, connected.generation));
        client.renew(&authority.issue(WEB));
        server.renew(&authority.issue(ORDERS));
    }
    seen.dedup();
    assert_eq!(seen.len(), 3, "each renewal is another certificate and another pool key");
}

#[tokio::test]
async fn one_client_expects_each_server_anew() {
    let authority = TestAuthority::new("cluster.local");
    let client = Side::new(&authority.issue(WEB), authority.bundle()).client();
    let server = Side::new(&authority.issue(ORDERS), authority.bundle()).server();
    for (expected, good) in [(ORDERS, true), (WEB, false), (ORDERS, true)] {
        let (near, far) = pair().await;
        let (domains, expected) = (own_domain(), id(expected));
        let (_, connected) =
            tokio::join!(accept(near, &server, &domains, SOON), connect(far, &client, &expected, SOON));
        assert_eq!(connected.is_ok(), good);
    }
}

#[tokio::test]
async fn one_server_accepts_other_domains_on_other_ports() {
    let authority = TestAuthority::new("cluster.local");
    let partner = TestAuthority::new("partner.example");
    let mut bundle = authority.bundle();
    bundle.insert(domain("partner.example"), vec![partner.root_der().clone()]).unwrap();
    let server = Side::new(&authority.issue(ORDERS), bundle.clone()).server();
    let caller = partner.issue("spiffe://partner.example/ns/shop/sa/web");
    let client = Side::new(&caller, bundle).client();
    for (domains, good) in
        [(own_domain(), false), (vec![domain("partner.example")], true), (own_domain(), false)]
    {
        let (near, far) = pair().await;
        let expected = id(ORDERS);
        let (accepted, _) =
            tokio::join!(accept(near, &server, &domains, SOON), connect(far, &client, &expected, SOON));
        assert_eq!(accepted.is_ok(), good);
    }
}

#[tokio::test]
async fn the_control_channel_lets_a_new_workload_in_for_its_first_certificate() {
    let now = SystemTime::now();
    let authority = Authority::ephemeral(&domain("cluster.local"), now).unwrap();
    let own = authority.issue_own(&id(OPERATOR), Duration::from_secs(3600), now).unwrap();
    let operator = Side::without_certificate(authority.bundle());
    operator.credentials.replace(Credentials::new(own.issued.chain, own.key.into()).unwrap());
    let server = ServerTls::control(Arc::clone(&operator.credentials), Arc::clone(&operator.trust));

    let workload = Side::without_certificate(authority.bundle());
    let client = ClientTls::control(Arc::clone(&workload.credentials), Arc::clone(&workload.trust));
    let meet = async || {
        let (near, far) = pair().await;
        let (domains, expected) = (own_domain(), id(OPERATOR));
        tokio::join!(accept_control(near, &server, &domains, SOON), connect(far, &client, &expected, SOON))
    };
    let (accepted, connected) = meet().await;
    assert!(matches!(accepted.unwrap().caller, Caller::FirstContact));
    let connected = connected.unwrap();
    assert_eq!(connected.generation, 0);
    assert_eq!(connected.stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));

    let own = authority.issue_own(&id(WEB), Duration::from_secs(3600), now).unwrap();
    workload.credentials.replace(Credentials::new(own.issued.chain, own.key.into()).unwrap());
    let (accepted, connected) = meet().await;
    let Caller::Peer(peer, _) = accepted.unwrap().caller else { panic!("a peer") };
    assert_eq!(peer.id(), &id(WEB));
    connected.unwrap();

    // A certificate that is presented must be good.
    workload.renew(&TestAuthority::new("cluster.local").issue(WEB));
    let (accepted, _) = meet().await;
    assert_eq!(accepted.unwrap_err().reason(), "untrusted-chain");

    // After a long suspend: an expired certificate is not presented, so that a token can get a new one.
    workload.renew(&TestAuthority::new("cluster.local").issue_valid(WEB, Validity::EXPIRED));
    let (accepted, _) = meet().await;
    assert!(matches!(accepted.unwrap().caller, Caller::FirstContact));
}

#[tokio::test]
async fn a_first_contact_expects_exactly_the_operator() {
    let authority = TestAuthority::new("cluster.local");
    let imposter = Side::new(&authority.issue(WEB), authority.bundle());
    let server = ServerTls::control(Arc::clone(&imposter.credentials), Arc::clone(&imposter.trust));
    let workload = Side::without_certificate(authority.bundle());
    let client = ClientTls::control(Arc::clone(&workload.credentials), Arc::clone(&workload.trust));
    let (near, far) = pair().await;
    let (domains, expected) = (own_domain(), id(OPERATOR));
    let (_, connected) =
        tokio::join!(accept_control(near, &server, &domains, SOON), connect(far, &client, &expected, SOON));
    assert_eq!(connected.unwrap_err().reason(), "unexpected-server");
}

#[test]
fn a_bad_root_is_never_believed_and_the_old_bundle_stays() {
    let good = TestAuthority::new("cluster.local");
    let side = Side::without_certificate(good.bundle());
    let bundle = |root: &[u8]| TrustBundle::of(domain("cluster.local"), Arc::from(root));
    let leaf = good.issue(WEB);
    for bad in [
        bundle(b"garbage"),
        bundle(leaf.leaf_der()),
        // G9: a root that names a workload.
        TestAuthority::naming("cluster.local", WEB).bundle(),
    ] {
        assert!(matches!(side.trust.replace(bad), Err(TrustError::Root { position: 1, .. })));
    }
    let other = bundle(TestAuthority::new("partner.example").root_der());
    assert!(matches!(side.trust.replace(other), Err(TrustError::OtherDomain { .. })));
    assert_eq!(side.trust.current().bundle(), &good.bundle());
}

#[test]
fn h9_a_certificate_for_another_key_or_without_identity_is_no_credential() {
    let authority = TestAuthority::new("cluster.local");
    let (mine, other) = (authority.issue(WEB), authority.issue(WEB));
    let refused = Credentials::new(other.chain, mine.key_der()).unwrap_err();
    assert_eq!(refused, CredentialError::KeyMismatch);
    let flawed = authority.issue_flawed(WEB, Flaw::SecondUri);
    assert!(matches!(
        Credentials::new(flawed.chain.clone(), flawed.key_der()),
        Err(CredentialError::Leaf(_))
    ));
    assert_eq!(Credentials::new(Vec::new(), mine.key_der()).unwrap_err(), CredentialError::Empty);
    assert!(leaf_id(mine.leaf_der()).is_ok());
}

#[test]
fn a_key_is_never_printed() {
    let authority = TestAuthority::new("cluster.local");
    let issued = authority.issue(WEB);
    let credentials = Credentials::new(issued.chain.clone(), issued.key_der()).unwrap();
    let printed = format!("{credentials:?}");
    assert!(printed.contains("generation") && !printed.contains("key"), "{printed}");
}
