//! The side of a replica that does not lead.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::{AuthnError, ClientTls};
use bailiwick_identity::SpiffeId;
use bailiwick_runtime::backoff::Backoff;
use bailiwick_runtime::drain;
use bailiwick_wire::encode_report;
use bailiwick_wire::proto::replica_message::Kind;
use bailiwick_wire::proto::replicas_client::ReplicasClient;
use bailiwick_wire::proto::{ReplicaHello, ReplicaMessage};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::codec;
use crate::cluster::fleet::Fleet;
use crate::cluster::lease::Leadership;
use crate::reports::Denials;

/// How long a connection, a handshake and a look at a pod may each take.
const DEADLINE: Duration = Duration::from_secs(5);
/// A leader that is gone without a word is noticed within twice this.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Messages that wait to be sent.
const OUTBOUND: usize = 256;
/// Between two looks at denials; nobody waits for them.
const DENIALS: Duration = Duration::from_secs(1);
/// A stream that held this long was good: the next attempt does not wait.
const GOOD: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why the leader is not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TellError {
    #[error("the leader `{0}` cannot be found: {1}")]
    NotFound(Arc<str>, String),
    #[error("the leader at {0} cannot be reached: {1}")]
    Unreachable(SocketAddr, io::Error),
    #[error("the leader is not authenticated: {0}")]
    Authn(#[from] AuthnError),
    #[error("the connection to the leader failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("the leader ended the stream: {0}")]
    Ended(Box<tonic::Status>),
    #[error("the leader does not read")]
    Slow,
}

/// Says where a replica is.
pub(crate) trait FindLeader: Send + Sync {
    fn find(&self, pod: &str) -> impl Future<Output = Result<IpAddr, String>> + Send;
}

/// Asks the API server.
#[derive(Clone)]
pub(crate) struct KubeLeader(pub(crate) Api<Pod>);

impl FindLeader for KubeLeader {
    async fn find(&self, pod: &str) -> Result<IpAddr, String> {
        let pod = match timeout(DEADLINE, self.0.get(pod)).await {
            Ok(Ok(pod)) => pod,
            Ok(Err(kube::Error::Api(status))) => return Err(status.message),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the API server did not answer in time".to_owned()),
        };
        let ip = pod.status.and_then(|status| status.pod_ip).ok_or_else(|| "it has no address".to_owned())?;
        ip.parse().map_err(|_| format!("its address is `{ip}`"))
    }
}

/// Tells the leader of our own sidecars.
pub(crate) struct Teller<F> {
    pub(crate) find: F,
    /// Every replica's.
    pub(crate) port: u16,
    pub(crate) me: Arc<str>,
    pub(crate) own: SpiffeId,
    pub(crate) tls: Arc<ClientTls>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) denials: Arc<Denials>,
    pub(crate) leadership: watch::Receiver<Leadership>,
}

impl<F: FindLeader> Teller<F> {
    /// Tells whoever leads, until the drain begins.
    pub(crate) async fn run(mut self, drain: drain::Watch) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        // The same is not told twice in a row.
        let mut told: Option<String> = None;
        loop {
            let me = Arc::clone(&self.me);
            let led_by_another = |leadership: &Leadership| {
                !leadership.leads() && leadership.holder.as_ref().is_some_and(|holder| *holder != me)
            };
            let leader = tokio::select! {
                biased;
                () = drain.signaled() => return,
                leadership = self.leadership.wait_for(led_by_another) => match leadership {
                    Ok(leadership) => leadership.holder.clone(),
                    Err(_) => return,
                },
            };
            let Some(leader) = leader else { continue };
            let started = Instant::now();
            let ended = tokio::select! {
                biased;
                () = drain.signaled() => return,
                ended = self.tell(&leader) => ended,
            };
            if started.elapsed() >= GOOD {
                backoff.reset();
                told = None;
            }
            if let Err(error) = ended {
                let error = error.to_string();
                if told.as_ref() != Some(&error) {
                    tracing::warn!(
                        error,
                        "the leader is not told of this replica's sidecars; it is tried again"
                    );
                }
                told = Some(error);
                tokio::select! {
                    biased;
                    () = drain.signaled() => return,
                    () = sleep(backoff.next_delay()) => {}
                }
            }
        }
    }

    /// Tells one leader, until somebody else leads.
    pub(super) async fn tell(&self, leader: &Arc<str>) -> Result<(), TellError> {
        let address =
            self.find.find(leader).await.map_err(|why| TellError::NotFound(Arc::clone(leader), why))?;
        let channel = self.dial(SocketAddr::new(address, self.port)).await?;
        let (outbound, messages) = mpsc::channel(OUTBOUND);
        let mut client = ReplicasClient::new(channel);
        let call = client.share(ReceiverStream::new(messages));
        let mut leadership = self.leadership.clone();
        let another = leadership.wait_for(|now| now.holder.as_ref() != Some(leader));
        tokio::select! {
            biased;
            ended = call => match ended {
                Ok(_) => Ok(()),
                Err(status) => Err(TellError::Ended(Box::new(status))),
            },
            told = self.send(outbound) => told,
            _ = another => Ok(()),
        }
    }

    /// Sends everything, then whatever changes. Ends only if nobody listens.
    async fn send(&self, outbound: mpsc::Sender<ReplicaMessage>) -> Result<(), TellError> {
        let send =
            async |kind: Kind| match timeout(DEADLINE, outbound.send(ReplicaMessage { kind: Some(kind) }))
                .await
            {
                Ok(Ok(())) => Ok(true),
                Ok(Err(_)) => Ok(false),
                Err(_) => Err(TellError::Slow),
            };
        let hello =
            ReplicaHello { replica: self.me.to_string(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let mut open = send(Kind::Hello(hello)).await?;
        let mut changes = self.fleet.subscribe();
        let (mut tick, mut denial) = (0, 0);
        let mut look = tokio::time::interval(DENIALS);
        while open {
            changes.mark_unchanged();
            let (up_to, told) = self.fleet.own_since(tick);
            tick = up_to;
            for told in told {
                open &= send(Kind::Sidecar(codec::encode(&told))).await?;
            }
            tokio::select! {
                changed = changes.changed() => open &= changed.is_ok(),
                _ = look.tick() => {
                    let (up_to, denials) = self.denials.own_since(denial);
                    denial = up_to;
                    for report in denials {
                        open &= send(Kind::Denial(encode_report(&report))).await?;
                    }
                }
            }
        }
        // The call itself says why it ended.
        std::future::pending().await
    }

    async fn dial(&self, address: SocketAddr) -> Result<Channel, TellError> {
        let unreachable = |error| TellError::Unreachable(address, error);
        let socket = timeout(DEADLINE, TcpStream::connect(address))
            .await
            .map_err(|_| unreachable(io::ErrorKind::TimedOut.into()))?
            .map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        let connected = bailiwick_authn::connect(socket, &self.tls, &self.own, DEADLINE).await?;
        let mut once = Some(TokioIo::new(connected.stream));
        let connector = service_fn(move |_: http::Uri| {
            let stream = once.take();
            async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        // The name is never resolved or believed: the peer was proven above.
        let channel = Endpoint::from_static("http://replica.bailiwick")
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await?;
        Ok(channel)
    }
}
