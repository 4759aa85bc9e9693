//! Certificates of the admission webhooks: an authority of their own, which only the API server believes.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::{Zeroize as _, Zeroizing};

use crate::KeyedPem;
use crate::issue::random_serial;
use crate::time::{BACKDATE, duration_seconds, seconds, set_validity};

/// Why there is no certificate to serve admission with.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// The certificate is not one certificate in PEM.
    #[error("the certificate is not one certificate in PEM")]
    Certificate,
    /// The key is not one in PEM, or another certificate's.
    #[error("the private key is not one in PEM, or does not belong to the certificate")]
    Key,
    /// The library could not make something.
    #[error("the certificate could not be made: {source}")]
    Make {
        /// What the library said.
        #[from]
        source: rcgen::Error,
    },
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandomness,
}

/// The authority of the webhooks' certificates.
pub struct ServingAuthority {
    certificate: Vec<u8>,
    pem: String,
    not_after: i64,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for ServingAuthority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ServingAuthority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// A certificate to serve with, as far as its renewal depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServingLeaf {
    /// Start of validity, seconds since the Unix epoch.
    pub not_before: i64,
    /// End of validity, seconds since the Unix epoch.
    pub not_after: i64,
}

impl ServingAuthority {
    /// Makes an authority that lives for `lifetime`, as PEM to be kept and loaded again.
    ///
    /// # Errors
    /// When the library or the system's random numbers fail.
    pub fn make_pem(lifetime: Duration, now: SystemTime) -> Result<KeyedPem, ServingError> {
        let mut params = named("Bailiwick admission")?;
        let now = seconds(now);
        set_validity(&mut params, now - BACKDATE, now.saturating_add(duration_seconds(lifetime)));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let mut key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        let made = KeyedPem { certificate: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) };
        key.zeroize();
        Ok(made)
    }

    /// Loads an authority.
    ///
    /// # Errors
    /// When certificate and key are not PEM, or do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, ServingError> {
        let der = one_certificate(certificate)?;
        let key = KeyPair::from_pem(key).map_err(|_| ServingError::Key)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| ServingError::Certificate)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(ServingError::Key);
        }
        let not_after = parsed.validity().not_after.timestamp();
        let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(der.as_slice()), key)?;
        Ok(Self { certificate: der, pem: certificate.to_owned(), not_after, issuer })
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate with a new key for DNS names. It never outlives the authority.
    ///
    /// # Errors
    /// When a name cannot be in a certificate, or the library or the system's random numbers fail.
    pub fn issue(
        &self,
        names: &[String],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<KeyedPem, ServingError> {
        let mut params = named("bailiwick-operator")?;
        let now = seconds(now);
        let until = now.saturating_add(duration_seconds(lifetime)).min(self.not_after);
        set_validity(&mut params, now - BACKDATE, until);
        for name in names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let mut key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let made = KeyedPem { certificate: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) };
        key.zeroize();
        Ok(made)
    }

    /// True if this authority signed a certificate (PEM).
    #[must_use]
    pub fn signed(&self, certificate: &str) -> bool {
        signs(&self.certificate, certificate)
    }

    /// True if the first certificate (PEM), an authority's, signed the second. No key is needed.
    #[must_use]
    pub fn signs(authority: &str, certificate: &str) -> bool {
        one_certificate(authority).is_ok_and(|authority| signs(&authority, certificate))
    }
}

impl ServingLeaf {
    /// Reads the dates of a certificate (PEM).
    ///
    /// # Errors
    /// When it is not one certificate.
    pub fn read(certificate: &str) -> Result<Self, ServingError> {
        let der = one_certificate(certificate)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| ServingError::Certificate)?;
        let validity = parsed.validity();
        Ok(Self { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
    }
}

fn named(common_name: &str) -> Result<CertificateParams, ServingError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(random_serial().ok_or(ServingError::NoRandomness)?);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Bailiwick");
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

fn signs(authority: &[u8], certificate: &str) -> bool {
    let Ok(der) = one_certificate(certificate) else { return false };
    let parsed = (X509Certificate::from_der(authority), X509Certificate::from_der(&der));
    let (Ok((_, above)), Ok((_, below))) = parsed else { return false };
    below.verify_signature(Some(above.public_key())).is_ok()
}

fn one_certificate(pem: &str) -> Result<Vec<u8>, ServingError> {
    let mut found = CertificateDer::pem_slice_iter(pem.as_bytes());
    let (Some(Ok(one)), None) = (found.next(), found.next()) else {
        return Err(ServingError::Certificate);
    };
    Ok(one.to_vec())
}

#[cfg(test)]
mod tests;
