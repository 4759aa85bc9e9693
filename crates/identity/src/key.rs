//! Which public keys are strong enough, and cheap enough, to be believed.

use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::SvidError;

/// RSA keys of other issuers. The upper bound keeps one handshake from costing what a thousand should.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Accepts ECDSA P-256 and P-384, Ed25519, and RSA of 2048 to 4096 bits.
pub(crate) fn check_key(key: &SubjectPublicKeyInfo<'_>) -> Result<(), SvidError> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_SIG_ED25519 {
        return Ok(());
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => Ok(()),
            Some(_) | None => Err(SvidError::Key),
        };
    }
    if let Ok(PublicKey::RSA(rsa)) = key.parsed()
        && RSA_BITS.contains(&rsa.key_size())
    {
        return Ok(());
    }
    Err(SvidError::Key)
}
