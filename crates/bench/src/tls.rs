//! TLS of the load client: the same for every proxy.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::error::BenchError;

/// The files that the load client proves itself with, and the roots that it believes (PEM).
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClientFiles {
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: PathBuf,
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    #[arg(long, value_name = "FILE")]
    pub(crate) roots: PathBuf,
}

/// Settings that offer one protocol name, present the client's certificate and never resume a session.
///
/// One cipher suite for all, so that no proxy is given a cheaper one by its library's taste.
pub(crate) fn settings(files: &ClientFiles, protocol: &str) -> Result<Arc<ClientConfig>, BenchError> {
    let unread = |path: &PathBuf| {
        let what = format!("`{}`", path.display());
        move |source| BenchError::Pem { what, source }
    };
    let certificates = |path: &PathBuf| -> Result<Vec<CertificateDer<'static>>, BenchError> {
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unread(path))
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unread(&files.key))?;
    let mut roots = RootCertStore::empty();
    for root in certificates(&files.roots)? {
        roots.add(root)?;
    }
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let provider = Arc::new(provider);
    let chain =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ChainOnly(chain)))
        .with_client_auth_cert(certificates(&files.certificate)?, key)?;
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Believes every server of the bench's own root: a workload's certificate names no host.
#[derive(Debug)]
struct ChainOnly(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The library looks at names last, when the chain has been verified.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
