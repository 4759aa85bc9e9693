use bailiwick_identity::SpiffeId;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SanType, SignatureAlgorithm};

use super::{LARGEST, RequestError, public_key};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

fn web() -> SpiffeId {
    WEB.parse().unwrap()
}

fn request_for(algorithm: &'static SignatureAlgorithm, names: Vec<SanType>) -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    let request = params.serialize_request(&key).unwrap().der().to_vec();
    (key, request)
}

fn request(names: Vec<SanType>) -> Vec<u8> {
    request_for(&rcgen::PKCS_ECDSA_P256_SHA256, names).1
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

#[test]
fn the_key_of_a_good_request_is_taken() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let (key, request) = request_for(algorithm, Vec::new());
        assert_eq!(public_key(&request, &web()).unwrap().der_bytes(), key.der_bytes());
    }
    public_key(&request(vec![uri(WEB)]), &web()).unwrap();
}

#[test]
fn g4_h5_a_request_for_any_other_name_is_refused() {
    let other = "spiffe://cluster.local/ns/shop/sa/admin";
    for names in [
        vec![uri(other)],
        vec![uri(WEB), uri(other)],
        vec![uri(other), uri(WEB)],
        vec![uri(WEB), uri("https://example.com")],
        vec![uri(WEB), uri(WEB)],
        vec![dns("web.shop")],
        vec![uri(WEB), dns("web.shop")],
        vec![SanType::IpAddress("10.0.0.1".parse().unwrap())],
        vec![SanType::Rfc822Name("a@example.com".try_into().unwrap())],
    ] {
        let refused = public_key(&request(names.clone()), &web()).unwrap_err();
        assert!(matches!(refused, RequestError::OtherName { .. }), "{names:?}: {refused}");
    }
}

#[test]
fn h5_the_refusal_names_both_and_cannot_write_lines_into_a_log() {
    let refused = public_key(&request(vec![uri("spiffe://x/\r\nforged")]), &web()).unwrap_err().to_string();
    assert!(refused.contains(WEB) && refused.contains("forged"), "{refused}");
    assert!(!refused.contains(['\r', '\n']), "{refused}");
}

#[test]
fn h5_weak_and_odd_keys_are_refused() {
    for algorithm in [&rcgen::PKCS_ECDSA_P521_SHA512, &rcgen::PKCS_RSA_SHA256] {
        let (_, request) = request_for(algorithm, Vec::new());
        assert_eq!(public_key(&request, &web()).unwrap_err(), RequestError::Key);
    }
}

#[test]
fn h4_a_request_must_be_signed_by_its_own_key() {
    let mut forged = request(Vec::new());
    // The signature is the last thing in it.
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(public_key(&forged, &web()).unwrap_err(), RequestError::Signature);

    // Somebody else's key in a request of one's own.
    let (victim, _) = request_for(&rcgen::PKCS_ECDSA_P256_SHA256, Vec::new());
    let (mine, mut request) = request_for(&rcgen::PKCS_ECDSA_P256_SHA256, Vec::new());
    let own = mine.der_bytes();
    let at = request.windows(own.len()).position(|window| window == own).unwrap();
    request[at..at + own.len()].copy_from_slice(victim.der_bytes());
    assert_eq!(public_key(&request, &web()).unwrap_err(), RequestError::Signature);
}

#[test]
fn h7_h8_large_and_malformed_requests_are_refused_at_once() {
    let begun = std::time::Instant::now();
    let huge = vec![0x30; 64 * 1024 * 1024];
    let refused = public_key(&huge, &web()).unwrap_err();
    assert_eq!(refused, RequestError::TooLarge { length: huge.len() });
    assert_eq!(public_key(&vec![0x30; LARGEST], &web()).unwrap_err(), RequestError::Malformed);
    let deep: Vec<u8> = [0x30, 0x80].iter().copied().cycle().take(LARGEST).collect();
    assert_eq!(public_key(&deep, &web()).unwrap_err(), RequestError::Malformed);
    let trailing = [request(Vec::new()), vec![0]].concat();
    assert_eq!(public_key(&trailing, &web()).unwrap_err(), RequestError::Malformed);
    assert_eq!(public_key(&[], &web()).unwrap_err(), RequestError::Malformed);
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
}

proptest! {
    /// H7: whatever the bytes, the answer is a refusal, never a panic. A changed byte breaks the signature at least.
    #[test]
    fn h7_mutated_requests_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..6),
    ) {
        let (_, good) = request_for(&rcgen::PKCS_ECDSA_P256_SHA256, vec![uri(WEB)]);
        let mut bad = good.clone();
        for (index, change) in flips {
            let index = index.index(bad.len());
            bad[index] ^= change;
        }
        prop_assume!(bad != good);
        if let Ok(key) = public_key(&bad, &web()) {
            // Some bytes of the wrapping are read leniently; then it is still the same proven key.
            let same = good.windows(key.der_bytes().len()).any(|window| window == key.der_bytes());
            prop_assert!(same);
        }
    }

    #[test]
    fn h7_random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1024)) {
        prop_assert!(public_key(&bytes, &web()).is_err());
    }
}
