//! A workload that holds its certificate in the test's own hands: it can say anything to anybody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{AuthnError, ClientTls, CredentialStore, Credentials, TrustStore, bundle_from_pem};
use bailiwick_wire::proto::client_message::Kind;
use bailiwick_wire::proto::configuration_client::ConfigurationClient;
use bailiwick_wire::proto::identity_client::IdentityClient;
use bailiwick_wire::proto::{ClientMessage, Hello, IssueRequest, IssueResponse, ServerMessage};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::client::Http;
use crate::world::{OPERATOR_ID, World};

const SOON: Duration = Duration::from_secs(10);

/// A connection whose kind does not matter.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A proven connection.
pub(crate) type Mesh = Http<Box<dyn Stream>>;

#[derive(Clone)]
pub(crate) struct Member {
    credentials: Arc<CredentialStore>,
    trust: Arc<TrustStore>,
}

/// A signing request that names these URIs.
pub(crate) fn signing_request(uris: &[&str]) -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    let request = params.serialize_request(&key).unwrap().der().to_vec();
    (key, request)
}

/// The token that the operator wrote for a workload.
pub(crate) fn token(world: &World, name: &str) -> Vec<u8> {
    std::fs::read(world.path(&format!("state/tokens/shop.{name}.token"))).unwrap()
}

impl Member {
    /// One that trusts the mesh's root and has no certificate.
    pub(crate) fn stranger(world: &World) -> Self {
        let bundle = std::fs::read(world.path("state/bundle.pem")).unwrap();
        let trust = Arc::new(TrustStore::new(bundle_from_pem(&bundle).unwrap()).unwrap());
        Self { credentials: Arc::default(), trust }
    }

    /// One that holds a certificate which somebody else signed.
    pub(crate) fn with(world: &World, credentials: Credentials) -> Self {
        let member = Self::stranger(world);
        member.credentials.replace(credentials);
        member
    }

    /// One that got its certificate with a workload's token.
    pub(crate) async fn enrol(world: &World, name: &str) -> Self {
        let member = Self::stranger(world);
        let (key, request) = signing_request(&[]);
        let issued = member.issue(world, token(world, name), request).await.unwrap();
        member.credentials.replace(credentials(&issued, &key));
        member
    }

    /// A connection to the sidecar of a workload, proven if there is a certificate.
    pub(crate) async fn connect(&self, address: SocketAddr, workload: &str) -> Result<Mesh, AuthnError> {
        let trust = Arc::clone(&self.trust);
        let tls = match self.credentials.current() {
            Some(_) => ClientTls::mesh(Arc::clone(&self.credentials), trust),
            None => ClientTls::stranger(trust),
        };
        let expected = format!("spiffe://cluster.local/ns/shop/sa/{workload}").parse().unwrap();
        let stream = TcpStream::connect(address).await.map_err(AuthnError::Io)?;
        stream.set_nodelay(true).map_err(AuthnError::Io)?;
        let connected = bailiwick_authn::connect(stream, &tls, &expected, SOON).await?;
        Ok(Http::on(Box::new(connected.stream) as Box<dyn Stream>))
    }

    /// A connection to a sidecar as if it were the operator.
    pub(crate) async fn connect_as_control(
        &self,
        address: SocketAddr,
        workload: &str,
    ) -> Result<(), AuthnError> {
        let tls = ClientTls::control(Arc::clone(&self.credentials), Arc::clone(&self.trust));
        let expected = format!("spiffe://cluster.local/ns/shop/sa/{workload}").parse().unwrap();
        let stream = TcpStream::connect(address).await.map_err(AuthnError::Io)?;
        bailiwick_authn::connect(stream, &tls, &expected, SOON).await.map(drop)
    }

    async fn channel(&self, address: SocketAddr) -> Channel {
        let tls = ClientTls::control(Arc::clone(&self.credentials), Arc::clone(&self.trust));
        let socket = TcpStream::connect(address).await.unwrap();
        let expected = OPERATOR_ID.parse().unwrap();
        let connected = bailiwick_authn::connect(socket, &tls, &expected, SOON).await.unwrap();
        let mut once = Some(TokioIo::new(connected.stream));
        let connector = tower::service_fn(move |_: http::Uri| {
            let stream = once.take();
            async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        Endpoint::from_static("http://operator.test").connect_with_connector(connector).await.unwrap()
    }

    /// Asks for a certificate.
    pub(crate) async fn issue(
        &self,
        world: &World,
        token: Vec<u8>,
        csr: Vec<u8>,
    ) -> Result<IssueResponse, Status> {
        let mut client = IdentityClient::new(self.channel(world.identity).await);
        let answer = timeout(SOON, client.issue(IssueRequest { token, csr })).await.unwrap();
        answer.map(tonic::Response::into_inner)
    }

    /// Asks for the configuration of a workload; the first message, or the refusal.
    pub(crate) async fn subscribe(&self, world: &World, workload: &str) -> Result<ServerMessage, Status> {
        let mut client = ConfigurationClient::new(self.channel(world.configuration).await);
        let (say, messages) = tokio::sync::mpsc::channel(4);
        let hello = Hello {
            schema_level: bailiwick_wire::SCHEMA_LEVEL,
            sidecar_version: "0.1.0".into(),
            namespace: "shop".into(),
            workload: workload.into(),
            instance: "made-by-hand".into(),
            held: None,
            bundle_digest: Vec::new(),
        };
        say.send(ClientMessage { kind: Some(Kind::Hello(hello)) }).await.unwrap();
        let answer = timeout(SOON, client.stream(ReceiverStream::new(messages))).await.unwrap()?;
        let mut stream: Streaming<ServerMessage> = answer.into_inner();
        let message = timeout(SOON, stream.message()).await.unwrap()?;
        message.ok_or_else(|| Status::ok("the end"))
    }
}

/// A certificate with its key.
pub(crate) fn credentials(issued: &IssueResponse, key: &KeyPair) -> Credentials {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Credentials::new(issued.chain.clone(), key).unwrap()
}
