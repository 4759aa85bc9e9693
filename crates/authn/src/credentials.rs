//! This workload's own certificate and key.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use bailiwick_identity::{Leaf, SvidError, leaf_id};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::algorithms::provider;

/// A certificate chain and the key that belongs to it.
///
/// INVARIANT: the key stays in this process's memory; `Debug` never shows it.
pub struct Credentials {
    certified: Arc<CertifiedKey>,
    leaf: Leaf,
    generation: u64,
}

/// Why a chain and a key are not credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// No certificate.
    #[error("the certificate chain is empty")]
    Empty,
    /// The certificate would be refused by every peer.
    #[error("the issued certificate is refused: {0}")]
    Leaf(#[from] SvidError),
    /// The key cannot be read.
    #[error("the private key cannot be used")]
    Key,
    /// The issuer answered with a certificate for another key.
    #[error("the issued certificate is for another key")]
    KeyMismatch,
}

impl Credentials {
    /// Joins a chain (DER, the leaf first) with its private key. Each has a generation of its own.
    ///
    /// # Errors
    /// When the leaf states no identity, or does not belong to the key.
    pub fn new(chain: Vec<Vec<u8>>, key: PrivateKeyDer<'static>) -> Result<Self, CredentialError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
        let leaf = leaf_id(chain.first().ok_or(CredentialError::Empty)?)?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| CredentialError::Key)?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| CredentialError::KeyMismatch)?;
        let generation = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { certified: Arc::new(certified), leaf, generation })
    }

    /// What the certificate states.
    #[must_use]
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// A number that differs between any two of this process: part of the key of connection pools.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The chain, DER, the leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    pub(crate) const fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("leaf", &self.leaf)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// The credentials in force, replaced at each renewal, and who wants to know of it.
#[derive(Debug)]
pub struct CredentialStore {
    current: ArcSwapOption<Credentials>,
    changed: watch::Sender<u64>,
}

impl Default for CredentialStore {
    fn default() -> Self {
        Self { current: ArcSwapOption::empty(), changed: watch::Sender::new(0) }
    }
}

impl CredentialStore {
    /// The credentials in force; none before the first certificate.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Credentials>> {
        self.current.load_full()
    }

    /// Uses other credentials for every handshake from now on.
    pub fn replace(&self, credentials: Credentials) {
        let generation = credentials.generation;
        self.current.store(Some(Arc::new(credentials)));
        self.changed.send_replace(generation);
    }

    /// Tells the generation of every change; 0 means none yet.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
