use bailiwick_testkit::{Flaw, TestAuthority};
use proptest::prelude::*;

use super::{KeyPurpose, SvidError, leaf_id};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

fn flawed(flaw: Flaw) -> Vec<u8> {
    TestAuthority::new("cluster.local").issue_flawed(WEB, flaw).leaf_der().to_vec()
}

#[test]
fn a_good_leaf_states_one_identity() {
    let issued = TestAuthority::new("cluster.local").issue(WEB);
    let leaf = leaf_id(issued.leaf_der()).unwrap();
    assert_eq!(leaf.id().as_str(), WEB);
    assert!(leaf.not_before() < leaf.not_after());
    assert!(!leaf.serial().is_empty() && leaf.serial().bytes().all(|byte| byte.is_ascii_hexdigit()));
    leaf.check_purpose(KeyPurpose::Client).unwrap();
    leaf.check_purpose(KeyPurpose::Server).unwrap();
}

#[test]
fn g2_a_purpose_counts_only_when_it_is_named() {
    for (flaw, client, server) in [
        (Flaw::ClientOnly, true, false),
        (Flaw::ServerOnly, false, true),
        (Flaw::EmailOnly, false, false),
        (Flaw::AnyPurpose, false, false),
        (Flaw::NoPurpose, false, false),
    ] {
        let leaf = leaf_id(&flawed(flaw)).unwrap();
        assert_eq!(leaf.check_purpose(KeyPurpose::Client).is_ok(), client, "{flaw:?}");
        assert_eq!(leaf.check_purpose(KeyPurpose::Server).is_ok(), server, "{flaw:?}");
    }
}

#[test]
fn g4_two_uris_are_no_identity() {
    for flaw in [Flaw::SecondUri, Flaw::OtherUriFirst] {
        assert_eq!(leaf_id(&flawed(flaw)), Err(SvidError::ManyUris { count: 2 }));
    }
}

#[test]
fn g5_g20_only_a_uri_is_an_identity() {
    for flaw in [Flaw::NoUri, Flaw::UriInCommonName, Flaw::UriAsDnsName, Flaw::UriAsOtherName] {
        assert_eq!(leaf_id(&flawed(flaw)), Err(SvidError::NoUri), "{flaw:?}");
    }
}

#[test]
fn g8_what_could_sign_certificates_is_no_leaf() {
    assert_eq!(leaf_id(&flawed(Flaw::Authority)), Err(SvidError::Authority));
    assert_eq!(leaf_id(&flawed(Flaw::KeyCertSign)), Err(SvidError::SigningKeyUsage));
    assert_eq!(leaf_id(&flawed(Flaw::CrlSign)), Err(SvidError::SigningKeyUsage));
    assert_eq!(leaf_id(&flawed(Flaw::NoDigitalSignature)), Err(SvidError::NoDigitalSignature));
    let root = TestAuthority::new("cluster.local").as_leaf();
    assert!(leaf_id(root.leaf_der()).is_err());
}

#[test]
fn g16_only_keys_of_known_kinds_are_read() {
    let authority = TestAuthority::new("cluster.local");
    for good in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        leaf_id(authority.issue_for(good, WEB, |_| {}).leaf_der()).unwrap();
    }
    let odd = authority.issue_for(&rcgen::PKCS_ECDSA_P521_SHA512, WEB, |_| {});
    assert_eq!(leaf_id(odd.leaf_der()), Err(SvidError::Key));
}

#[test]
fn g4_a_second_extension_of_a_kind_cannot_say_something_else() {
    // A second subject alternative name with the URI `spiffe://x/y`, and a second extended key usage with nothing.
    let name = [&[0x30, 14, 0x86, 12][..], b"spiffe://x/y"].concat();
    for (kind, content) in [(17, name), (37, vec![0x30, 0])] {
        let twice = TestAuthority::new("cluster.local").issue_from(WEB, |params| {
            params
                .custom_extensions
                .push(rcgen::CustomExtension::from_oid_content(&[2, 5, 29, kind], content));
        });
        assert_eq!(leaf_id(twice.leaf_der()), Err(SvidError::Malformed), "{kind}");
    }
}

#[test]
fn a_leaf_must_say_that_its_key_signs_handshakes() {
    let silent = TestAuthority::new("cluster.local").issue_from(WEB, |params| params.key_usages.clear());
    assert_eq!(leaf_id(silent.leaf_der()), Err(SvidError::NoDigitalSignature));
}

#[test]
fn trailing_bytes_are_malformed() {
    let mut der = TestAuthority::new("cluster.local").issue(WEB).leaf_der().to_vec();
    der.push(0);
    assert_eq!(leaf_id(&der), Err(SvidError::Malformed));
}

proptest! {
    /// G3, G7: a byte that no SPIFFE ID may have, anywhere in the URI, makes it nobody; it is never cut or cleaned.
    #[test]
    fn g3_g7_a_forbidden_byte_anywhere_is_nobody(position in 0..WEB.len(), byte in 0_u8..0x80) {
        let allowed = byte.is_ascii_alphanumeric() || b".-_/:".contains(&byte);
        prop_assume!(!allowed);
        let mut uri = WEB.to_owned();
        uri.insert(position, char::from(byte));
        let issued = TestAuthority::new("cluster.local").issue(&uri);
        prop_assert!(matches!(leaf_id(issued.leaf_der()), Err(SvidError::Id(_))));
    }

    /// H7: whatever the bytes, reading a certificate ends with an answer.
    #[test]
    fn mutated_certificates_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut der = TestAuthority::new("cluster.local").issue(WEB).leaf_der().to_vec();
        for (index, value) in flips {
            let index = index.index(der.len());
            der[index] = value;
        }
        drop(leaf_id(&der));
        drop(crate::issuer(&der));
    }

    #[test]
    fn random_bytes_are_malformed(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert_eq!(leaf_id(&bytes), Err(SvidError::Malformed));
    }
}
