//! TLS settings of both sides. What must never be negotiable is pinned here.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bailiwick_identity::{SpiffeId, TrustDomain};
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use crate::algorithms::provider;
use crate::trust::{Trust, TrustStore};
use crate::verifier::{CallerCertificate, Expectation, MeshVerifier};
use crate::{AuthnError, CredentialStore, Credentials};

/// The protocol name of traffic between sidecars. The HTTP version inside is known by its preface.
pub const ALPN: &[u8] = b"bailiwick/1";
/// The protocol name of the control channel, which is gRPC.
pub const CONTROL_ALPN: &[u8] = b"h2";
/// How long a handshake may take, unless the caller says otherwise.
pub const HANDSHAKE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);
/// Distinct lists of accepted trust domains for which a workload's ports have settings ready.
const MOST_CACHED: usize = 32;

/// Which kind of connection settings are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Between workloads.
    Mesh,
    /// Between a workload and the control plane.
    Control,
}

impl Channel {
    pub(crate) const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Mesh => ALPN,
            Self::Control => CONTROL_ALPN,
        }
    }

    pub(crate) const fn alpn_name(self) -> &'static str {
        match self {
            Self::Mesh => "bailiwick/1",
            Self::Control => "h2",
        }
    }
}

/// The accepting side's settings: own credentials and trust, as they are at each handshake.
#[derive(Debug)]
pub struct ServerTls {
    channel: Channel,
    credentials: Arc<CredentialStore>,
    trust: Arc<TrustStore>,
    // Making settings costs tens of microseconds, so they are kept until credentials or trust change.
    cached: ArcSwap<Vec<CachedServer>>,
}

#[derive(Debug, Clone)]
struct CachedServer {
    credentials: u64,
    trust: u64,
    domains: Vec<TrustDomain>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// For traffic between workloads: a caller's certificate is required.
    #[must_use]
    pub fn mesh(credentials: Arc<CredentialStore>, trust: Arc<TrustStore>) -> Self {
        Self { channel: Channel::Mesh, credentials, trust, cached: ArcSwap::default() }
    }

    /// For the control channel: a workload without a certificate may come in for its first one.
    #[must_use]
    pub fn control(credentials: Arc<CredentialStore>, trust: Arc<TrustStore>) -> Self {
        Self { channel: Channel::Control, credentials, trust, cached: ArcSwap::default() }
    }

    /// The trust that connections are verified with.
    #[must_use]
    pub const fn trust(&self) -> &Arc<TrustStore> {
        &self.trust
    }

    pub(crate) const fn channel(&self) -> Channel {
        self.channel
    }

    /// The settings that accept callers of the given trust domains.
    pub(crate) fn config(&self, domains: &[TrustDomain]) -> Result<Arc<ServerConfig>, AuthnError> {
        let credentials = self.credentials.current().ok_or(AuthnError::NoCredentials)?;
        let trust = self.trust.current();
        let current = |cached: &CachedServer| {
            cached.credentials == credentials.generation() && cached.trust == trust.generation()
        };
        let cached = self.cached.load();
        if let Some(found) = cached.iter().find(|cached| current(cached) && cached.domains == domains) {
            return Ok(Arc::clone(&found.config));
        }
        let config = Arc::new(server_config(self.channel, &credentials, &trust, domains)?);
        let entry = CachedServer {
            credentials: credentials.generation(),
            trust: trust.generation(),
            domains: domains.to_vec(),
            config: Arc::clone(&config),
        };
        self.cached.rcu(|cached| {
            let mut kept: Vec<_> = cached.iter().filter(|cached| current(cached)).cloned().collect();
            kept.truncate(MOST_CACHED - 1);
            kept.push(entry.clone());
            kept
        });
        Ok(config)
    }
}

fn server_config(
    channel: Channel,
    credentials: &Credentials,
    trust: &Arc<Trust>,
    domains: &[TrustDomain],
) -> Result<ServerConfig, AuthnError> {
    let certificate = match channel {
        Channel::Mesh => CallerCertificate::Required,
        Channel::Control => CallerCertificate::Optional,
    };
    let expectation = Expectation::Caller { domains: domains.to_vec(), certificate };
    let verifier = MeshVerifier { trust: Arc::clone(trust), expectation };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(AuthnError::Settings)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(credentials.certified()))));
    config.alpn_protocols = vec![channel.alpn().to_vec()];
    // INVARIANT: no resumption and no early data. A resumed session skips the verifier, so an expired or withdrawn
    // certificate would be accepted.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    // Other crates of the build could turn certificate compression on, and with it decompression bombs.
    config.cert_compressors = Vec::new();
    config.cert_decompressors = Vec::new();
    Ok(config)
}

/// What a connecting side presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presents {
    /// Its credentials; without any it does not connect.
    Always,
    /// Its credentials while they are valid.
    WhileValid,
    /// Nothing, whatever it has.
    Nothing,
}

/// The connecting side's settings: own credentials and trust, as they are at each handshake.
#[derive(Debug)]
pub struct ClientTls {
    channel: Channel,
    presents: Presents,
    credentials: Arc<CredentialStore>,
    trust: Arc<TrustStore>,
    cached: ArcSwap<Option<CachedClient>>,
}

#[derive(Debug, Clone)]
struct CachedClient {
    credentials: Option<u64>,
    trust: u64,
    config: ClientConfig,
}

impl ClientTls {
    /// For traffic between workloads: own credentials are required.
    #[must_use]
    pub fn mesh(credentials: Arc<CredentialStore>, trust: Arc<TrustStore>) -> Self {
        Self {
            channel: Channel::Mesh,
            presents: Presents::Always,
            credentials,
            trust,
            cached: ArcSwap::default(),
        }
    }

    /// Speaks the mesh's protocol and presents no certificate, so every Strict port refuses it: for showing just that.
    #[must_use]
    pub fn stranger(trust: Arc<TrustStore>) -> Self {
        let credentials = Arc::default();
        Self {
            channel: Channel::Mesh,
            presents: Presents::Nothing,
            credentials,
            trust,
            cached: ArcSwap::default(),
        }
    }

    /// For the control channel: without valid credentials (first contact, or after a long suspend) none are
    /// presented, and a token must speak for the workload.
    #[must_use]
    pub fn control(credentials: Arc<CredentialStore>, trust: Arc<TrustStore>) -> Self {
        let presents = Presents::WhileValid;
        Self { channel: Channel::Control, presents, credentials, trust, cached: ArcSwap::default() }
    }

    /// The trust that servers are verified with.
    #[must_use]
    pub const fn trust(&self) -> &Arc<TrustStore> {
        &self.trust
    }

    pub(crate) const fn channel(&self) -> Channel {
        self.channel
    }

    /// The credentials to present now.
    fn presented(&self, now: i64) -> Result<Option<Arc<Credentials>>, AuthnError> {
        let current = self.credentials.current();
        match self.presents {
            Presents::Always => current.map(Some).ok_or(AuthnError::NoCredentials),
            // An expired certificate would be refused, and with it the request for a new one.
            Presents::WhileValid => Ok(current.filter(|credentials| now < credentials.leaf().not_after())),
            Presents::Nothing => Ok(None),
        }
    }

    /// The settings that accept exactly one server. Returns the generation of the credentials that it presents, too.
    pub(crate) fn config(
        &self,
        expected: &SpiffeId,
        now: i64,
    ) -> Result<(Arc<ClientConfig>, u64), AuthnError> {
        let credentials = self.presented(now)?;
        let generation = credentials.as_ref().map(|credentials| credentials.generation());
        let trust = self.trust.current();
        let verifier = Arc::new(MeshVerifier {
            trust: Arc::clone(&trust),
            expectation: Expectation::Server(expected.clone()),
        });
        let cached = self.cached.load();
        let usable = cached
            .as_ref()
            .as_ref()
            .filter(|cached| cached.credentials == generation && cached.trust == trust.generation());
        let mut config = match usable {
            Some(cached) => cached.config.clone(),
            None => {
                let config = client_config(self.channel, credentials.as_deref(), Arc::clone(&verifier))?;
                let trust = trust.generation();
                let entry = CachedClient { credentials: generation, trust, config: config.clone() };
                self.cached.store(Arc::new(Some(entry)));
                config
            }
        };
        // INVARIANT: kept settings expect whichever server they were made for, so the verifier is always set anew.
        config.dangerous().set_certificate_verifier(verifier);
        Ok((Arc::new(config), generation.unwrap_or_default()))
    }
}

fn client_config(
    channel: Channel,
    credentials: Option<&Credentials>,
    verifier: Arc<MeshVerifier>,
) -> Result<ClientConfig, AuthnError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(AuthnError::Settings)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match credentials {
        Some(credentials) => builder
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(credentials.certified())))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![channel.alpn().to_vec()];
    // INVARIANT: no resumption and no early data, as on the accepting side.
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    config.cert_compressors = Vec::new();
    config.cert_decompressors = Vec::new();
    Ok(config)
}
