//! TLS of the admission webhooks: ordinary server authentication, since the caller is the API server and no workload.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::algorithms::provider;

/// Why a webhook's TLS cannot be set up or a caller was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// No PEM of a certificate chain and its private key.
    #[error("the certificate and its key are not PEM")]
    Pem,
    /// The library refuses them, most likely because they do not belong together.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[source] rustls::Error),
    /// The roots of the callers are no roots.
    #[error("the roots that callers are verified with cannot be used: {0}")]
    ClientRoots(String),
    /// There is no certificate yet.
    #[error("there is no certificate to serve with yet")]
    NoCertificate,
    /// The handshake failed.
    #[error("the handshake failed: {0}")]
    Handshake(#[source] std::io::Error),
    /// The handshake took too long.
    #[error("the handshake took longer than {after:?}")]
    Timeout {
        /// The deadline.
        after: Duration,
    },
}

/// The accepting side's settings. The certificate is replaced while connections go on.
pub struct AdmissionTls {
    current: ArcSwapOption<ServerConfig>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl std::fmt::Debug for AdmissionTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AdmissionTls")
            .field("has_certificate", &self.current.load().is_some())
            .field("requires_client_certificate", &self.clients.is_some())
            .finish()
    }
}

impl AdmissionTls {
    /// With roots (PEM), a caller must present a certificate that they vouch for; without, anybody may call.
    ///
    /// # Errors
    /// When the roots are not PEM or no roots.
    pub fn new(client_roots: Option<&[u8]>) -> Result<Self, AdmissionError> {
        let clients = client_roots.map(verifier).transpose()?;
        Ok(Self { current: ArcSwapOption::empty(), clients })
    }

    /// Serves with another certificate (PEM, the leaf first) and its key (PEM) from the next handshake on.
    ///
    /// # Errors
    /// When they are not PEM, or do not belong together. The certificate in use stays.
    pub fn replace(&self, certificates: &[u8], key: &[u8]) -> Result<(), AdmissionError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| AdmissionError::Pem)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| AdmissionError::Pem)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(AdmissionError::Certificate)?;
        let builder = match &self.clients {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(AdmissionError::Certificate)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // INVARIANT: no resumption and no early data, as everywhere.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.cert_compressors = Vec::new();
        config.cert_decompressors = Vec::new();
        self.current.store(Some(Arc::new(config)));
        Ok(())
    }

    /// True once there is a certificate.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        self.current.load().is_some()
    }

    /// Accepts a connection.
    ///
    /// # Errors
    /// When the handshake fails or takes longer than `deadline`, or there is no certificate yet.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        deadline: Duration,
    ) -> Result<TlsStream<S>, AdmissionError> {
        let config = self.current.load_full().ok_or(AdmissionError::NoCertificate)?;
        match timeout(deadline, TlsAcceptor::from(config).accept(stream)).await {
            Ok(accepted) => accepted.map_err(AdmissionError::Handshake),
            Err(_) => Err(AdmissionError::Timeout { after: deadline }),
        }
    }
}

fn verifier(roots: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, AdmissionError> {
    let refused = |error: &dyn std::fmt::Display| AdmissionError::ClientRoots(error.to_string());
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots) {
        let root = root.map_err(|error| refused(&error))?;
        store.add(root).map_err(|error| refused(&error))?;
    }
    // FAIL-CLOSED: an empty file must not mean that anybody may call.
    if store.is_empty() {
        return Err(refused(&"no certificate in PEM"));
    }
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider()).build();
    built.map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(|error| refused(&error))
}

#[cfg(test)]
mod tests;
