//! Callers that come straight to a sidecar's port, past every sidecar of their own, and are not believed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use bailiwick_authn::{
    ClientTls, CredentialStore, Credentials, TrustStore, alert_received, bundle_from_pem, connect,
};
use bailiwick_ca::{Authority, Own};
use bailiwick_identity::{SpiffeId, TrustDomain};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::http::{self, WITHIN};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A caller that proves nothing that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stranger {
    /// Offers the mesh's protocol, but presents no certificate.
    NoCertificate,
    /// Presents a certificate for `shop/web` that an authority of its own signed.
    ForeignAuthority,
    /// Presents a certificate for `shop/web` of the mesh's own authority that has ended.
    Expired,
    /// Speaks HTTP without TLS.
    Plaintext,
}

impl Stranger {
    /// As a row names it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::NoCertificate => "no certificate",
            Self::ForeignAuthority => "foreign CA",
            Self::Expired => "expired cert",
            Self::Plaintext => "plaintext",
        }
    }

    /// What it would need to be believed.
    pub(super) const fn missing(self) -> &'static str {
        match self {
            Self::NoCertificate => {
                "a certificate of this mesh; a workload's sidecar gets one from the operator"
            }
            Self::ForeignAuthority => {
                "a certificate that the mesh's own root signed; a name on it proves nothing without that"
            }
            Self::Expired => {
                "a certificate that is still valid; a sidecar renews its own at half of its life"
            }
            Self::Plaintext => "TLS: the port is Strict, so it takes calls between sidecars only",
        }
    }
}

/// Who is called and how strangers reach it.
#[derive(Debug)]
pub(super) struct Victim<'a> {
    /// Where its sidecar listens.
    pub(super) address: SocketAddr,
    /// Who answers there.
    pub(super) identity: &'a SpiffeId,
    /// The operator's state folder: the demonstration plays an insider who kept an old certificate.
    pub(super) state: &'a Path,
}

/// Tries `GET /orders/1`, and returns what came back: a status, or the alert that ended the handshake.
pub(super) async fn call(stranger: Stranger, victim: &Victim<'_>) -> Result<String> {
    let settings = match stranger {
        Stranger::Plaintext => return Ok(http::get(victim.address, "/orders/1").await?.status),
        Stranger::NoCertificate => ClientTls::stranger(trust(victim)?),
        Stranger::ForeignAuthority => {
            let authority = Authority::ephemeral(&own_domain()?, SystemTime::now())?;
            let own = authority.issue_own(&web()?, HOUR, SystemTime::now())?;
            ClientTls::mesh(credentials(own)?, trust(victim)?)
        }
        Stranger::Expired => {
            let authority = Authority::open(victim.state, &own_domain()?, SystemTime::now())?;
            let then = SystemTime::now() - 5 * MINUTE;
            ClientTls::mesh(credentials(authority.issue_own(&web()?, MINUTE, then)?)?, trust(victim)?)
        }
    };
    handshake(&settings, victim).await
}

/// In TLS 1.3 a server refuses a client's certificate after the client's own side is done, so the alert is read.
async fn handshake(settings: &ClientTls, victim: &Victim<'_>) -> Result<String> {
    let stream = http::connect(victim.address).await?;
    let mut connected = match connect(stream, settings, victim.identity, WITHIN).await {
        Ok(connected) => connected,
        Err(error) => bail!("the handshake ended before the certificate was judged: {error}"),
    };
    let mut byte = [0];
    match timeout(WITHIN, connected.stream.read(&mut byte)).await.context("the handshake was left open")? {
        Ok(_) => bail!("the connection ended without an alert"),
        Err(error) => match alert_received(&error) {
            Some(alert) => Ok(format!("alert {alert}")),
            None => Err(error).context("the connection broke without an alert"),
        },
    }
}

fn credentials(own: Own) -> Result<Arc<CredentialStore>> {
    let store = CredentialStore::default();
    store.replace(Credentials::new(own.issued.chain, own.key.into())?);
    Ok(Arc::new(store))
}

fn trust(victim: &Victim<'_>) -> Result<Arc<TrustStore>> {
    let file = victim.state.join("bundle.pem");
    let text = std::fs::read(&file).with_context(|| format!("`{}` cannot be read", file.display()))?;
    Ok(Arc::new(TrustStore::new(bundle_from_pem(&text)?)?))
}

fn own_domain() -> Result<TrustDomain> {
    Ok("cluster.local".parse()?)
}

fn web() -> Result<SpiffeId> {
    Ok("spiffe://cluster.local/ns/shop/sa/web".parse()?)
}
