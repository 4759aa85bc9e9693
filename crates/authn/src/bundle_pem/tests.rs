use bailiwick_ca::bundle_pem;
use bailiwick_testkit::{TestAuthority, Validity};
use proptest::prelude::*;

use super::{BundlePemError, bundle_from_pem};

#[test]
fn what_was_written_is_read() {
    let own = TestAuthority::new("cluster.local");
    let next = TestAuthority::valid("cluster.local", Validity::FUTURE);
    let partner = TestAuthority::new("partner.example");
    let mut bundle = own.bundle();
    let roots = vec![own.root_der().clone(), next.root_der().clone()];
    bundle.insert("cluster.local".parse().unwrap(), roots).unwrap();
    bundle.insert("partner.example".parse().unwrap(), vec![partner.root_der().clone()]).unwrap();
    assert_eq!(bundle_from_pem(bundle_pem(&bundle).as_bytes()).unwrap(), bundle);
}

#[test]
fn anything_but_roots_is_refused() {
    assert_eq!(bundle_from_pem(b""), Err(BundlePemError::Empty));
    assert_eq!(bundle_from_pem(b"hello"), Err(BundlePemError::Empty));
    let key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(bundle_from_pem(key), Err(BundlePemError::Pem));
    let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(bundle_from_pem(garbage), Err(BundlePemError::Root { position: 1, .. })));
    let nameless = TestAuthority::naming("cluster.local", "").bundle();
    let refused = bundle_from_pem(bundle_pem(&nameless).as_bytes());
    assert_eq!(refused, Err(BundlePemError::NoTrustDomain { position: 1 }));
}

#[test]
fn h8_a_huge_file_is_refused_at_once() {
    let begun = std::time::Instant::now();
    let huge = "-----BEGIN CERTIFICATE-----\n".repeat(40_000);
    assert_eq!(bundle_from_pem(huge.as_bytes()), Err(BundlePemError::TooLarge { length: huge.len() }));
    assert!(begun.elapsed() < std::time::Duration::from_millis(100));
}

proptest! {
    #[test]
    fn h7_random_text_never_panics(text in "(-----BEGIN CERTIFICATE-----\n)?[A-Za-z0-9+/=\n -]{0,200}(\n-----END CERTIFICATE-----\n)?") {
        prop_assert!(bundle_from_pem(text.as_bytes()).is_err());
    }
}
