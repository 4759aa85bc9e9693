use std::time::{Duration, SystemTime};

use bailiwick_identity::{SvidError, TrustDomain, leaf_id};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, SanType,
    SignatureAlgorithm,
};

use super::{GivenError, GivenPem};
use crate::{Authority, KeyedPem};

fn domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

struct Made {
    pem: String,
    key: KeyPair,
    params: CertificateParams,
}

fn params(name: &str, uri: Option<&str>, path_length: Option<u8>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
    params.not_after = (SystemTime::now() + Duration::from_secs(3600)).into();
    params.subject_alt_names = uri.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())).collect();
    params.is_ca =
        IsCa::Ca(path_length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn root_of(params: CertificateParams, algorithm: &'static SignatureAlgorithm) -> Made {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Made { pem, key, params }
}

fn root() -> Made {
    root_of(params("root", Some("spiffe://cluster.local"), None), &PKCS_ECDSA_P256_SHA256)
}

fn below(above: &Made, params: CertificateParams) -> Made {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let issuer = Issuer::from_params(&above.params, &above.key);
    let pem = params.signed_by(&key, &issuer).unwrap().pem();
    Made { pem, key, params }
}

fn load(certificates: &str, key: &str, root: Option<&str>) -> Result<Authority, GivenError> {
    let given = GivenPem {
        certificates: certificates.as_bytes(),
        key: key.as_bytes(),
        root: root.map(str::as_bytes),
    };
    Authority::from_pem(given, &domain(), SystemTime::now())
}

fn chain_of(authority: &Authority) -> usize {
    let id = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    let own = authority.issue_own(&id, Duration::from_secs(600), SystemTime::now()).unwrap();
    assert_eq!(leaf_id(&own.issued.chain[0]).unwrap().id(), &id);
    own.issued.chain.len()
}

#[test]
fn what_was_made_for_a_secret_loads_again() {
    let KeyedPem { certificate, key } = Authority::make_pem(&domain(), SystemTime::now()).unwrap();
    let authority = load(&certificate, &key, Some(&certificate)).unwrap();
    assert_eq!(chain_of(&authority), 1);
    assert!(!format!("{authority:?}").contains("PRIVATE"));
    assert_eq!(crate::bundle_pem(&authority.bundle()).replace('\r', ""), certificate.replace('\r', ""));
}

#[test]
fn keys_of_every_kind_that_sidecars_believe_sign() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let made = root_of(params("root", Some("spiffe://cluster.local"), Some(0)), algorithm);
        assert_eq!(chain_of(&load(&made.pem, &made.key.serialize_pem(), None).unwrap()), 1);
    }
    let made = root_of(params("root", Some("spiffe://cluster.local"), None), &PKCS_ECDSA_P521_SHA512);
    assert!(load(&made.pem, &made.key.serialize_pem(), None).is_err());
}

#[test]
fn an_intermediate_is_sent_with_every_certificate_and_the_root_is_not() {
    let root = root();
    let upper = below(&root, params("upper", None, None));
    let lower = below(&upper, params("lower", Some("spiffe://cluster.local"), Some(0)));
    let key = lower.key.serialize_pem();
    let chain = format!("{}{}", lower.pem, upper.pem);
    let authority = load(&chain, &key, Some(&root.pem)).unwrap();
    assert_eq!(chain_of(&authority), 3);
    // The root may also end `tls.crt` itself.
    assert_eq!(chain_of(&load(&format!("{chain}{}", root.pem), &key, None).unwrap()), 3);
    let out_of_order = format!("{}{}", upper.pem, lower.pem);
    assert_eq!(load(&out_of_order, &key, Some(&root.pem)).unwrap_err(), GivenError::KeyMismatch);
    assert_eq!(load(&lower.pem, &key, Some(&root.pem)).unwrap_err(), GivenError::NotSigned { position: 1 });
    assert_eq!(load(&chain, &key, None).unwrap_err(), GivenError::NoRoot);
    assert_eq!(load(&chain, &key, Some(&upper.pem)).unwrap_err(), GivenError::NoRoot);
    let two = format!("{}{}", root.pem, self::root().pem);
    assert_eq!(load(&chain, &key, Some(&two)).unwrap_err(), GivenError::NoRoot);
    assert!(matches!(
        load(&chain, &key, Some(&self::root().pem)).unwrap_err(),
        GivenError::NotSigned { position: 2 }
    ));
}

#[test]
fn a_wrong_authority_never_signs() {
    let good = root();
    let key = good.key.serialize_pem();
    let refused = |certificates: &str, key: &str| load(certificates, key, None).unwrap_err();
    assert_eq!(refused("", &key), GivenError::Certificates { field: "tls.crt" });
    assert_eq!(refused("garbage", &key), GivenError::Certificates { field: "tls.crt" });
    assert_eq!(refused(&good.pem.repeat(9), &key), GivenError::Certificates { field: "tls.crt" });
    assert_eq!(refused(&"A".repeat(900_000), &key), GivenError::Certificates { field: "tls.crt" });
    assert_eq!(refused(&format!("{}{key}", good.pem), &key), GivenError::Certificates { field: "tls.crt" });
    assert_eq!(refused(&good.pem, ""), GivenError::Key);
    assert_eq!(refused(&good.pem, &good.pem), GivenError::Key);
    assert_eq!(refused(&good.pem, &root().key.serialize_pem()), GivenError::KeyMismatch);

    for (uri, found) in [(None, ""), (Some("spiffe://other.example"), "other.example")] {
        let made = root_of(params("root", uri, None), &PKCS_ECDSA_P256_SHA256);
        let error = refused(&made.pem, &made.key.serialize_pem());
        assert_eq!(error, GivenError::TrustDomain { found: found.to_owned(), wanted: domain() });
        assert!(error.to_string().contains("spiffe://cluster.local"), "{error}");
    }
    let mut leaf = params("root", Some("spiffe://cluster.local"), None);
    leaf.is_ca = IsCa::ExplicitNoCa;
    let leaf = root_of(leaf, &PKCS_ECDSA_P256_SHA256);
    assert_eq!(
        refused(&leaf.pem, &leaf.key.serialize_pem()),
        GivenError::Certificate { field: "tls.crt", position: 1, source: SvidError::NotAuthority }
    );
    for (from, until) in [(-7200_i64, -60_i64), (60, 7200)] {
        let at = |seconds: i64| time(seconds);
        let mut params = params("root", Some("spiffe://cluster.local"), None);
        (params.not_before, params.not_after) = (at(from).into(), at(until).into());
        let made = root_of(params, &PKCS_ECDSA_P256_SHA256);
        assert!(matches!(refused(&made.pem, &made.key.serialize_pem()), GivenError::NotValid { .. }));
    }
}

#[test]
fn a_path_length_or_another_domain_in_between_is_refused() {
    let short = root_of(params("root", Some("spiffe://cluster.local"), Some(0)), &PKCS_ECDSA_P256_SHA256);
    let lower = below(&short, params("lower", None, None));
    let key = lower.key.serialize_pem();
    assert_eq!(load(&lower.pem, &key, Some(&short.pem)).unwrap_err(), GivenError::PathLength);
    let root = root();
    let foreign = below(&root, params("lower", Some("spiffe://other.example"), None));
    let error = load(&foreign.pem, &foreign.key.serialize_pem(), Some(&root.pem)).unwrap_err();
    assert!(matches!(error, GivenError::TrustDomain { found, .. } if found == "other.example"));
    // Nothing that is issued outlives the first of the chain to end.
    let mut soon = params("lower", None, None);
    soon.not_after = time(100).into();
    let soon = below(&root, soon);
    let authority = load(&soon.pem, &soon.key.serialize_pem(), Some(&root.pem)).unwrap();
    let id = "spiffe://cluster.local/ns/a/sa/b".parse().unwrap();
    let own = authority.issue_own(&id, Duration::from_secs(86_400), SystemTime::now()).unwrap();
    assert!(own.issued.not_after <= authority.not_after());
}

fn time(seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
}
