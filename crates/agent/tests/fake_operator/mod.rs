//! An operator in this process: real TLS and gRPC, with every answer given by the test.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bailiwick_authn::{
    Caller, ClientTls, CredentialStore, Credentials, ServerTls, TrustStore, accept_control,
};
use bailiwick_ca::Authority;
use bailiwick_identity::SpiffeId;
use bailiwick_wire::proto::client_message::Kind as FromClient;
use bailiwick_wire::proto::configuration_server::{Configuration, ConfigurationServer};
use bailiwick_wire::proto::destinations_server::{Destinations, DestinationsServer};
use bailiwick_wire::proto::identity_server::{Identity, IdentityServer};
use bailiwick_wire::proto::reports_server::{Reports, ReportsServer};
use bailiwick_wire::proto::server_message::Kind as FromServer;
use bailiwick_wire::proto::{
    Chunk, ClientMessage, DenialReport, Hello, IssueRequest, IssueResponse, LookupRequest, LookupResponse,
    ReportSummary, ServerMessage,
};
use bailiwick_wire::{Digest, Encoded, Position, encode_bundle};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn operator_id() -> SpiffeId {
    "spiffe://cluster.local/ns/bailiwick-system/sa/bailiwick-operator".parse().unwrap()
}

pub(crate) fn workload_id() -> SpiffeId {
    "spiffe://cluster.local/ns/shop/sa/orders".parse().unwrap()
}

/// What `Issue` does next.
#[derive(Clone)]
pub(crate) struct Issuing {
    pub(crate) id: SpiffeId,
    pub(crate) lifetime: Duration,
}

pub(crate) struct FakeOperator {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Arc<Authority>,
    pub(crate) issuing: Arc<Mutex<Issuing>>,
    pub(crate) tokens: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(crate) sessions: mpsc::UnboundedReceiver<Session>,
    pub(crate) lookups: mpsc::UnboundedReceiver<LookupSession>,
    pub(crate) reports: mpsc::UnboundedReceiver<ReportSession>,
}

/// One configuration stream, in the test's hands. Dropping it ends the stream.
pub(crate) struct Session {
    pub(crate) peer: SpiffeId,
    inbound: Streaming<ClientMessage>,
    outbound: mpsc::Sender<Result<ServerMessage, Status>>,
}

/// One reports stream. Dropping it ends the stream.
pub(crate) struct ReportSession {
    pub(crate) inbound: Streaming<DenialReport>,
    _open: mpsc::Sender<()>,
}

/// One destinations stream.
pub(crate) struct LookupSession {
    pub(crate) inbound: Streaming<LookupRequest>,
    pub(crate) outbound: mpsc::Sender<Result<LookupResponse, Status>>,
}

impl FakeOperator {
    pub(crate) async fn start() -> Self {
        let authority =
            Arc::new(Authority::ephemeral(&"cluster.local".parse().unwrap(), SystemTime::now()).unwrap());
        let own = authority.issue_own(&operator_id(), Duration::from_secs(3600), SystemTime::now()).unwrap();
        let credentials = Arc::new(CredentialStore::default());
        credentials.replace(Credentials::new(own.issued.chain, own.key.into()).unwrap());
        let trust = Arc::new(TrustStore::new(authority.bundle()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = accept_loop(listener, ServerTls::control(credentials, trust));
        let issuing =
            Arc::new(Mutex::new(Issuing { id: workload_id(), lifetime: Duration::from_secs(3600) }));
        let tokens = Arc::default();
        let (session_sender, sessions) = mpsc::unbounded_channel();
        let (lookup_sender, lookups) = mpsc::unbounded_channel();
        let (report_sender, reports) = mpsc::unbounded_channel();
        let service = Service {
            authority: Arc::clone(&authority),
            issuing: Arc::clone(&issuing),
            tokens: Arc::clone(&tokens),
            sessions: session_sender,
            lookups: lookup_sender,
            reports: report_sender,
        };
        let server = Server::builder()
            .add_service(IdentityServer::new(service.clone()))
            .add_service(ConfigurationServer::new(service.clone()))
            .add_service(DestinationsServer::new(service.clone()))
            .add_service(ReportsServer::new(service))
            .serve_with_incoming(UnboundedReceiverStream::new(connections));
        tokio::spawn(async move { server.await.unwrap() });
        Self { address, authority, issuing, tokens, sessions, lookups, reports }
    }

    /// What a workload has: its certificate of one hour, trust, and a dialer that uses both.
    pub(crate) fn workload(&self) -> (Arc<CredentialStore>, Arc<TrustStore>, bailiwick_agent::Dialer) {
        let credentials = Arc::new(CredentialStore::default());
        let own =
            self.authority.issue_own(&workload_id(), Duration::from_secs(3600), SystemTime::now()).unwrap();
        credentials.replace(Credentials::new(own.issued.chain, own.key.into()).unwrap());
        let trust = Arc::new(TrustStore::new(self.authority.bundle()).unwrap());
        let dialer = self.dialer(&credentials, &trust);
        (credentials, trust, dialer)
    }

    pub(crate) fn dialer(
        &self,
        credentials: &Arc<CredentialStore>,
        trust: &Arc<TrustStore>,
    ) -> bailiwick_agent::Dialer {
        let tls = Arc::new(ClientTls::control(Arc::clone(credentials), Arc::clone(trust)));
        bailiwick_agent::Dialer::new(&self.address.to_string(), operator_id(), tls)
    }

    pub(crate) async fn session(&mut self) -> Session {
        timeout(PATIENCE, self.sessions.recv()).await.unwrap().unwrap()
    }

    pub(crate) async fn lookup_session(&mut self) -> LookupSession {
        timeout(PATIENCE, self.lookups.recv()).await.unwrap().unwrap()
    }
}

impl Session {
    pub(crate) async fn receive(&mut self) -> FromClient {
        timeout(PATIENCE, self.inbound.message()).await.unwrap().unwrap().unwrap().kind.unwrap()
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        let message = self.receive().await;
        let FromClient::Hello(hello) = message else { panic!("expected a hello, got {message:?}") };
        hello
    }

    pub(crate) async fn send(&self, kind: FromServer) {
        self.outbound.send(Ok(ServerMessage { kind: Some(kind) })).await.unwrap();
    }

    pub(crate) async fn send_header(&self, encoded: &Encoded, position: &Position) {
        self.send(FromServer::SnapshotHeader(encoded.header(position))).await;
    }

    pub(crate) async fn send_chunk(&self, encoded: &Encoded, digest: &[u8]) {
        let digest = Digest::try_from(digest).unwrap();
        let content = encoded.chunks().get(&digest).unwrap().to_vec();
        self.send(FromServer::Chunk(Chunk { digest: digest.to_vec(), content })).await;
    }

    /// The digests that are wanted after a header.
    pub(crate) async fn wanted(&mut self) -> Vec<Vec<u8>> {
        let message = self.receive().await;
        let FromClient::Want(want) = message else { panic!("expected a want, got {message:?}") };
        want.digests
    }

    /// Sends a whole snapshot and returns the chunks that were wanted.
    pub(crate) async fn push(&mut self, encoded: &Encoded, position: &Position) -> Vec<Vec<u8>> {
        self.send_header(encoded, position).await;
        let wanted = self.wanted().await;
        for digest in &wanted {
            self.send_chunk(encoded, digest).await;
        }
        wanted
    }

    pub(crate) async fn nack(&mut self) -> String {
        let message = self.receive().await;
        let FromClient::Nack(nack) = message else { panic!("expected a nack, got {message:?}") };
        nack.reason
    }

    pub(crate) async fn ack(&mut self) -> u64 {
        let message = self.receive().await;
        let FromClient::Ack(ack) = message else { panic!("expected an ack, got {message:?}") };
        ack.version
    }

    pub(crate) async fn silent(&mut self) -> bool {
        timeout(Duration::from_millis(150), self.inbound.message()).await.is_err()
    }
}

#[derive(Clone)]
struct Service {
    authority: Arc<Authority>,
    issuing: Arc<Mutex<Issuing>>,
    tokens: Arc<Mutex<Vec<Vec<u8>>>>,
    sessions: mpsc::UnboundedSender<Session>,
    lookups: mpsc::UnboundedSender<LookupSession>,
    reports: mpsc::UnboundedSender<ReportSession>,
}

#[derive(Clone)]
struct Proven(Option<SpiffeId>);

fn peer<T>(request: &Request<T>) -> Result<SpiffeId, Status> {
    let proven = request.extensions().get::<Proven>().and_then(|proven| proven.0.clone());
    proven.ok_or_else(|| Status::unauthenticated("a certificate is required"))
}

#[tonic::async_trait]
impl Identity for Service {
    async fn issue(&self, request: Request<IssueRequest>) -> Result<Response<IssueResponse>, Status> {
        let request = request.into_inner();
        self.tokens.lock().unwrap().push(request.token);
        let Issuing { id, lifetime } = self.issuing.lock().unwrap().clone();
        let issued = self.authority.issue(&request.csr, &id, lifetime, SystemTime::now()).unwrap();
        Ok(Response::new(IssueResponse {
            bundle: encode_bundle(&self.authority.bundle()),
            not_before: 0,
            not_after: issued.not_after,
            chain: issued.chain,
        }))
    }
}

#[tonic::async_trait]
impl Configuration for Service {
    type StreamStream = ReceiverStream<Result<ServerMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (outbound, messages) = mpsc::channel(16);
        let session = Session { peer: peer(&request)?, inbound: request.into_inner(), outbound };
        self.sessions.send(session).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

#[tonic::async_trait]
impl Destinations for Service {
    type LookupStream = ReceiverStream<Result<LookupResponse, Status>>;

    async fn lookup(
        &self,
        request: Request<Streaming<LookupRequest>>,
    ) -> Result<Response<Self::LookupStream>, Status> {
        peer(&request)?;
        let (outbound, answers) = mpsc::channel(16);
        self.lookups
            .send(LookupSession { inbound: request.into_inner(), outbound })
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

#[tonic::async_trait]
impl Reports for Service {
    async fn report(
        &self,
        request: Request<Streaming<DenialReport>>,
    ) -> Result<Response<ReportSummary>, Status> {
        peer(&request)?;
        let (open, mut ended) = mpsc::channel(1);
        let session = ReportSession { inbound: request.into_inner(), _open: open };
        self.reports.send(session).map_err(|_| Status::unavailable("the test is over"))?;
        ended.recv().await;
        Err(Status::unavailable("the operator goes away"))
    }
}

fn accept_loop(listener: TcpListener, tls: ServerTls) -> mpsc::UnboundedReceiver<io::Result<Io>> {
    let (sender, connections) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let domains = ["cluster.local".parse().unwrap()];
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(accepted) = accept_control(socket, &tls, &domains, PATIENCE).await else { continue };
            let id = match &accepted.caller {
                Caller::Peer(peer, _) => Some(peer.id().clone()),
                Caller::FirstContact => None,
            };
            let io = Io { stream: Box::pin(accepted.stream), proven: Proven(id) };
            if sender.send(Ok(io)).is_err() {
                return;
            }
        }
    });
    connections
}

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

struct Io {
    stream: Pin<Box<dyn Duplex>>,
    proven: Proven,
}

impl Connected for Io {
    type ConnectInfo = Proven;

    fn connect_info(&self) -> Proven {
        self.proven.clone()
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}
