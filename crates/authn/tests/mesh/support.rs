//! Our side is the crate's own code; the other side is either that too, or a raw client or server without scruples.
#![expect(clippy::expect_used, reason = "test code: a failure is the report")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{
    ALPN, Accepted, AuthnError, ClientTls, Connected, CredentialStore, Credentials, ServerTls, TrustStore,
    accept, alert_received, connect,
};
use bailiwick_identity::{SpiffeId, TrustBundle, TrustDomain};
use bailiwick_testkit::TestCredentials;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
pub(crate) const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";
pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) fn domain(name: &str) -> TrustDomain {
    name.parse().expect("a trust domain")
}

pub(crate) fn own_domain() -> Vec<TrustDomain> {
    vec![domain("cluster.local")]
}

pub(crate) fn id(text: &str) -> SpiffeId {
    text.parse().expect("a SPIFFE ID")
}

/// Credentials and trust of one of our sides.
pub(crate) struct Side {
    pub(crate) credentials: Arc<CredentialStore>,
    pub(crate) trust: Arc<TrustStore>,
}

impl Side {
    pub(crate) fn new(credentials: &TestCredentials, bundle: TrustBundle) -> Self {
        let side = Self::without_certificate(bundle);
        side.renew(credentials);
        side
    }

    pub(crate) fn without_certificate(bundle: TrustBundle) -> Self {
        let trust = Arc::new(TrustStore::new(bundle).expect("good roots"));
        Self { credentials: Arc::default(), trust }
    }

    pub(crate) fn renew(&self, credentials: &TestCredentials) {
        let credentials = Credentials::new(credentials.chain.clone(), credentials.key_der());
        self.credentials.replace(credentials.expect("good credentials"));
    }

    pub(crate) fn server(&self) -> ServerTls {
        ServerTls::mesh(Arc::clone(&self.credentials), Arc::clone(&self.trust))
    }

    pub(crate) fn client(&self) -> ClientTls {
        ClientTls::mesh(Arc::clone(&self.credentials), Arc::clone(&self.trust))
    }
}

pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (accepted.expect("a connection").0, client.expect("a connection"))
}

/// Both sides are ours.
pub(crate) async fn meet(
    server: &Side,
    client: &Side,
    expected: &str,
) -> (Result<Accepted<TcpStream>, AuthnError>, Result<Connected<TcpStream>, AuthnError>) {
    let (near, far) = pair().await;
    let (server, client) = (server.server(), client.client());
    let (domains, expected) = (own_domain(), id(expected));
    tokio::join!(accept(near, &server, &domains, SOON), connect(far, &client, &expected, SOON))
}

/// A client without scruples: it believes any server and presents whatever it is given.
pub(crate) fn raw_client(credentials: Option<&TestCredentials>, alpn: &[&[u8]]) -> ClientConfig {
    raw_client_of(credentials, alpn, &[&rustls::version::TLS13])
}

pub(crate) fn raw_client_of(
    credentials: Option<&TestCredentials>,
    alpn: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(BelievesAnything));
    let mut config = match credentials {
        Some(credentials) => builder.with_client_cert_resolver(Arc::new(certified(credentials))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

pub(crate) fn raw_server(credentials: &TestCredentials, alpn: &[&[u8]]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certified(credentials)));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// Certificate and key are not compared, so that a client can present a certificate of somebody else.
fn certified(credentials: &TestCredentials) -> SingleCertAndKey {
    let key = default_provider().key_provider.load_private_key(credentials.key_der()).expect("a key");
    let chain = credentials.chain.iter().cloned().map(CertificateDer::from).collect();
    SingleCertAndKey::from(CertifiedKey::new(chain, key))
}

/// What a raw client saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The alert that it got, in the handshake or from its first read.
    pub(crate) alert: Option<String>,
}

/// A raw client meets our server.
pub(crate) async fn knock(
    server: &Side,
    client: ClientConfig,
) -> (Result<Accepted<TcpStream>, AuthnError>, Seen) {
    let (near, far) = pair().await;
    let settings = server.server();
    let domains = own_domain();
    let ours = async {
        // The connection ends here, so that the client's read does.
        let mut accepted = accept(near, &settings, &domains, SOON).await?;
        tokio::io::AsyncWriteExt::shutdown(&mut accepted.stream).await.expect("a close");
        Ok(accepted)
    };
    let theirs = async {
        let name = ServerName::try_from("any.name").expect("a name");
        match TlsConnector::from(Arc::new(client)).connect(name, far).await {
            Ok(mut stream) => Seen { alert: first_alert(&mut stream).await },
            Err(error) => Seen { alert: alert_received(&error) },
        }
    };
    tokio::join!(ours, theirs)
}

pub(crate) async fn first_alert(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let outcome: io::Result<usize> = stream.read(&mut [0; 1]).await;
    outcome.err().and_then(|error| alert_received(&error))
}

/// Our client meets a raw server that asks for no certificate.
pub(crate) async fn call(
    client: &Side,
    expected: &str,
    server: ServerConfig,
) -> (Result<Connected<TcpStream>, AuthnError>, usize) {
    let (near, far) = pair().await;
    let settings = client.client();
    let expected = id(expected);
    let ours = connect(far, &settings, &expected, SOON);
    let theirs = async {
        match TlsAcceptor::from(Arc::new(server)).accept(near).await {
            // How many bytes of the application came, when the client is gone or silent.
            Ok(mut stream) => {
                let read = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0; 64])).await;
                read.map_or(0, |read| read.unwrap_or(0))
            }
            Err(_) => 0,
        }
    };
    tokio::join!(ours, theirs)
}

/// A good raw client of the mesh, with another protocol list or certificate.
pub(crate) fn mesh_client(credentials: &TestCredentials) -> ClientConfig {
    raw_client(Some(credentials), &[ALPN])
}

#[derive(Debug)]
struct BelievesAnything;

impl ServerCertVerifier for BelievesAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
