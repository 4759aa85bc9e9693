//! What an authority's certificate (a root or an intermediate) states about itself.
//!
//! Chain building ignores most of this: it takes a root's word for everything, and looks at no URI. These checks are
//! therefore ours.

use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::key::check_key;
use crate::{SvidError, TrustDomain};

/// An authority's certificate, as far as belief depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    trust_domain: Option<TrustDomain>,
    not_before: i64,
    not_after: i64,
}

impl Issuer {
    /// The trust domain that it names, if it names one. A certificate without a name may serve any domain whose
    /// bundle holds it.
    #[must_use]
    pub const fn trust_domain(&self) -> Option<&TrustDomain> {
        self.trust_domain.as_ref()
    }

    /// Start of validity, seconds since the Unix epoch.
    #[must_use]
    pub const fn not_before(&self) -> i64 {
        self.not_before
    }

    /// End of validity, seconds since the Unix epoch.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// Reads a DER certificate that is to sign others (X.509-SVID specification, sections 2 and 4).
///
/// # Errors
/// When it is malformed, is no authority, may not sign certificates, names a workload, names more than one trust
/// domain, or its key is too weak or too costly.
pub fn issuer(der: &[u8]) -> Result<Issuer, SvidError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| SvidError::Malformed)?;
    if !rest.is_empty() {
        return Err(SvidError::Malformed);
    }
    certificate.extensions_map().map_err(|_| SvidError::Malformed)?;
    check_key(certificate.public_key())?;
    let mut authority = false;
    let mut uris = Vec::new();
    for extension in certificate.extensions() {
        let parsed = extension.parsed_extension();
        if let ParsedExtension::BasicConstraints(constraints) = parsed {
            authority = constraints.ca;
        } else if let ParsedExtension::KeyUsage(usage) = parsed {
            if !usage.key_cert_sign() {
                return Err(SvidError::NotAuthority);
            }
        } else if let ParsedExtension::SubjectAlternativeName(names) = parsed {
            uris.extend(names.general_names.iter().filter_map(uri));
        } else if let ParsedExtension::ParseError { .. } = parsed {
            return Err(SvidError::Malformed);
        } else if let ParsedExtension::UnsupportedExtension { .. } = parsed
            && extension.critical
        {
            return Err(SvidError::CriticalExtension);
        }
    }
    if !authority {
        return Err(SvidError::NotAuthority);
    }
    let trust_domain = match uris.as_slice() {
        [] => None,
        [uri] => Some(trust_domain(uri)?),
        many => return Err(SvidError::ManyUris { count: many.len() }),
    };
    Ok(Issuer {
        trust_domain,
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::URI(uri) = name { Some(uri) } else { None }
}

/// An authority speaks for a whole trust domain, so its URI has no path.
fn trust_domain(uri: &str) -> Result<TrustDomain, SvidError> {
    uri.strip_prefix("spiffe://").and_then(|domain| domain.parse().ok()).ok_or(SvidError::AuthorityName)
}

#[cfg(test)]
mod tests;
