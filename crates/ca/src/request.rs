//! Reading a certificate signing request (PKCS#10, RFC 2986) from somebody who is not believed yet.

use bailiwick_identity::SpiffeId;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension};
use x509_parser::x509::SubjectPublicKeyInfo;

/// An honest request is under one kilobyte.
const LARGEST: usize = 64 * 1024;

/// Why a request is refused. None of it depends on who asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Over 64 KiB.
    #[error("the signing request has {length} bytes; at most {LARGEST} are read")]
    TooLarge {
        /// Bytes found.
        length: usize,
    },
    /// Not a PKCS#10 request, or bytes follow it.
    #[error("the signing request is malformed")]
    Malformed,
    /// The key is of a kind that is not issued for.
    #[error("the signing request's key is refused: use ECDSA P-256 or P-384, or Ed25519")]
    Key,
    /// The request is not signed by its own key, so the caller did not prove that it holds the key.
    #[error("the signing request is not signed by its own key")]
    Signature,
    /// The request asks for a name that is not the caller's.
    #[error(
        "the signing request asks for {asked}, but the caller is `{own}`; leave names out of the request"
    )]
    OtherName {
        /// What it asks for, in words.
        asked: String,
        /// The proven identity.
        own: SpiffeId,
    },
}

/// Takes the public key out of a request, and nothing else.
///
/// INVARIANT: the certificate is built from the proven identity; of the request only the key is used, after its holder
/// proved possession. A request that asks for other names is refused, since its sender is mistaken or hostile; all
/// else that it asks for (being an authority, usages, lifetimes) is ignored.
pub(crate) fn public_key(
    request: &[u8],
    own: &SpiffeId,
) -> Result<rcgen::SubjectPublicKeyInfo, RequestError> {
    if request.len() > LARGEST {
        return Err(RequestError::TooLarge { length: request.len() });
    }
    let (rest, parsed) = X509CertificationRequest::from_der(request).map_err(|_| RequestError::Malformed)?;
    if !rest.is_empty() {
        return Err(RequestError::Malformed);
    }
    let key = &parsed.certification_request_info.subject_pki;
    // Before the signature: an unbounded RSA key would make the check itself an attack.
    check_key(key)?;
    parsed.verify_signature().map_err(|_| RequestError::Signature)?;
    check_names(&parsed, own)?;
    rcgen::SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| RequestError::Key)
}

fn check_key(key: &SubjectPublicKeyInfo<'_>) -> Result<(), RequestError> {
    let algorithm = &key.algorithm.algorithm;
    let bytes = key.subject_public_key.data.as_ref();
    // Only uncompressed points (SEC 1, section 2.3.3): not every verifier reads the other forms.
    let uncompressed = |length: usize| bytes.first() == Some(&4) && bytes.len() == length;
    let accepted = if *algorithm == OID_SIG_ED25519 {
        bytes.len() == 32
    } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        match key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok()) {
            Some(curve) if curve == OID_EC_P256 => uncompressed(65),
            Some(curve) if curve == OID_NIST_EC_P384 => uncompressed(97),
            Some(_) | None => false,
        }
    } else {
        false
    };
    if accepted { Ok(()) } else { Err(RequestError::Key) }
}

fn check_names(request: &X509CertificationRequest<'_>, own: &SpiffeId) -> Result<(), RequestError> {
    let mut names = 0_usize;
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(asked) = extension else { continue };
        for name in &asked.general_names {
            names += 1;
            if *name != GeneralName::URI(own.as_str()) {
                return Err(RequestError::OtherName { asked: describe(name), own: own.clone() });
            }
        }
    }
    if names > 1 {
        return Err(RequestError::OtherName { asked: format!("{names} names"), own: own.clone() });
    }
    Ok(())
}

/// Names are a stranger's text: escaped and cut, so that they cannot write lines into a log.
fn describe(name: &GeneralName<'_>) -> String {
    let cut = |text: &str| text.escape_debug().take(256).collect::<String>();
    if let GeneralName::URI(uri) = name {
        format!("`{}`", cut(uri))
    } else if let GeneralName::DNSName(dns) = name {
        format!("the DNS name `{}`", cut(dns))
    } else {
        "a name that is no SPIFFE ID".to_owned()
    }
}

#[cfg(test)]
mod tests;
