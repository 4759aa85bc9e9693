//! Reading `bundle.pem`: the roots that a workload needs before its first contact with the control plane.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_identity::{BundleError, SvidError, TrustBundle, TrustDomain, issuer};
use rustls_pki_types::pem::{PemObject as _, SectionKind};

/// A longer file is no bundle of ours, and is not parsed.
const LARGEST: usize = 64 * 1024;

/// Why a text is not a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundlePemError {
    /// Over 64 KiB.
    #[error("a bundle has at most {LARGEST} bytes, this one has {length}")]
    TooLarge {
        /// Bytes found.
        length: usize,
    },
    /// Not PEM, or a block that is no certificate.
    #[error("a bundle holds `CERTIFICATE` blocks in PEM and nothing else")]
    Pem,
    /// A certificate that is no root.
    #[error("certificate {position} of the bundle is refused: {source}")]
    Root {
        /// Which one, counted from 1.
        position: usize,
        /// Why.
        source: SvidError,
    },
    /// A root that names no trust domain. In a file nothing else would say what it vouches for.
    #[error(
        "certificate {position} of the bundle does not name its trust domain (`spiffe://<trust domain>` as its URI)"
    )]
    NoTrustDomain {
        /// Which one, counted from 1.
        position: usize,
    },
    /// No certificate at all.
    #[error("the bundle holds no certificate")]
    Empty,
    /// The roots do not make a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// Reads roots in PEM; each vouches for the trust domain that it names, and no other.
///
/// # Errors
/// When the text is not PEM, holds anything but roots, or a root names no trust domain.
pub fn bundle_from_pem(text: &[u8]) -> Result<TrustBundle, BundlePemError> {
    if text.len() > LARGEST {
        return Err(BundlePemError::TooLarge { length: text.len() });
    }
    let mut roots = BTreeMap::<TrustDomain, Vec<Arc<[u8]>>>::new();
    for (index, block) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text).enumerate() {
        let position = index + 1;
        let (kind, certificate) = block.map_err(|_| BundlePemError::Pem)?;
        if kind != SectionKind::Certificate {
            return Err(BundlePemError::Pem);
        }
        let stated = issuer(&certificate).map_err(|source| BundlePemError::Root { position, source })?;
        let domain = stated.trust_domain().ok_or(BundlePemError::NoTrustDomain { position })?;
        roots.entry(domain.clone()).or_default().push(Arc::from(certificate));
    }
    if roots.is_empty() {
        return Err(BundlePemError::Empty);
    }
    let mut bundle = TrustBundle::default();
    for (domain, roots) in roots {
        bundle.insert(domain, roots)?;
    }
    Ok(bundle)
}

#[cfg(test)]
mod tests;
