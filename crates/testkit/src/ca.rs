//! A certificate authority that also makes every kind of bad certificate.
#![expect(clippy::expect_used, reason = "test code: a failure is the report")]

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bailiwick_identity::{TrustBundle, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, OtherNameValue,
    PKCS_ECDSA_P256_SHA256, SanType, SignatureAlgorithm, date_time_ymd,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const HOUR: i64 = 3600;

/// When a certificate is valid, in seconds relative to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Start.
    pub from: i64,
    /// End.
    pub until: i64,
}

impl Validity {
    /// From an hour ago for a day.
    pub const GOOD: Self = Self { from: -HOUR, until: 24 * HOUR };
    /// Ended a minute ago.
    pub const EXPIRED: Self = Self { from: -2 * HOUR, until: -60 };
    /// Starts in five minutes.
    pub const FUTURE: Self = Self { from: 300, until: 24 * HOUR };
}

/// What is wrong with a leaf certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Its validity ended.
    Expired,
    /// Its validity has not started.
    NotYetValid,
    /// A second SPIFFE ID, after the first.
    SecondUri,
    /// A URI of another scheme before the SPIFFE ID.
    OtherUriFirst,
    /// No subject alternative name.
    NoUri,
    /// The SPIFFE ID is the common name.
    UriInCommonName,
    /// The SPIFFE ID is a DNS name.
    UriAsDnsName,
    /// The SPIFFE ID is an otherName.
    UriAsOtherName,
    /// The leaf says that it is an authority.
    Authority,
    /// Its key may sign certificates.
    KeyCertSign,
    /// Its key may sign revocation lists.
    CrlSign,
    /// Its key may not sign handshakes.
    NoDigitalSignature,
    /// Only for callers.
    ClientOnly,
    /// Only for servers.
    ServerOnly,
    /// Only for mail.
    EmailOnly,
    /// For any purpose, which names none.
    AnyPurpose,
    /// No extended key usage.
    NoPurpose,
    /// A critical extension that nobody knows.
    CriticalExtension,
}

/// A chain and its key, in DER.
#[derive(Clone)]
pub struct TestCredentials {
    /// Certificates, the leaf first, without the root.
    pub chain: Vec<Vec<u8>>,
    /// The private key, PKCS#8.
    pub key: Vec<u8>,
}

impl fmt::Debug for TestCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TestCredentials")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

impl TestCredentials {
    /// The leaf certificate.
    ///
    /// # Panics
    /// When the chain is empty.
    #[must_use]
    pub fn leaf_der(&self) -> &[u8] {
        self.chain.first().expect("a chain has a leaf")
    }

    /// The private key, as the TLS library takes it.
    #[must_use]
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()))
    }
}

/// An authority of a trust domain: a root, or an intermediate below one.
pub struct TestAuthority {
    domain: TrustDomain,
    certificate: Arc<[u8]>,
    root: Arc<[u8]>,
    // Intermediates between this authority's leaves and the root, this one first.
    intermediates: Vec<Vec<u8>>,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for TestAuthority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TestAuthority").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl TestAuthority {
    /// A good root.
    ///
    /// # Panics
    /// When the text is no trust domain.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self::valid(domain, Validity::GOOD)
    }

    /// A root with another validity.
    ///
    /// # Panics
    /// When the text is no trust domain.
    #[must_use]
    pub fn valid(domain: &str, validity: Validity) -> Self {
        Self::root(domain, authority_params(&format!("spiffe://{domain}"), validity))
    }

    /// A root that names this URI instead of its trust domain.
    ///
    /// # Panics
    /// When the text is no trust domain.
    #[must_use]
    pub fn naming(domain: &str, uri: &str) -> Self {
        Self::root(domain, authority_params(uri, Validity::GOOD))
    }

    fn root(domain: &str, params: CertificateParams) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let certificate: Arc<[u8]> = Arc::from(params.self_signed(&key).expect("a root").der().as_ref());
        Self {
            domain: domain.parse().expect("a trust domain"),
            root: Arc::clone(&certificate),
            certificate,
            intermediates: Vec::new(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A good intermediate below this authority.
    #[must_use]
    pub fn intermediate(&self) -> Self {
        self.intermediate_from(&format!("spiffe://{}", self.domain), Validity::GOOD, |_| {})
    }

    /// An intermediate that names a URI, is valid as told, and is changed before it is signed: see
    /// [`Self::without_path`] and [`Self::constrained_to`].
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn intermediate_from(
        &self,
        uri: &str,
        validity: Validity,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = authority_params(uri, validity);
        // Names tell issuers apart while a path is built.
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, format!("{}", self.intermediates.len() + 1));
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("an intermediate");
        let mut intermediates = vec![certificate.der().to_vec()];
        intermediates.extend(self.intermediates.iter().cloned());
        Self {
            domain: self.domain.clone(),
            certificate: Arc::from(certificate.der().as_ref()),
            root: Arc::clone(&self.root),
            intermediates,
            issuer: Issuer::new(params, key),
        }
    }

    /// Makes an authority that may sign leaves only.
    pub fn without_path(params: &mut CertificateParams) {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    }

    /// Makes an authority that may only sign DNS names below this one.
    pub fn constrained_to(params: &mut CertificateParams, name: &str) {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(name.to_owned())],
            excluded_subtrees: Vec::new(),
        });
    }

    /// This authority's own certificate, DER.
    #[must_use]
    pub const fn certificate_der(&self) -> &Arc<[u8]> {
        &self.certificate
    }

    /// The root above it, DER.
    #[must_use]
    pub const fn root_der(&self) -> &Arc<[u8]> {
        &self.root
    }

    /// The bundle that believes the root.
    #[must_use]
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::of(self.domain.clone(), Arc::clone(&self.root))
    }

    /// A good certificate with its key.
    ///
    /// # Panics
    /// When the identity is not ASCII.
    #[must_use]
    pub fn issue(&self, id: &str) -> TestCredentials {
        self.issue_from(id, |_| {})
    }

    /// A good certificate with another validity.
    ///
    /// # Panics
    /// When the identity is not ASCII.
    #[must_use]
    pub fn issue_valid(&self, id: &str, validity: Validity) -> TestCredentials {
        self.issue_from(id, |params| set_validity(params, validity))
    }

    /// A certificate with one flaw.
    ///
    /// # Panics
    /// When the identity is not ASCII.
    #[must_use]
    pub fn issue_flawed(&self, id: &str, flaw: Flaw) -> TestCredentials {
        self.issue_from(id, |params| apply(params, id, flaw))
    }

    /// A certificate that is changed before it is signed.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn issue_from(&self, id: &str, change: impl FnOnce(&mut CertificateParams)) -> TestCredentials {
        self.issue_for(&PKCS_ECDSA_P256_SHA256, id, change)
    }

    /// A certificate for a key of another kind.
    ///
    /// # Panics
    /// When the certificate or the key cannot be made.
    #[must_use]
    pub fn issue_for(
        &self,
        algorithm: &'static SignatureAlgorithm,
        id: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> TestCredentials {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = leaf_params(id);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a leaf");
        let mut chain = vec![certificate.der().to_vec()];
        chain.extend(self.intermediates.iter().cloned());
        TestCredentials { chain, key: key.serialize_der() }
    }

    /// A good leaf that another leaf, which is no authority, signed.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn issue_below_leaf(&self, signer: &str, id: &str) -> TestCredentials {
        let signer_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let signer_params = leaf_params(signer);
        let signer_certificate = signer_params.signed_by(&signer_key, &self.issuer).expect("a leaf");
        let issuer = Issuer::new(signer_params, signer_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let certificate = leaf_params(id).signed_by(&key, &issuer).expect("a leaf");
        let mut chain = vec![certificate.der().to_vec(), signer_certificate.der().to_vec()];
        chain.extend(self.intermediates.iter().cloned());
        TestCredentials { chain, key: key.serialize_der() }
    }

    /// The authority's own certificate and key, presented as if it were a workload's.
    #[must_use]
    pub fn as_leaf(&self) -> TestCredentials {
        TestCredentials { chain: vec![self.certificate.to_vec()], key: self.issuer.key().serialize_der() }
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

fn leaf_params(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    set_validity(&mut params, Validity::GOOD);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Bailiwick tests");
    params.subject_alt_names = vec![uri(id)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn authority_params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    set_validity(&mut params, validity);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Bailiwick test authority");
    params.subject_alt_names = if name.is_empty() { Vec::new() } else { vec![uri(name)] };
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let date = |offset: i64| {
        let seconds = now.checked_add_signed(offset).expect("a date after 1970");
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = date(validity.from);
    params.not_after = date(validity.until);
}

fn apply(params: &mut CertificateParams, id: &str, flaw: Flaw) {
    match flaw {
        Flaw::Expired => set_validity(params, Validity::EXPIRED),
        Flaw::NotYetValid => set_validity(params, Validity::FUTURE),
        Flaw::SecondUri => params.subject_alt_names.push(uri("spiffe://cluster.local/ns/other/sa/other")),
        Flaw::OtherUriFirst => params.subject_alt_names.insert(0, uri("https://example.com/")),
        Flaw::NoUri => params.subject_alt_names.clear(),
        Flaw::UriInCommonName => {
            params.subject_alt_names.clear();
            params.distinguished_name.push(DnType::CommonName, id);
        }
        Flaw::UriAsDnsName => {
            params.subject_alt_names = vec![SanType::DnsName(id.try_into().expect("ASCII"))];
        }
        Flaw::UriAsOtherName => {
            let value = OtherNameValue::Utf8String(id.to_owned());
            params.subject_alt_names = vec![SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 55555, 1], value))];
        }
        Flaw::Authority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        Flaw::KeyCertSign => params.key_usages.push(KeyUsagePurpose::KeyCertSign),
        Flaw::CrlSign => params.key_usages.push(KeyUsagePurpose::CrlSign),
        Flaw::NoDigitalSignature => params.key_usages = vec![KeyUsagePurpose::KeyEncipherment],
        Flaw::ClientOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        Flaw::ServerOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        Flaw::EmailOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection],
        Flaw::AnyPurpose => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any],
        Flaw::NoPurpose => params.extended_key_usages.clear(),
        Flaw::CriticalExtension => {
            let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 2], vec![5, 0]);
            unknown.set_criticality(true);
            params.custom_extensions.push(unknown);
        }
    }
}
