use std::time::{Duration, SystemTime};

use bailiwick_identity::{KeyPurpose, SpiffeId, TrustDomain, leaf_id};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::IssueError;
use crate::Authority;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn web() -> SpiffeId {
    "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap()
}

fn authority() -> Authority {
    Authority::ephemeral(&domain(), SystemTime::now()).unwrap()
}

fn seconds(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A request that asks for everything it should not have.
fn greedy() -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "spiffe://cluster.local/ns/shop/sa/admin");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let request = params.serialize_request(&key).unwrap().der().to_vec();
    (key, request)
}

#[test]
fn h5_only_the_key_is_taken_from_a_request() {
    let (key, request) = greedy();
    let authority = authority();
    let now = SystemTime::now();
    let issued = authority.issue(&request, &web(), DAY, now).unwrap();

    let leaf = leaf_id(&issued.chain[0]).unwrap();
    assert_eq!(leaf.id(), &web());
    leaf.check_purpose(KeyPurpose::Client).unwrap();
    leaf.check_purpose(KeyPurpose::Server).unwrap();
    assert_eq!((leaf.not_after(), leaf.serial()), (issued.not_after, issued.serial.as_ref()));
    assert_eq!(leaf.not_before(), seconds(now) - 600);
    assert_eq!(leaf.not_after(), seconds(now + DAY));

    let (_, certificate) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    assert_eq!(certificate.public_key().subject_public_key.data.as_ref(), key.der_bytes());
    assert!(!certificate.is_ca());
    assert_eq!(certificate.subject().to_string(), "O=Bailiwick");
    assert_eq!(certificate.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 1);
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_cert_sign());
    let (_, root) = X509Certificate::from_der(authority.root_der()).unwrap();
    certificate.verify_signature(Some(root.public_key())).unwrap();
}

#[test]
fn nothing_lives_longer_than_the_root() {
    let authority = authority();
    let (_, request) = greedy();
    let forever = Duration::from_secs(u64::MAX);
    let issued = authority.issue(&request, &web(), forever, SystemTime::now()).unwrap();
    assert_eq!(issued.not_after, authority.not_after());
}

#[test]
fn outside_the_roots_validity_nothing_is_issued() {
    let authority = authority();
    let (_, request) = greedy();
    let now = SystemTime::now();
    for time in [now + 3660 * DAY, now - 2 * DAY, SystemTime::UNIX_EPOCH] {
        let refused = authority.issue(&request, &web(), DAY, time).unwrap_err();
        assert!(matches!(refused, IssueError::RootNotValid { .. }), "{refused}");
    }
    let refused = authority.issue(&request, &web(), Duration::from_millis(10), now).unwrap_err();
    assert!(matches!(refused, IssueError::Lifetime), "{refused}");
}

#[test]
fn another_trust_domain_is_not_ours_to_name() {
    let (_, request) = greedy();
    let other: SpiffeId = "spiffe://partner.example/ns/shop/sa/web".parse().unwrap();
    let refused = authority().issue(&request, &other, DAY, SystemTime::now()).unwrap_err();
    assert!(matches!(refused, IssueError::TrustDomain { .. }), "{refused}");
}

#[test]
fn serials_are_positive_sixteen_bytes_and_never_the_same() {
    let authority = authority();
    let (_, request) = greedy();
    let mut serials: Vec<_> =
        (0..100).map(|_| authority.issue(&request, &web(), DAY, SystemTime::now()).unwrap().serial).collect();
    assert!(serials.iter().all(|serial| serial.len() == 32 && serial.starts_with(['4', '5', '6', '7'])));
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 100);
}

#[test]
fn the_own_certificate_has_a_new_key_that_is_not_printed() {
    let authority = authority();
    let operator = "spiffe://cluster.local/ns/bailiwick-system/sa/bailiwick-operator".parse().unwrap();
    let own = || authority.issue_own(&operator, DAY, SystemTime::now()).unwrap();
    let (one, two) = (own(), own());
    assert_eq!(leaf_id(&one.issued.chain[0]).unwrap().id(), &operator);
    assert_ne!(one.key.secret_pkcs8_der(), two.key.secret_pkcs8_der());
    let bytes = format!("{:?}", one.key.secret_pkcs8_der().get(..8).unwrap());
    assert!(!format!("{one:?}").contains(bytes.trim_matches(['[', ']'])));
}
