//! The mesh's own root: made once, then loaded from the state folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bailiwick_identity::{SvidError, TrustBundle, TrustDomain, issuer};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::{Zeroize as _, Zeroizing};

use crate::issue::random_serial;
use crate::state::{self, StateError};
use crate::time::{BACKDATE, seconds, set_validity};

/// Key and certificate in one file, so that they cannot be torn apart.
const ROOT_FILE: &str = "root.pem";
/// Ten years, in seconds.
const ROOT_LIFETIME: i64 = 10 * 365 * 24 * 60 * 60;

/// Why there is no root to sign with.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file does not hold exactly one private key and one certificate.
    #[error(
        "`{path}` does not hold one private key and one certificate; restore it from a copy, or move it away to start with a new root (every workload then needs a new certificate)"
    )]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is not one of a root.
    #[error("`{path}` cannot be used as a root: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SvidError,
    },
    /// The key does not belong to the certificate.
    #[error(
        "the private key in `{path}` does not belong to the certificate there; restore the file from a copy"
    )]
    KeyMismatch {
        /// The file.
        path: PathBuf,
    },
    /// The root vouches for another trust domain than the configured one.
    #[error(
        "the root in `{path}` is of trust domain `{found}`, but `{wanted}` is configured; use another state folder, or configure `{found}`"
    )]
    TrustDomain {
        /// The file.
        path: PathBuf,
        /// What the root says; empty if it names none.
        found: String,
        /// What is configured.
        wanted: TrustDomain,
    },
    /// A new root could not be made.
    #[error("a new root could not be made: {source}")]
    Make {
        /// What the library said.
        source: rcgen::Error,
    },
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandomness,
}

/// The authority of one trust domain: its root certificate and the key to sign with.
///
/// INVARIANT: the key is readable only by this process and, in the state folder, by this user; `Debug` never shows it.
pub struct Authority {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) root: Arc<[u8]>,
    /// DER, from the one that signs upwards, without the root; empty where the root itself signs.
    pub(crate) intermediates: Vec<Vec<u8>>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, each as PEM. The key is wiped when this is dropped, and `Debug` never shows it.
pub struct KeyedPem {
    /// The certificate.
    pub certificate: String,
    /// The key, PKCS#8.
    pub key: Zeroizing<String>,
}

impl std::fmt::Debug for KeyedPem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyedPem").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("trust_domain", &self.trust_domain)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Loads the root from a state folder, or makes it there if there is none. Two processes that race end with the
    /// same root. A root that has expired is loaded, and refuses to sign.
    ///
    /// # Errors
    /// When the folder or the file cannot be used, is open to other users, or holds another domain's root.
    pub fn open(folder: &Path, trust_domain: &TrustDomain, now: SystemTime) -> Result<Self, RootError> {
        state::ensure_private_folder(folder)?;
        let path = folder.join(ROOT_FILE);
        if let Some(text) = state::read_private(&path)? {
            return Self::load(&path, &text, trust_domain);
        }
        let (key, certificate) = make(trust_domain, seconds(now))?;
        state::create_once(&path, &format!("{}{}", key.serialize_pem(), certificate.pem()))?;
        // Read again even when this call created it: what is used is what is on disk, and a racer may have been first.
        let text = state::read_private(&path)?.ok_or_else(|| RootError::Content { path: path.clone() })?;
        Self::load(&path, &text, trust_domain)
    }

    /// Makes a root that lives only in memory.
    ///
    /// # Errors
    /// When the library or the system's random numbers fail.
    pub fn ephemeral(trust_domain: &TrustDomain, now: SystemTime) -> Result<Self, RootError> {
        let (key, certificate) = make(trust_domain, seconds(now))?;
        Self::assemble(Path::new("memory"), certificate.der(), key, trust_domain)
    }

    fn load(path: &Path, text: &str, trust_domain: &TrustDomain) -> Result<Self, RootError> {
        let content = || RootError::Content { path: path.to_owned() };
        let parts = pem::parse_many(text).map_err(|_| content())?;
        let [key, certificate] = parts.as_slice() else { return Err(content()) };
        if key.tag() != "PRIVATE KEY" || certificate.tag() != "CERTIFICATE" {
            return Err(content());
        }
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key.contents().into(), &PKCS_ECDSA_P256_SHA256)
            .map_err(|_| content())?;
        Self::assemble(path, &certificate.contents().into(), pair, trust_domain)
    }

    fn assemble(
        path: &Path,
        certificate: &CertificateDer<'_>,
        key: KeyPair,
        wanted: &TrustDomain,
    ) -> Result<Self, RootError> {
        let refused = |source| RootError::Certificate { path: path.to_owned(), source };
        let stated = issuer(certificate).map_err(refused)?;
        if stated.trust_domain() != Some(wanted) {
            let found = stated.trust_domain().map(ToString::to_string).unwrap_or_default();
            return Err(RootError::TrustDomain { path: path.to_owned(), found, wanted: wanted.clone() });
        }
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| refused(SvidError::Malformed))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(RootError::KeyMismatch { path: path.to_owned() });
        }
        let issuer = Issuer::from_ca_cert_der(certificate, key).map_err(|_| refused(SvidError::Malformed))?;
        Ok(Self {
            trust_domain: wanted.clone(),
            root: Arc::from(certificate.as_ref()),
            intermediates: Vec::new(),
            not_before: stated.not_before(),
            not_after: stated.not_after(),
            issuer,
        })
    }

    /// Makes a root as PEM, to be kept by the caller and loaded with [`Authority::from_pem`].
    ///
    /// # Errors
    /// When the library or the system's random numbers fail.
    pub fn make_pem(trust_domain: &TrustDomain, now: SystemTime) -> Result<KeyedPem, RootError> {
        let (mut key, certificate) = make(trust_domain, seconds(now))?;
        let made = KeyedPem { certificate: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) };
        key.zeroize();
        Ok(made)
    }

    /// The trust domain that this root vouches for.
    #[must_use]
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The root certificate, DER.
    #[must_use]
    pub const fn root_der(&self) -> &Arc<[u8]> {
        &self.root
    }

    /// Start of the validity of the root (with intermediates: of all of them), seconds since the Unix epoch.
    #[must_use]
    pub const fn not_before(&self) -> i64 {
        self.not_before
    }

    /// End of the validity of the root (with intermediates: of the first to end), seconds since the Unix epoch. Nothing
    /// that it signs lives longer.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The bundle that believes this root for its own trust domain, and nothing else.
    #[must_use]
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::of(self.trust_domain.clone(), Arc::clone(&self.root))
    }
}

fn make(trust_domain: &TrustDomain, now: i64) -> Result<(KeyPair, rcgen::Certificate), RootError> {
    let failed = |source| RootError::Make { source };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::default();
    set_validity(&mut params, now - BACKDATE, now + ROOT_LIFETIME);
    params.serial_number = Some(random_serial().ok_or(RootError::NoRandomness)?);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Bailiwick");
    params.distinguished_name.push(DnType::CommonName, "Bailiwick root");
    let uri = format!("spiffe://{trust_domain}").try_into().map_err(failed)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((key, certificate))
}

#[cfg(test)]
mod tests;
