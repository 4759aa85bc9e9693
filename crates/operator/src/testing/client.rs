//! A sidecar made by hand: the client side of every service, without any mercy of the real one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{ClientTls, CredentialStore, Credentials, TrustStore, bundle_from_pem};
use bailiwick_identity::SpiffeId;
use bailiwick_wire::proto::client_message::Kind as Say;
use bailiwick_wire::proto::configuration_client::ConfigurationClient;
use bailiwick_wire::proto::destinations_client::DestinationsClient;
use bailiwick_wire::proto::identity_client::IdentityClient;
use bailiwick_wire::proto::server_message::Kind as Hear;
use bailiwick_wire::proto::{
    Ack, ClientMessage, Hello, IssueRequest, IssueResponse, LookupRequest, LookupResponse, ServerMessage,
    Want,
};
use bailiwick_wire::{Assembled, Header, assemble, decode_chunk, decode_header};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// One sidecar's trust and credentials.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) operator: SpiffeId,
    pub(crate) credentials: Arc<CredentialStore>,
    tls: Arc<ClientTls>,
}

/// A signing request for a new key.
pub(crate) fn signing_request(names: &[&str]) -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).unwrap();
    let request = params.serialize_request(&key).unwrap().der().to_vec();
    (key, request)
}

impl Client {
    pub(crate) fn new(bundle_pem: &[u8], operator: SpiffeId) -> Self {
        let trust = Arc::new(TrustStore::new(bundle_from_pem(bundle_pem).unwrap()).unwrap());
        let credentials = Arc::new(CredentialStore::default());
        let tls = Arc::new(ClientTls::control(Arc::clone(&credentials), trust));
        Self { operator, credentials, tls }
    }

    pub(crate) async fn channel(&self, address: SocketAddr) -> Channel {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let connected = bailiwick_authn::connect(socket, &self.tls, &self.operator, SOON).await.unwrap();
        let mut once = Some(TokioIo::new(connected.stream));
        let connector = tower::service_fn(move |_: http::Uri| {
            let stream = once.take();
            async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        Endpoint::from_static("http://operator.test").connect_with_connector(connector).await.unwrap()
    }

    pub(crate) async fn issue(
        &self,
        address: SocketAddr,
        token: &[u8],
        csr: Vec<u8>,
    ) -> Result<IssueResponse, Status> {
        let mut client = IdentityClient::new(self.channel(address).await);
        let answer = client.issue(IssueRequest { token: token.to_vec(), csr });
        timeout(SOON, answer).await.unwrap().map(tonic::Response::into_inner)
    }

    /// Asks for a certificate and uses it from now on.
    pub(crate) async fn enrol(&self, address: SocketAddr, token: &[u8]) {
        let (key, csr) = signing_request(&[]);
        let issued = self.issue(address, token, csr).await.unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        self.credentials.replace(Credentials::new(issued.chain, key).unwrap());
    }

    pub(crate) fn identity(&self) -> String {
        self.credentials.current().unwrap().leaf().id().to_string()
    }

    pub(crate) async fn stream(&self, address: SocketAddr, hello: Hello) -> Result<Stream, Status> {
        let mut client = ConfigurationClient::new(self.channel(address).await);
        let (say, messages) = mpsc::channel(16);
        say.send(ClientMessage { kind: Some(Say::Hello(hello)) }).await.unwrap();
        let hear = timeout(SOON, client.stream(ReceiverStream::new(messages))).await.unwrap()?.into_inner();
        Ok(Stream { say, hear })
    }

    pub(crate) async fn lookups(&self, address: SocketAddr) -> Result<Lookups, Status> {
        let mut client = DestinationsClient::new(self.channel(address).await);
        let (say, messages) = mpsc::channel(16);
        let hear = timeout(SOON, client.lookup(ReceiverStream::new(messages))).await.unwrap()?.into_inner();
        Ok(Lookups { say, hear })
    }
}

pub(crate) fn hello(workload: &str, instance: &str) -> Hello {
    let (namespace, workload) = workload.split_once('/').unwrap();
    Hello {
        schema_level: 1,
        sidecar_version: "0.1.0".into(),
        namespace: namespace.into(),
        workload: workload.into(),
        instance: instance.into(),
        held: None,
        bundle_digest: Vec::new(),
    }
}

pub(crate) struct Lookups {
    pub(crate) say: mpsc::Sender<LookupRequest>,
    hear: Streaming<LookupResponse>,
}

impl Lookups {
    pub(crate) async fn next(&mut self) -> Result<LookupResponse, Status> {
        timeout(SOON, self.hear.message()).await.unwrap().map(|answer| answer.unwrap())
    }
}

pub(crate) struct Stream {
    say: mpsc::Sender<ClientMessage>,
    hear: Streaming<ServerMessage>,
}

impl Stream {
    pub(crate) async fn say(&self, kind: Say) {
        self.say.send(ClientMessage { kind: Some(kind) }).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Result<Hear, Status> {
        let message = timeout(SOON, self.hear.message()).await.unwrap()?;
        message.and_then(|message| message.kind).ok_or_else(|| Status::ok("the end"))
    }

    /// The next header; bundles are passed over.
    pub(crate) async fn header(&mut self) -> Result<Header, Status> {
        loop {
            if let Hear::SnapshotHeader(bytes) = self.next().await? {
                return Ok(decode_header(&bytes).unwrap());
            }
        }
    }

    /// Asks for every chunk of a header, and joins them.
    pub(crate) async fn whole(&mut self, header: Header) -> Result<Assembled, Status> {
        let digests: Vec<_> = header.digests().collect();
        let mut objects = std::collections::HashMap::new();
        if !digests.is_empty() {
            let digests = digests.iter().map(|digest| digest.to_vec()).collect();
            self.say(Say::Want(Want { snapshot_id: header.id().0.to_vec(), digests })).await;
        }
        while objects.len() < digests.len() {
            let Hear::Chunk(chunk) = self.next().await? else { continue };
            let digest = digests.iter().find(|digest| digest.to_vec() == chunk.digest).unwrap();
            objects.insert(*digest, Arc::new(decode_chunk(&chunk.content, digest).unwrap()));
        }
        Ok(assemble(header, &|digest| objects.get(&digest).cloned()).unwrap())
    }

    pub(crate) async fn acknowledge(&self, assembled: &Assembled) {
        let (snapshot_id, version) = (assembled.id.0.to_vec(), assembled.position.version);
        self.say(Say::Ack(Ack { snapshot_id, version })).await;
    }
}
