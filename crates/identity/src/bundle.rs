//! Trust bundles: for each trust domain, the roots that may vouch for its identities.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::TrustDomain;

/// The roots of each believed trust domain, as DER certificates.
///
/// INVARIANT: a leaf is verified only against the roots of the trust domain that its own SPIFFE ID names, so one
/// domain's authority cannot mint another's identities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustBundle {
    roots: BTreeMap<TrustDomain, Vec<Arc<[u8]>>>,
}

/// Why roots do not make a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A trust domain without roots would believe nobody; say so instead.
    #[error("trust domain `{domain}` has no roots")]
    NoRoots {
        /// The domain.
        domain: TrustDomain,
    },
}

impl TrustBundle {
    /// A bundle with one root.
    #[must_use]
    pub fn of(domain: TrustDomain, root: Arc<[u8]>) -> Self {
        Self { roots: BTreeMap::from([(domain, vec![root])]) }
    }

    /// Adds the roots of a trust domain, replacing those that were there.
    ///
    /// # Errors
    /// When `roots` is empty.
    pub fn insert(&mut self, domain: TrustDomain, roots: Vec<Arc<[u8]>>) -> Result<(), BundleError> {
        if roots.is_empty() {
            return Err(BundleError::NoRoots { domain });
        }
        self.roots.insert(domain, roots);
        Ok(())
    }

    /// The roots of a trust domain; none if it is not believed.
    #[must_use]
    pub fn roots(&self, domain: &TrustDomain) -> Option<&[Arc<[u8]>]> {
        self.roots.get(domain).map(Vec::as_slice)
    }

    /// Every believed trust domain with its roots, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TrustDomain, &[Arc<[u8]>])> {
        self.roots.iter().map(|(domain, roots)| (domain, roots.as_slice()))
    }

    /// True if nobody is believed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }
}
