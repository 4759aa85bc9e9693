//! The operator's own server certificate: issued by our own root, renewed at half its life, key in memory only.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bailiwick_authn::{CredentialError, CredentialStore, Credentials};
use bailiwick_ca::{Authority, IssueError};
use bailiwick_identity::{SpiffeId, SpiffeIdError, TrustDomain};
use bailiwick_runtime::drain;
use rustls_pki_types::PrivateKeyDer;

/// How long one lives.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two looks at the clock: a machine that was suspended catches up within this.
const LOOK: Duration = Duration::from_secs(30);

/// Why the operator has no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnCertificateError {
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Credentials(#[from] CredentialError),
}

/// The operator's namespace where nobody says another one.
pub(crate) const NAMESPACE: &str = "bailiwick-system";

/// Whom sidecars expect: `spiffe://<trust domain>/ns/<the operator's namespace>/sa/bailiwick-operator`.
pub(crate) fn operator_id(trust_domain: &TrustDomain, namespace: &str) -> Result<SpiffeId, SpiffeIdError> {
    format!("spiffe://{trust_domain}/ns/{namespace}/sa/bailiwick-operator").parse()
}

/// Issues a certificate for the operator and uses it from now on.
pub(crate) fn renew(
    authority: &Authority,
    id: &SpiffeId,
    store: &CredentialStore,
) -> Result<(), OwnCertificateError> {
    let own = authority.issue_own(id, LIFETIME, SystemTime::now())?;
    store.replace(Credentials::new(own.issued.chain, PrivateKeyDer::Pkcs8(own.key))?);
    Ok(())
}

/// Renews at half life until the drain begins.
pub(crate) async fn keep(
    authority: Arc<Authority>,
    id: SpiffeId,
    store: Arc<CredentialStore>,
    drain: drain::Watch,
) {
    loop {
        tokio::select! {
            () = drain.signaled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if !is_due(&store, SystemTime::now()) {
            continue;
        }
        match renew(&authority, &id, &store) {
            Ok(()) => tracing::info!("the operator's own certificate is renewed"),
            Err(error) => {
                tracing::error!(%error, "the operator's own certificate cannot be renewed; it is tried again")
            }
        }
    }
}

fn is_due(store: &CredentialStore, now: SystemTime) -> bool {
    let Some(current) = store.current() else { return true };
    let now =
        now.duration_since(UNIX_EPOCH).map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let half = i64::try_from(LIFETIME.as_secs() / 2).unwrap_or(0);
    now >= current.leaf().not_after().saturating_sub(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_at_half_its_life() {
        let domain = "cluster.local".parse().unwrap();
        let authority = Authority::ephemeral(&domain, SystemTime::now()).unwrap();
        let store = CredentialStore::default();
        assert!(is_due(&store, SystemTime::now()));
        renew(&authority, &operator_id(&domain, NAMESPACE).unwrap(), &store).unwrap();
        let now = SystemTime::now();
        assert!(!is_due(&store, now + LIFETIME / 2 - Duration::from_secs(60)));
        assert!(is_due(&store, now + LIFETIME / 2 + Duration::from_secs(60)));
        let first = store.current().unwrap().generation();
        renew(&authority, &operator_id(&domain, NAMESPACE).unwrap(), &store).unwrap();
        assert_ne!(store.current().unwrap().generation(), first);
    }
}
