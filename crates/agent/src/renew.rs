//! The certificate: the first one, and every one after it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{
    BundlePemError, CredentialError, CredentialStore, Credentials, TrustError, TrustStore, bundle_from_pem,
};
use bailiwick_identity::{Leaf, SpiffeId};
use bailiwick_wire::proto::identity_client::IdentityClient;
use bailiwick_wire::proto::{IssueRequest, IssueResponse};
use bailiwick_wire::{DecodeError, MAXIMUM_MESSAGE_BYTES, decode_bundle};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::audit::{AuditSink, AuthenticationEvent};
use crate::backoff::Backoff;
use crate::{DialError, Dialer, clock};

/// How long the operator may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// An honest token or bundle file is much shorter.
const LONGEST_FILE: u64 = 64 * 1024;
/// How far the operator's clock may be ahead of ours, seconds.
const CLOCK_SKEW: i64 = 5 * 60;

/// Where a workload's proof and first trust come from.
#[derive(Debug, Clone)]
pub struct RenewalSettings {
    /// The workload's token; read again at each attempt, since it is short-lived.
    pub token_file: PathBuf,
    /// The roots to believe while there is no valid certificate, PEM.
    pub bundle_file: PathBuf,
    /// The identity that must be issued; `None`: the first one that is issued, from then on.
    pub expected: Option<SpiffeId>,
}

/// Why there is no new certificate. A valid one stays in use.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bundle file's content is refused.
    #[error("`{path}` is refused: {source}")]
    BundleFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BundlePemError,
    },
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The operator refused, or did not answer in time.
    #[error("the operator did not issue a certificate: {status}")]
    Refused {
        /// Its word.
        status: Box<tonic::Status>,
    },
    /// The bundle in the answer is malformed.
    #[error("the answer is refused: {0}")]
    Bundle(#[from] DecodeError),
    /// The bundle in the answer is not believable.
    #[error("the answer is refused: {0}")]
    Trust(#[from] TrustError),
    /// The certificate in the answer is malformed or for another key.
    #[error("the answer is refused: {0}")]
    Credentials(#[from] CredentialError),
    /// The certificate in the answer is somebody else's.
    #[error("the certificate is for `{found}`, expected `{expected}`")]
    OtherIdentity {
        /// Who this is.
        expected: SpiffeId,
        /// Who the certificate says it is.
        found: SpiffeId,
    },
    /// The certificate in the answer is not valid now.
    #[error(
        "the certificate is valid from {not_before} to {not_after} (seconds since 1970), not now: check the clocks"
    )]
    NotValid {
        /// Start of validity.
        not_before: i64,
        /// End of validity.
        not_after: i64,
    },
    /// The system gave no key.
    #[error("no key could be made: {0}")]
    Key(#[from] rcgen::Error),
}

/// Gets the first certificate and keeps it fresh.
#[derive(Debug)]
pub struct Renewal {
    dialer: Dialer,
    settings: RenewalSettings,
    credentials: Arc<CredentialStore>,
    trust: Arc<TrustStore>,
    audit: AuditSink,
}

impl Renewal {
    /// Joins what a renewal needs. The dialer's TLS settings read from the same two stores.
    #[must_use]
    pub const fn new(
        dialer: Dialer,
        settings: RenewalSettings,
        credentials: Arc<CredentialStore>,
        trust: Arc<TrustStore>,
        audit: AuditSink,
    ) -> Self {
        Self { dialer, settings, credentials, trust, audit }
    }

    /// Runs until dropped: the first certificate at once, each next one at half of its life ± 10 %. After a failure it
    /// tries again after a random time of up to 0.5 s, doubling to 150 s; a valid certificate stays in use.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(150));
        loop {
            match self.attempt().await {
                Ok(leaf) => {
                    backoff.reset();
                    clock::sleep_until(renewal_time(
                        clock::now(),
                        leaf.not_after(),
                        rand::random_range(0.9..=1.1),
                    ))
                    .await;
                }
                Err(error) => {
                    let delay = backoff.next_delay();
                    tracing::warn!(%error, ?delay, "no new certificate; trying again");
                    self.audit.authentication(AuthenticationEvent::refused(error.to_string()));
                    self.pause(delay).await;
                }
            }
        }
    }

    /// A certificate that ended meanwhile, as in a suspend, is asked for again within 30 s.
    async fn pause(&self, mut left: Duration) {
        while !left.is_zero() {
            let slice = left.min(clock::LONGEST_SLICE);
            tokio::time::sleep(slice).await;
            left = left.saturating_sub(slice);
            if !self.has_valid_certificate() {
                return;
            }
        }
    }

    async fn attempt(&mut self) -> Result<Leaf, RenewalError> {
        let first = !self.has_valid_certificate();
        if first {
            self.believe_bundle_file().await?;
        }
        let token = read_limited(&self.settings.token_file).await?;
        // INVARIANT: a new key for every attempt, and only in memory.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let response = self.issue(token.trim_ascii().to_vec(), signing_request(&key)?).await?;
        self.accept(response, &key, first)
    }

    fn has_valid_certificate(&self) -> bool {
        self.credentials.current().is_some_and(|credentials| clock::now() < credentials.leaf().not_after())
    }

    /// Without a valid certificate (first contact, or after a long suspend) the file beside the token says whom to
    /// believe; roots may have changed meanwhile.
    async fn believe_bundle_file(&self) -> Result<(), RenewalError> {
        let path = &self.settings.bundle_file;
        let text = read_limited(path).await?;
        let bundle = bundle_from_pem(&text)
            .map_err(|source| RenewalError::BundleFile { path: path.clone(), source })?;
        self.trust.replace(bundle)?;
        Ok(())
    }

    async fn issue(&self, token: Vec<u8>, csr: Vec<u8>) -> Result<IssueResponse, RenewalError> {
        let channel = self.dialer.dial().await?;
        let mut client = IdentityClient::new(channel).max_decoding_message_size(MAXIMUM_MESSAGE_BYTES);
        let refused = |status| RenewalError::Refused { status: Box::new(status) };
        timeout(ANSWER_DEADLINE, client.issue(IssueRequest { token, csr }))
            .await
            .map_err(|_| refused(tonic::Status::deadline_exceeded("no answer in time")))?
            .map(tonic::Response::into_inner)
            .map_err(refused)
    }

    /// FAIL-CLOSED: everything is checked before anything is used.
    fn accept(&mut self, response: IssueResponse, key: &KeyPair, first: bool) -> Result<Leaf, RenewalError> {
        let bundle = decode_bundle(&response.bundle)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let credentials = Credentials::new(response.chain, key.into())?;
        let leaf = credentials.leaf().clone();
        let expected = self.settings.expected.get_or_insert_with(|| leaf.id().clone());
        if leaf.id() != expected {
            return Err(RenewalError::OtherIdentity { expected: expected.clone(), found: leaf.id().clone() });
        }
        let now = clock::now();
        if now >= leaf.not_after() || now.saturating_add(CLOCK_SKEW) < leaf.not_before() {
            return Err(RenewalError::NotValid {
                not_before: leaf.not_before(),
                not_after: leaf.not_after(),
            });
        }
        self.trust.replace(bundle)?;
        self.credentials.replace(credentials);
        tracing::info!(identity = %leaf.id(), serial = leaf.serial(), not_after = leaf.not_after(), "certificate issued");
        self.audit.authentication(AuthenticationEvent::issued(&leaf, first));
        Ok(leaf)
    }
}

/// When to renew what was received now: at half of the life that is left, by a factor of 0.9 to 1.1, and never at once.
fn renewal_time(now: i64, not_after: i64, factor: f64) -> i64 {
    let left = u64::try_from(not_after.saturating_sub(now)).unwrap_or_default();
    let wait = Duration::from_secs(left).div_f64(2.0).mul_f64(factor).as_secs().max(1);
    now.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX))
}

/// A request carries the public key and nothing else: the identity comes from the token.
fn signing_request(key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

async fn read_limited(path: &Path) -> Result<Vec<u8>, RenewalError> {
    let failed = |source| RenewalError::File { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut content = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut content).await.map_err(failed)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_at_half_life_with_jitter_and_never_at_once() {
        let day = 24 * 60 * 60;
        assert_eq!(renewal_time(1_000, 1_000 + day, 1.0), 1_000 + day / 2);
        assert_eq!(renewal_time(1_000, 1_000 + day, 0.9), 1_000 + day * 45 / 100);
        assert_eq!(renewal_time(1_000, 1_000 + day, 1.1), 1_000 + day * 55 / 100);
        assert_eq!(renewal_time(1_000, 1_001, 1.0), 1_001);
        assert_eq!(renewal_time(1_000, 500, 1.0), 1_001);
    }
}
