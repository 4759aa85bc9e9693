//! Trust bundles to bytes and back.

use std::sync::Arc;

use bailiwick_identity::{TrustBundle, TrustDomain};
use prost::Message as _;

use crate::error::{FieldError, FieldResult, each, parse};
use crate::{DecodeError, MAXIMUM_BUNDLE_BYTES, proto};

const WHAT: &str = "trust bundle";

/// Encodes a trust bundle canonically. Its [digest](crate::Digest::of) names it.
#[must_use]
pub fn encode_bundle(bundle: &TrustBundle) -> Vec<u8> {
    let domains = bundle
        .iter()
        .map(|(domain, roots)| proto::BundleDomain {
            trust_domain: domain.to_string(),
            roots: roots.iter().map(|root| root.to_vec()).collect(),
        })
        .collect();
    proto::Bundle { domains }.encode_to_vec()
}

/// Decodes a trust bundle. That the roots are certificates is for TLS code to check.
///
/// # Errors
/// When it is not canonical, empty, has a malformed trust domain, or one without roots.
pub fn decode_bundle(bytes: &[u8]) -> Result<TrustBundle, DecodeError> {
    if bytes.len() > MAXIMUM_BUNDLE_BYTES {
        return Err(DecodeError::TooLong { what: WHAT, length: bytes.len(), limit: MAXIMUM_BUNDLE_BYTES });
    }
    let message =
        proto::Bundle::decode(bytes).map_err(|source| DecodeError::Malformed { what: WHAT, source })?;
    let bundle = convert(&message).map_err(|field| field.of(WHAT))?;
    if encode_bundle(&bundle) != bytes {
        return Err(DecodeError::NotCanonical { what: WHAT });
    }
    Ok(bundle)
}

fn convert(message: &proto::Bundle) -> FieldResult<TrustBundle> {
    // FAIL-CLOSED: a bundle of nobody would cut every connection; it is never what was meant.
    if message.domains.is_empty() {
        return Err(FieldError::missing("domains"));
    }
    let domains = each("domains", &message.domains, |domain| {
        let name: TrustDomain = parse("trust_domain", &domain.trust_domain)?;
        Ok((name, domain.roots.iter().map(|root| Arc::from(root.as_slice())).collect::<Vec<Arc<[u8]>>>()))
    })?;
    let mut bundle = TrustBundle::default();
    for (name, roots) in domains {
        bundle.insert(name, roots).map_err(|error| FieldError::invalid("domains", error))?;
    }
    Ok(bundle)
}
