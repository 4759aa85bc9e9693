//! One sidecar's stream. It holds at most the latest snapshot and the chunks that are being sent, whatever the
//! sidecar does.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_identity::SpiffeId;
use bailiwick_policy::SnapshotId;
use bailiwick_runtime::drain;
use bailiwick_wire::proto::client_message::Kind as FromSidecar;
use bailiwick_wire::proto::server_message::Kind as ToSidecar;
use bailiwick_wire::proto::{Ack, Chunk, ClientMessage, Held, ServerMessage, Want};
use bailiwick_wire::{Digest, Position};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::gone;
use crate::metrics::OperatorMetrics;
use crate::publish::{Publication, Published, Publisher};
use crate::serve::Caller;
use crate::status::{SidecarKey, StatusBoard};

/// A sidecar that takes nothing for this long is cut, so that it holds no memory; it comes again.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// A reason is a sentence; a longer one is cut before it is kept.
const LONGEST_REASON: usize = 512;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) key: SidecarKey,
    /// The peer's identity, and at its start the workload's.
    pub(super) identity: SpiffeId,
    pub(super) number: u64,
    pub(super) published: watch::Receiver<Arc<Published>>,
    pub(super) publisher: Arc<Publisher>,
    /// What the sidecar came with, while it is later than what this operator has published.
    pub(super) ahead: Option<Ahead>,
    pub(super) bundle: watch::Receiver<Arc<[u8]>>,
    /// The bundle that the sidecar says it believes.
    pub(super) believed: Option<Digest>,
    /// The snapshot that was sent last.
    pub(super) offered: Option<Arc<Published>>,
    pub(super) outbound: mpsc::Sender<Result<ServerMessage, Status>>,
    pub(super) status: Arc<StatusBoard>,
    pub(super) metrics: OperatorMetrics,
}

/// A sidecar that has seen more of the world than this operator.
#[derive(Debug)]
pub(super) struct Ahead {
    position: Position,
    snapshot: Vec<u8>,
    publications: watch::Receiver<Arc<Publication>>,
}

impl Ahead {
    /// `None` if the sidecar holds nothing that is later.
    pub(super) fn of(held: Option<&Held>, publisher: &Publisher) -> Option<Self> {
        let held = held?;
        let position = Position::from(held);
        let mut publications = publisher.publications();
        let ours = Arc::clone(&publications.borrow_and_update());
        let ahead = position.epoch == ours.position.epoch && ours.position.is_older_than(&position);
        // Where nobody can catch up, the sidecar is to say why it refuses.
        (ahead && publisher.want(&position.marks)).then(|| Self {
            position,
            snapshot: held.snapshot_id.clone(),
            publications,
        })
    }
}

/// Wakes at each publication, for as long as the sidecar is ahead.
async fn published_more(ahead: &mut Option<Ahead>) {
    let ended = match ahead {
        Some(ahead) => ahead.publications.changed().await.is_err(),
        None => true,
    };
    if ended {
        std::future::pending::<()>().await;
    }
}

impl Session {
    /// Runs until the stream ends.
    pub(super) async fn run(
        mut self,
        inbound: Streaming<ClientMessage>,
        caller: Caller,
        replaced: CancellationToken,
        drain: drain::Watch,
    ) {
        let status = self.converse(inbound, caller, replaced, drain).await;
        self.status.disconnected(&self.key, self.number);
        tracing::debug!(workload = %self.key.workload, instance = %self.key.instance, %status, "stream ended");
        if status.code() != Code::Ok {
            // Whoever is gone, or does not read, needs no reason.
            drop(self.outbound.try_send(Err(status)));
        }
    }

    /// Sends and receives; the status says why it ended.
    async fn converse(
        &mut self,
        mut inbound: Streaming<ClientMessage>,
        caller: Caller,
        replaced: CancellationToken,
        drain: drain::Watch,
    ) -> Status {
        let expiry = caller.expiry();
        tokio::pin!(expiry);
        if let Err(status) = self.begin().await {
            return status;
        }
        loop {
            let done = tokio::select! {
                biased;
                () = drain.signaled() => Err(Status::unavailable("the operator is stopping")),
                () = replaced.cancelled() => Err(Status::aborted("another stream of this sidecar has begun")),
                () = &mut expiry => Err(Status::unauthenticated("the certificate of this connection has expired")),
                () = self.outbound.closed() => Err(Status::ok("the sidecar left")),
                changed = self.published.changed() => match changed {
                    Ok(()) => self.offer().await,
                    Err(_) => Err(gone(&self.key.workload)),
                },
                () = published_more(&mut self.ahead) => self.caught_up().await,
                changed = self.bundle.changed() => match changed {
                    Ok(()) => self.send_bundle().await,
                    Err(_) => Err(Status::unavailable("the operator is stopping")),
                },
                message = inbound.message() => match message {
                    Ok(Some(message)) => self.receive(message).await,
                    Ok(None) => Err(Status::ok("the sidecar ended the stream")),
                    Err(status) => Err(status),
                },
            };
            if let Err(status) = done {
                return status;
            }
        }
    }

    /// Always the header, also of a snapshot that the sidecar already enforces: its acknowledgement is what counts,
    /// and it learns that what it has is the newest. Chunks that it holds are not sent again.
    async fn begin(&mut self) -> Result<(), Status> {
        let current = Digest::of(&self.bundle.borrow());
        if self.believed == Some(current) {
            self.status.bundle(&self.key, self.number, Ok(()));
        } else {
            self.send_bundle().await?;
        }
        self.offer().await
    }

    async fn offer(&mut self) -> Result<(), Status> {
        self.published.mark_unchanged();
        // INVARIANT: content and position are of one publication: newer marks on older content would let a lagging
        // operator give back what was revoked.
        let publication = self.publisher.current();
        let Some(published) = publication.workloads.get(&self.key.workload) else {
            return Err(gone(&self.key.workload));
        };
        // FAIL-CLOSED: a workload that changed its service account is no longer this caller's.
        if published.identity != self.identity {
            return Err(Status::permission_denied(format!(
                "workload `{}` now has the identity `{}`",
                self.key.workload, published.identity
            )));
        }
        if let Some(ahead) = &self.ahead {
            if !publication.position.is_older_than(&ahead.position) {
                self.ahead = None;
            } else if ahead.snapshot != published.encoded.id().0 {
                // It would be refused, since it may be what was revoked since. It waits until that is known.
                return Ok(());
            }
        }
        let Position { epoch, marks, .. } = publication.position.clone();
        let position = Position { epoch, marks, version: published.position.version };
        let header = published.encoded.header(&position);
        // Before it is sent: from then on the sidecar may enforce it.
        self.status.offered(&self.key, self.number, published.encoded.id(), position.version);
        self.offered = Some(Arc::clone(published));
        self.send(ToSidecar::SnapshotHeader(header)).await
    }

    /// Something was published while the sidecar was ahead.
    async fn caught_up(&mut self) -> Result<(), Status> {
        let reached = |ahead: &Ahead| !self.publisher.current().position.is_older_than(&ahead.position);
        if self.ahead.as_ref().is_some_and(reached) { self.offer().await } else { Ok(()) }
    }

    async fn send_bundle(&mut self) -> Result<(), Status> {
        let bytes = self.bundle.borrow_and_update().to_vec();
        self.send(ToSidecar::Bundle(bytes)).await
    }

    async fn receive(&mut self, message: ClientMessage) -> Result<(), Status> {
        match message.kind {
            Some(FromSidecar::Want(want)) => self.serve(want).await,
            Some(FromSidecar::Ack(ack)) => self.acknowledged(&ack),
            Some(FromSidecar::Nack(nack)) => {
                let reason = plain(&nack.reason);
                tracing::error!(workload = %self.key.workload, instance = %self.key.instance, version = nack.version, reason, "a sidecar refused a snapshot");
                self.status.refused(&self.key, self.number, nack.version, reason);
                Ok(())
            }
            Some(FromSidecar::BundleAck(_)) => {
                self.status.bundle(&self.key, self.number, Ok(()));
                Ok(())
            }
            Some(FromSidecar::BundleNack(nack)) => {
                let reason = plain(&nack.reason);
                tracing::error!(workload = %self.key.workload, instance = %self.key.instance, reason, "a sidecar refused the trust bundle");
                self.status.bundle(&self.key, self.number, Err(reason));
                Ok(())
            }
            Some(FromSidecar::Hello(_)) => Err(Status::invalid_argument("only the first message is a Hello")),
            None => Err(Status::invalid_argument("the message is of no kind that this operator knows")),
        }
    }

    /// Sends the chunks that are wanted, from the snapshot that was offered last. A question about an older one is
    /// out of date: the newer header is on its way.
    async fn serve(&mut self, want: Want) -> Result<(), Status> {
        let Some(offered) = self.offered.clone() else { return Ok(()) };
        if want.snapshot_id != offered.encoded.id().0 {
            return Ok(());
        }
        for digest in &want.digests {
            let chunk = Digest::try_from(digest.as_slice())
                .ok()
                .and_then(|digest| offered.encoded.chunks().get(&digest));
            // INVARIANT: only chunks that this workload's own header names.
            let Some(content) = chunk else {
                return Err(Status::invalid_argument("a chunk is wanted that the snapshot does not name"));
            };
            let (digest, content) = (digest.clone(), content.to_vec());
            self.send(ToSidecar::Chunk(Chunk { digest, content })).await?;
            // The rest of a snapshot that is out of date would only be in the way.
            if self.published.has_changed().unwrap_or(true) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn acknowledged(&self, ack: &Ack) -> Result<(), Status> {
        let id: [u8; 32] = ack
            .snapshot_id
            .as_slice()
            .try_into()
            .map_err(|_| Status::invalid_argument("the acknowledged snapshot has no id"))?;
        let offered = self.offered.as_ref().filter(|offered| ack.version <= offered.position.version);
        // An acknowledgement of what was never offered would make an edit look enforced.
        let Some(offered) = offered else {
            return Err(Status::invalid_argument("a snapshot is acknowledged that was not offered"));
        };
        // That of a snapshot before the last one is out of date, and the newer one's is on its way.
        if id != offered.encoded.id().0 {
            tracing::warn!(workload = %self.key.workload, instance = %self.key.instance, version = ack.version, "an acknowledgement that does not name the offered snapshot is ignored");
            return Ok(());
        }
        self.status.acknowledged(&self.key, self.number, SnapshotId(id), ack.version);
        Ok(())
    }

    async fn send(&self, kind: ToSidecar) -> Result<(), Status> {
        let message = ServerMessage { kind: Some(kind) };
        match timeout(SEND_DEADLINE, self.outbound.send(Ok(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Status::ok("the sidecar left")),
            Err(_) => {
                self.metrics.slow_sidecars_dropped.inc();
                Err(Status::deadline_exceeded("the sidecar does not read"))
            }
        }
    }
}

/// A sidecar's words, cut and escaped, so that they cannot write lines into a log.
fn plain(text: &str) -> String {
    text.chars().take(LONGEST_REASON).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
