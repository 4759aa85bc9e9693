//! The leader's side.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bailiwick_identity::SpiffeId;
use bailiwick_runtime::drain;
use bailiwick_wire::decode_report;
use bailiwick_wire::proto::replica_message::Kind;
use bailiwick_wire::proto::replicas_server::Replicas;
use bailiwick_wire::proto::{ReplicaMessage, ShareSummary};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::codec;
use crate::cluster::fleet::Fleet;
use crate::cluster::lease::Leadership;
use crate::reports::Denials;
use crate::serve::{Caller, proven};

/// How long a replica may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);
/// The name of a pod.
const LONGEST_NAME: usize = 253;

/// The service.
#[derive(Debug)]
pub(crate) struct ReplicasService {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) denials: Arc<Denials>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// The operator's own identity: nobody else is a replica.
    pub(crate) own: SpiffeId,
    pub(crate) drain: drain::Watch,
    pub(crate) streams: Streams,
}

/// The stream that speaks for each replica: the latest.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<HashMap<Arc<str>, (u64, CancellationToken)>>);

impl Streams {
    fn begin(&self, replica: &Arc<str>) -> (u64, CancellationToken) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (number, ended) = (NEXT.fetch_add(1, Ordering::Relaxed), CancellationToken::new());
        if let Some((_, old)) = self.lock().insert(Arc::clone(replica), (number, ended.clone())) {
            old.cancel();
        }
        (number, ended)
    }

    /// True if nobody else speaks for the replica by now.
    fn end(&self, replica: &Arc<str>, number: u64) -> bool {
        let mut streams = self.lock();
        let ours = streams.get(replica).is_some_and(|(known, _)| *known == number);
        if ours {
            streams.remove(replica);
        }
        ours
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, (u64, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl Replicas for ReplicasService {
    /// FAIL-CLOSED: whoever is told here raises `Enforced`, so only the operator's own identity is let in.
    async fn share(
        &self,
        request: Request<Streaming<ReplicaMessage>>,
    ) -> Result<Response<ShareSummary>, Status> {
        let caller = proven(&request)?;
        if *caller.id() != self.own {
            return Err(Status::permission_denied(format!(
                "`{}` is no replica of the operator",
                caller.id()
            )));
        }
        if !self.leadership.borrow().leads() {
            return Err(Status::failed_precondition("this replica does not lead"));
        }
        let mut inbound = request.into_inner();
        let first = timeout(HELLO, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the first message did not come in time"))??;
        let Some(Kind::Hello(hello)) = first.and_then(|message| message.kind) else {
            return Err(Status::invalid_argument("the first message must be a ReplicaHello"));
        };
        if hello.replica.is_empty() || hello.replica.len() > LONGEST_NAME {
            return Err(Status::invalid_argument("the replica has no name"));
        }
        let replica: Arc<str> = Arc::from(hello.replica);
        let (number, replaced) = self.streams.begin(&replica);
        self.fleet.replica_begins(&replica);
        tracing::info!(%replica, version = hello.version, "a replica tells of its sidecars");
        let ended = self.listen(&replica, inbound, (caller, replaced)).await;
        tracing::info!(%replica, status = %ended, "a replica tells no more");
        if self.streams.end(&replica, number) {
            self.fleet.replica_gone(&replica);
        }
        if ended.code() == tonic::Code::Ok { Ok(Response::new(ShareSummary {})) } else { Err(ended) }
    }
}

impl ReplicasService {
    async fn listen(
        &self,
        replica: &Arc<str>,
        mut inbound: Streaming<ReplicaMessage>,
        (caller, replaced): (Caller, CancellationToken),
    ) -> Status {
        let mut leadership = self.leadership.clone();
        let deposed = leadership.wait_for(|leadership| !leadership.leads());
        let expiry = caller.expiry();
        tokio::pin!(deposed, expiry);
        loop {
            let message = tokio::select! {
                biased;
                () = self.drain.signaled() => return Status::unavailable("the operator is stopping"),
                () = replaced.cancelled() => return Status::aborted("another stream of this replica has begun"),
                _ = &mut deposed => return Status::failed_precondition("this replica leads no more"),
                () = &mut expiry => return Status::unauthenticated("the certificate of this connection has expired"),
                message = inbound.message() => message,
            };
            let kind = match message {
                Ok(Some(message)) => message.kind,
                Ok(None) => return Status::ok("the replica ended the stream"),
                Err(status) => return status,
            };
            if let Err(status) = self.receive(replica, kind) {
                return status;
            }
        }
    }

    fn receive(&self, replica: &Arc<str>, kind: Option<Kind>) -> Result<(), Status> {
        match kind {
            Some(Kind::Sidecar(state)) => {
                let told =
                    codec::decode(state).map_err(|error| Status::invalid_argument(error.to_string()))?;
                self.fleet.told(replica, told);
            }
            Some(Kind::Denial(denial)) => {
                let report =
                    decode_report(&denial).map_err(|error| Status::invalid_argument(error.to_string()))?;
                self.denials.keep_told(report);
            }
            Some(Kind::Hello(_)) => {
                return Err(Status::invalid_argument("only the first message is a ReplicaHello"));
            }
            // A newer replica knows more kinds of messages.
            None => {}
        }
        Ok(())
    }
}
