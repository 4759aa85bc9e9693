use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bailiwick_ca::ServingAuthority;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;

use super::{AdmissionError, AdmissionTls};
use crate::algorithms::provider;

const NAME: &str = "bailiwick-operator.bailiwick-system.svc";
const HOUR: Duration = Duration::from_secs(3600);

fn authority() -> ServingAuthority {
    let made = ServingAuthority::make_pem(HOUR, SystemTime::now()).unwrap();
    ServingAuthority::from_pem(&made.certificate, &made.key).unwrap()
}

fn serve(tls: &AdmissionTls, authority: &ServingAuthority) {
    let leaf = authority.issue(&[NAME.to_owned()], HOUR, SystemTime::now()).unwrap();
    tls.replace(leaf.certificate.as_bytes(), leaf.key.as_bytes()).unwrap();
}

async fn call(
    tls: &AdmissionTls,
    believes: &ServingAuthority,
    version: &'static SupportedProtocolVersion,
    own: Option<(&str, &str)>,
) -> (Result<(), AdmissionError>, bool) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(believes.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    let (server, client) = tokio::io::duplex(64 * 1024);
    let connector = TlsConnector::from(Arc::new(config));
    let connect = connector.connect(ServerName::try_from(NAME).unwrap(), client);
    let (accepted, connected) = tokio::join!(tls.accept(server, Duration::from_secs(5)), connect);
    (accepted.map(|_| ()), connected.is_ok())
}

#[tokio::test]
async fn the_api_server_believes_the_certificate_of_now() {
    let tls = AdmissionTls::new(None).unwrap();
    let (old, new) = (authority(), authority());
    assert!(matches!(call(&tls, &old, &TLS13, None).await.0, Err(AdmissionError::NoCertificate)));
    serve(&tls, &old);
    assert!(matches!(call(&tls, &old, &TLS13, None).await, (Ok(()), true)));
    serve(&tls, &new);
    assert!(!call(&tls, &old, &TLS13, None).await.1);
    assert!(matches!(call(&tls, &new, &TLS13, None).await, (Ok(()), true)));
    assert!(call(&tls, &new, &TLS12, None).await.0.is_err(), "TLS 1.3 only");
}

#[tokio::test]
async fn what_does_not_belong_together_leaves_the_certificate_in_use() {
    let tls = AdmissionTls::new(None).unwrap();
    let authority = authority();
    serve(&tls, &authority);
    let names = [NAME.to_owned()];
    let now = SystemTime::now();
    let (one, two) =
        (authority.issue(&names, HOUR, now).unwrap(), authority.issue(&names, HOUR, now).unwrap());
    let mixed = tls.replace(one.certificate.as_bytes(), two.key.as_bytes());
    assert!(matches!(mixed, Err(AdmissionError::Certificate(_))), "{mixed:?}");
    assert!(tls.replace(b"", b"").is_err());
    assert!(matches!(call(&tls, &authority, &TLS13, None).await, (Ok(()), true)));
}

#[tokio::test]
async fn k6_with_roots_for_callers_nobody_else_gets_in() {
    let callers = authority();
    let tls = AdmissionTls::new(Some(callers.pem().as_bytes())).unwrap();
    let own = authority();
    serve(&tls, &own);
    assert!(call(&tls, &own, &TLS13, None).await.0.is_err());
    // A certificate of another authority.
    let other = own.issue(&["api".to_owned()], HOUR, SystemTime::now()).unwrap();
    assert!(call(&tls, &own, &TLS13, Some((&other.certificate, &other.key))).await.0.is_err());
    assert!(AdmissionTls::new(Some(b"")).is_err());
    assert!(
        AdmissionTls::new(Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).is_err()
    );
}
