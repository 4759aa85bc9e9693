//! The roots that are believed now, ready to verify with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bailiwick_identity::{SvidError, TrustBundle, TrustDomain, issuer};
use rustls_pki_types::{CertificateDer, TrustAnchor};
use tokio::sync::watch;

/// A bundle whose roots were read and checked.
#[derive(Debug)]
pub struct Trust {
    bundle: TrustBundle,
    roots: BTreeMap<TrustDomain, Vec<Root>>,
    generation: u64,
}

/// A root, with what chain building would ignore.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) anchor: TrustAnchor<'static>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// Why a bundle is not believed. The one that was believed before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A root is malformed or no root.
    #[error("root {position} of trust domain `{domain}` is refused: {source}")]
    Root {
        /// The domain it was to vouch for.
        domain: TrustDomain,
        /// Which of the domain's roots, counted from 1.
        position: usize,
        /// Why.
        source: SvidError,
    },
    /// A root names another trust domain than the one that it was to vouch for.
    #[error("root {position} of trust domain `{domain}` says that it is of `{stated}`")]
    OtherDomain {
        /// The domain it was to vouch for.
        domain: TrustDomain,
        /// Which of the domain's roots, counted from 1.
        position: usize,
        /// The domain that it names.
        stated: TrustDomain,
    },
}

impl Trust {
    /// Reads every root of a bundle.
    ///
    /// # Errors
    /// When any root is refused. FAIL-CLOSED: a bundle is believed whole or not at all.
    pub fn new(bundle: TrustBundle) -> Result<Self, TrustError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut roots = BTreeMap::new();
        for (domain, certificates) in bundle.iter() {
            let mut read = Vec::with_capacity(certificates.len());
            for (index, certificate) in certificates.iter().enumerate() {
                read.push(read_root(domain, index + 1, certificate)?);
            }
            roots.insert(domain.clone(), read);
        }
        Ok(Self { bundle, roots, generation: NEXT.fetch_add(1, Ordering::Relaxed) })
    }

    /// The bundle that it was made from.
    #[must_use]
    pub const fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// A number that differs between any two of this process.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn roots(&self, domain: &TrustDomain) -> Option<&[Root]> {
        self.roots.get(domain).map(Vec::as_slice)
    }
}

fn read_root(domain: &TrustDomain, position: usize, certificate: &[u8]) -> Result<Root, TrustError> {
    let refused = |source| TrustError::Root { domain: domain.clone(), position, source };
    let stated = issuer(certificate).map_err(refused)?;
    if let Some(other) = stated.trust_domain().filter(|stated| *stated != domain) {
        return Err(TrustError::OtherDomain { domain: domain.clone(), position, stated: other.clone() });
    }
    let der = CertificateDer::from(certificate);
    let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| refused(SvidError::Malformed))?;
    Ok(Root { anchor: anchor.to_owned(), not_before: stated.not_before(), not_after: stated.not_after() })
}

/// The trust that is in force, replaced as a whole, and who wants to know of it.
#[derive(Debug)]
pub struct TrustStore {
    current: ArcSwap<Trust>,
    changed: watch::Sender<u64>,
}

impl TrustStore {
    /// Starts with a bundle; an empty one believes nobody.
    ///
    /// # Errors
    /// When a root of the bundle is refused.
    pub fn new(bundle: TrustBundle) -> Result<Self, TrustError> {
        let trust = Trust::new(bundle)?;
        let changed = watch::Sender::new(trust.generation);
        Ok(Self { current: ArcSwap::from_pointee(trust), changed })
    }

    /// What is believed now.
    #[must_use]
    pub fn current(&self) -> Arc<Trust> {
        self.current.load_full()
    }

    /// Believes another bundle from now on. Returns false if it is the same one.
    ///
    /// # Errors
    /// When a root of the bundle is refused; what was believed before stays.
    pub fn replace(&self, bundle: TrustBundle) -> Result<bool, TrustError> {
        if *self.current.load().bundle() == bundle {
            return Ok(false);
        }
        let trust = Trust::new(bundle)?;
        let generation = trust.generation;
        self.current.store(Arc::new(trust));
        self.changed.send_replace(generation);
        Ok(true)
    }

    /// Tells of every change, so that connections of withdrawn roots can be closed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
