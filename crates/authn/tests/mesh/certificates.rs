//! Which callers' certificates are refused, with which reason, and which alert they see.

use bailiwick_authn::{AuthnError, CertificateRefusal};
use bailiwick_identity::{Connection, KeyPurpose, SvidError, TrustBundle};
use bailiwick_testkit::{Flaw, TestAuthority, TestCredentials, Validity};
use rcgen::{CertificateParams, CustomExtension, KeyUsagePurpose};

use crate::support::{ORDERS, Side, WEB, domain, knock, mesh_client, raw_client};

/// A caller's certificate meets a server that believes `bundle`; the refusal and the alert.
async fn refused_by(bundle: TrustBundle, credentials: &TestCredentials) -> (CertificateRefusal, String) {
    let authority = TestAuthority::new("cluster.local");
    let server = Side::new(&authority.issue(ORDERS), bundle);
    let (accepted, seen) = knock(&server, mesh_client(credentials)).await;
    match accepted {
        Err(AuthnError::Certificate(refusal)) => (refusal, seen.alert.unwrap()),
        other => panic!("expected a refused certificate, got {other:?}"),
    }
}

async fn refused(authority: &TestAuthority, credentials: &TestCredentials) -> (CertificateRefusal, String) {
    refused_by(authority.bundle(), credentials).await
}

async fn accepted(bundle: TrustBundle, credentials: &TestCredentials) {
    let authority = TestAuthority::new("cluster.local");
    let server = Side::new(&authority.issue(ORDERS), bundle);
    let (accepted, seen) = knock(&server, mesh_client(credentials)).await;
    assert_eq!(seen.alert, None);
    let Connection::Peer(peer) = accepted.unwrap().connection else { panic!("a peer") };
    assert_eq!(peer.id().as_str(), WEB);
}

#[tokio::test]
async fn a_good_certificate_is_a_proven_peer() {
    let authority = TestAuthority::new("cluster.local");
    accepted(authority.bundle(), &authority.issue(WEB)).await;
    accepted(authority.bundle(), &authority.intermediate().issue(WEB)).await;
    accepted(authority.bundle(), &authority.intermediate().intermediate().issue(WEB)).await;
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        accepted(authority.bundle(), &authority.issue_for(algorithm, WEB, |_| {})).await;
    }
}

#[tokio::test]
async fn a_root_that_names_no_trust_domain_serves_the_domain_of_its_bundle() {
    let authority = TestAuthority::naming("cluster.local", "");
    accepted(authority.bundle(), &authority.issue(WEB)).await;
}

#[tokio::test]
async fn no_certificate_is_refused_and_told_so() {
    let authority = TestAuthority::new("cluster.local");
    let server = Side::new(&authority.issue(ORDERS), authority.bundle());
    let (accepted, seen) = knock(&server, raw_client(None, &[bailiwick_authn::ALPN])).await;
    let error = accepted.unwrap_err();
    assert_eq!(error.reason(), "no-certificate");
    assert_eq!(seen.alert.as_deref(), Some("certificate_required"));
}

#[tokio::test]
async fn g2_a_certificate_for_another_purpose_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    for flaw in [Flaw::ServerOnly, Flaw::EmailOnly, Flaw::AnyPurpose, Flaw::NoPurpose] {
        let (refusal, alert) = refused(&authority, &authority.issue_flawed(WEB, flaw)).await;
        assert_eq!(refusal, CertificateRefusal::Leaf(SvidError::Purpose(KeyPurpose::Client)), "{flaw:?}");
        assert_eq!(alert, "unsupported_certificate");
    }
    accepted(authority.bundle(), &authority.issue_flawed(WEB, Flaw::ClientOnly)).await;
}

#[tokio::test]
async fn g3_g6_g7_an_identity_that_is_no_spiffe_id_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    for uri in [
        "spiffe://cluster.local/ns/a/sa/b\0.evil",
        "spiffe://cluster.local/ns/a/sa/b\r\nx-role: admin",
        "SPIFFE://cluster.local/ns/a/sa/b",
        "spiffe://Cluster.local/ns/a/sa/b",
        "spiffe://cluster.local/ns/a/sa/%62",
        "spiffe://cluster.local//ns/a/sa/b",
        "spiffe://cluster.local/ns/a/./sa/b",
        "spiffe://cluster.local/ns/a/../sa/b",
        "spiffe://cluster.local/ns/a/sa/b/",
        "spiffe://cluster.local/",
        "spiffe://cluster.local",
        "spiffe://user@cluster.local/ns/a/sa/b",
        "spiffe://cluster.local:443/ns/a/sa/b",
        "spiffe://cluster.local/ns/a/sa/b?x",
        "spiffe://cluster.local/ns/a/sa/b#x",
        "spiffe://[::1]/ns/a/sa/b",
        "https://cluster.local/ns/a/sa/b",
    ] {
        let (refusal, alert) = refused(&authority, &authority.issue(uri)).await;
        assert!(matches!(refusal, CertificateRefusal::Leaf(SvidError::Id(_))), "{uri:?}: {refusal:?}");
        assert_eq!(alert, "certificate_unknown");
    }
}

#[tokio::test]
async fn g4_two_uris_are_refused_in_either_order() {
    let authority = TestAuthority::new("cluster.local");
    for flaw in [Flaw::SecondUri, Flaw::OtherUriFirst] {
        let (refusal, _) = refused(&authority, &authority.issue_flawed(WEB, flaw)).await;
        assert_eq!(refusal, CertificateRefusal::Leaf(SvidError::ManyUris { count: 2 }), "{flaw:?}");
    }
}

#[tokio::test]
async fn g5_g20_an_identity_that_is_not_a_uri_is_none() {
    let authority = TestAuthority::new("cluster.local");
    for flaw in [Flaw::NoUri, Flaw::UriInCommonName, Flaw::UriAsDnsName, Flaw::UriAsOtherName] {
        let (refusal, _) = refused(&authority, &authority.issue_flawed(WEB, flaw)).await;
        assert_eq!(refusal, CertificateRefusal::Leaf(SvidError::NoUri), "{flaw:?}");
    }
}

#[tokio::test]
async fn g8_a_leaf_never_signs_and_an_authority_is_no_leaf() {
    let authority = TestAuthority::new("cluster.local");
    let below = authority.issue_below_leaf(ORDERS, WEB);
    let (refusal, _) = refused(&authority, &below).await;
    assert_eq!(refusal, CertificateRefusal::Intermediate(SvidError::NotAuthority));
    for (flaw, expected) in [
        (Flaw::Authority, SvidError::Authority),
        (Flaw::KeyCertSign, SvidError::SigningKeyUsage),
        (Flaw::CrlSign, SvidError::SigningKeyUsage),
        (Flaw::NoDigitalSignature, SvidError::NoDigitalSignature),
    ] {
        let (refusal, _) = refused(&authority, &authority.issue_flawed(WEB, flaw)).await;
        assert_eq!(refusal, CertificateRefusal::Leaf(expected), "{flaw:?}");
    }
}

#[tokio::test]
async fn g9_an_intermediate_with_a_workload_name_or_beyond_its_length_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    let named = authority.intermediate_from(ORDERS, Validity::GOOD, |_| {});
    let (refusal, _) = refused(&authority, &named.issue(WEB)).await;
    assert_eq!(refusal, CertificateRefusal::Intermediate(SvidError::AuthorityName));

    let own = "spiffe://cluster.local";
    let last = authority.intermediate_from(own, Validity::GOOD, TestAuthority::without_path);
    accepted(authority.bundle(), &last.issue(WEB)).await;
    let (refusal, alert) = refused(&authority, &last.intermediate().issue(WEB)).await;
    assert_eq!((refusal, alert.as_str()), (CertificateRefusal::UntrustedChain, "unknown_ca"));

    let unsigning = authority.intermediate_from(own, Validity::GOOD, |params: &mut CertificateParams| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    // What was signed is not the question: the library refuses to sign with such an issuer, so the good leaf of
    // another authority is sent with it.
    let mut stray = authority.issue(WEB);
    stray.chain.push(unsigning.certificate_der().to_vec());
    let (refusal, _) = refused(&authority, &stray).await;
    assert_eq!(refusal, CertificateRefusal::Intermediate(SvidError::NotAuthority));
}

#[tokio::test]
async fn g9_a_root_presented_as_a_leaf_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    let (refusal, _) = refused(&authority, &authority.as_leaf()).await;
    assert_eq!(refusal.reason(), "authority");
}

#[tokio::test]
async fn g10_what_is_not_valid_now_is_refused_leaf_intermediate_and_root() {
    let own = "spiffe://cluster.local";
    for validity in [Validity::EXPIRED, Validity::FUTURE] {
        let good = TestAuthority::new("cluster.local");
        let root = TestAuthority::valid("cluster.local", validity);
        for (authority, credentials) in [
            (&good, good.issue_valid(WEB, validity)),
            (&good, good.intermediate_from(own, validity, |_| {}).issue(WEB)),
            (&root, root.issue(WEB)),
            (&root, root.intermediate().issue(WEB)),
        ] {
            let (refusal, alert) = refused(authority, &credentials).await;
            if validity == Validity::EXPIRED {
                assert!(matches!(refusal, CertificateRefusal::Expired { .. }), "{refusal:?}");
            } else {
                assert!(matches!(refusal, CertificateRefusal::NotYetValid { .. }), "{refusal:?}");
            }
            assert_eq!(alert, "certificate_expired");
        }
    }
}

#[tokio::test]
async fn g10_an_expired_root_does_not_spoil_a_good_one() {
    let authority = TestAuthority::new("cluster.local");
    let old = TestAuthority::valid("cluster.local", Validity::EXPIRED);
    let roots = vec![old.root_der().clone(), authority.root_der().clone()];
    let mut bundle = TrustBundle::default();
    bundle.insert(domain("cluster.local"), roots).unwrap();
    accepted(bundle, &authority.issue(WEB)).await;
}

#[tokio::test]
async fn g11_foreign_root_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    let foreign = TestAuthority::new("cluster.local");
    let (refusal, alert) = refused(&authority, &foreign.issue(WEB)).await;
    assert_eq!((refusal, alert.as_str()), (CertificateRefusal::UntrustedChain, "unknown_ca"));
    // Nor does it help to send the foreign root along.
    let mut with_root = foreign.issue(WEB);
    with_root.chain.push(foreign.root_der().to_vec());
    let (refusal, _) = refused(&authority, &with_root).await;
    assert_eq!(refusal, CertificateRefusal::UntrustedChain);
}

#[tokio::test]
async fn g11_one_domains_authority_cannot_vouch_for_anothers_identities() {
    let own = TestAuthority::new("cluster.local");
    let partner = TestAuthority::new("partner.example");
    let mut bundle = own.bundle();
    bundle.insert(domain("partner.example"), vec![partner.root_der().clone()]).unwrap();

    // Their root, our name: verified against our roots only.
    let (refusal, _) = refused_by(bundle.clone(), &partner.issue(WEB)).await;
    assert_eq!(refusal, CertificateRefusal::UntrustedChain);
    // Our root, their name: their domain has roots here, but this port does not accept it.
    let theirs = "spiffe://partner.example/ns/shop/sa/web";
    for credentials in [own.issue(theirs), partner.issue(theirs)] {
        let (refusal, _) = refused_by(bundle.clone(), &credentials).await;
        assert!(matches!(refusal, CertificateRefusal::ForeignTrustDomain { .. }), "{refusal:?}");
        assert_eq!(refusal.reason(), "foreign-trust-domain");
    }
    // An intermediate of ours that names their domain.
    let odd = own.intermediate_from("spiffe://partner.example", Validity::GOOD, |_| {});
    let (refusal, _) = refused_by(bundle, &odd.issue(WEB)).await;
    assert_eq!(refusal, CertificateRefusal::Intermediate(SvidError::AuthorityName));
}

/// `permitted: URI <host>` as DER; the library that makes test certificates has no such kind.
fn uri_constraint(host: &str) -> CustomExtension {
    let wrap = |tag: u8, inner: &[u8]| [&[tag, u8::try_from(inner.len()).unwrap()], inner].concat();
    let constraints = wrap(0x30, &wrap(0xa0, &wrap(0x30, &wrap(0x86, host.as_bytes()))));
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], constraints);
    extension.set_criticality(true);
    extension
}

#[tokio::test]
async fn g12_name_constraints_on_uris_are_enforced_or_the_chain_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    let constrained = authority.intermediate_from("spiffe://cluster.local", Validity::GOOD, |params| {
        params.custom_extensions.push(uri_constraint("other.example"));
    });
    let (refusal, _) = refused(&authority, &constrained.issue(WEB)).await;
    assert_eq!(refusal, CertificateRefusal::UntrustedChain);
}

#[tokio::test]
async fn g12_name_constraints_on_dns_names_are_enforced() {
    let authority = TestAuthority::new("cluster.local");
    let constrained = authority.intermediate_from("spiffe://cluster.local", Validity::GOOD, |params| {
        TestAuthority::constrained_to(params, "inside.example");
    });
    let with_dns = |name: &str| {
        let name = rcgen::SanType::DnsName(name.try_into().unwrap());
        constrained.issue_from(WEB, |params| params.subject_alt_names.push(name))
    };
    let (refusal, _) = refused(&authority, &with_dns("outside.example")).await;
    assert_eq!(refusal, CertificateRefusal::UntrustedChain);
    accepted(authority.bundle(), &with_dns("web.inside.example")).await;
}

#[tokio::test]
async fn g16_long_chains_and_odd_keys_are_refused() {
    let authority = TestAuthority::new("cluster.local");
    let mut long = authority.issue(WEB);
    while long.chain.len() <= 10 {
        long.chain.push(authority.root_der().to_vec());
    }
    let (refusal, _) = refused(&authority, &long).await;
    assert_eq!(refusal.reason(), "chain-too-long");

    let mut large = authority.issue(WEB);
    large.chain.push(vec![0x30; 65 * 1024 / 2]);
    large.chain.push(vec![0x30; 65 * 1024 / 2]);
    let server = Side::new(&authority.issue(ORDERS), authority.bundle());
    let (accepted, _) = knock(&server, mesh_client(&large)).await;
    accepted.unwrap_err();

    // We do not offer the signature of a P-521 key, so its holder has nothing to present.
    let odd = authority.issue_for(&rcgen::PKCS_ECDSA_P521_SHA512, WEB, |_| {});
    let (accepted, _) = knock(&server, mesh_client(&odd)).await;
    assert_eq!(accepted.unwrap_err().reason(), "no-certificate");
}

#[tokio::test]
async fn a_certificate_without_its_key_proves_nothing() {
    let authority = TestAuthority::new("cluster.local");
    let server = Side::new(&authority.issue(ORDERS), authority.bundle());
    let stolen = TestCredentials { chain: authority.issue(WEB).chain, key: authority.issue(WEB).key };
    let (accepted, seen) = knock(&server, mesh_client(&stolen)).await;
    assert_eq!(accepted.unwrap_err().reason(), "key-not-proven");
    assert_eq!(seen.alert.as_deref(), Some("decrypt_error"));
}

#[tokio::test]
async fn an_unknown_critical_extension_is_refused() {
    let authority = TestAuthority::new("cluster.local");
    let (refusal, _) = refused(&authority, &authority.issue_flawed(WEB, Flaw::CriticalExtension)).await;
    assert_eq!(refusal, CertificateRefusal::Leaf(SvidError::CriticalExtension));
}
