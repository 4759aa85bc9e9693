//! What each message of the operator does.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bailiwick_authn::TrustStore;
use bailiwick_policy::{PolicyObject, Snapshot, SnapshotError, SnapshotId, WorkloadKey};
use bailiwick_wire::proto::client_message::Kind as Outbound;
use bailiwick_wire::proto::server_message::Kind as Inbound;
use bailiwick_wire::proto::{
    Ack, BundleAck, BundleNack, Chunk, ClientMessage, Hello, Nack, ServerMessage, Want,
};
use bailiwick_wire::{
    DecodeError, Digest, DigestError, Header, SCHEMA_LEVEL, assemble, decode_bundle, decode_chunk,
    decode_header, encode_bundle,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::StreamSettings;
use crate::{Active, Advanced, Candidate, ConfigStore, OlderSnapshot};

/// How long the threads that decide calls may take before the operator is told that they lag.
const APPLY_DEADLINE: Duration = Duration::from_secs(5);

/// Why a snapshot is refused. The last good one stays.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the chunk has no digest: {0}")]
    Digest(#[from] DigestError),
    #[error(transparent)]
    Older(#[from] OlderSnapshot),
    #[error("the snapshot is for workload `{found}`, this is `{own}`")]
    OtherWorkload { found: WorkloadKey, own: WorkloadKey },
    #[error("the snapshot cannot be enforced: {0}")]
    Build(#[from] SnapshotError),
}

/// The state of the configuration stream; chunks outlive a connection, a snapshot that is not whole does not.
#[derive(Debug)]
pub(super) struct Session {
    settings: StreamSettings,
    store: Arc<ConfigStore>,
    trust: Arc<TrustStore>,
    /// Chunks of the enforced snapshot and of the pending one.
    chunks: HashMap<Digest, Arc<PolicyObject>>,
    enforced: BTreeSet<Digest>,
    pending: Option<Pending>,
    outbound: Option<mpsc::Sender<ClientMessage>>,
}

#[derive(Debug)]
struct Pending {
    header: Header,
    missing: BTreeSet<Digest>,
}

impl Session {
    pub(super) fn new(settings: StreamSettings, store: Arc<ConfigStore>, trust: Arc<TrustStore>) -> Self {
        Self {
            settings,
            store,
            trust,
            chunks: HashMap::new(),
            enforced: BTreeSet::new(),
            pending: None,
            outbound: None,
        }
    }

    /// A connection stands: the first message says who asks and what is held.
    pub(super) async fn connected(&mut self, outbound: mpsc::Sender<ClientMessage>) {
        self.outbound = Some(outbound);
        let trust = self.trust.current();
        let bundle = trust.bundle();
        let hello = Hello {
            schema_level: SCHEMA_LEVEL,
            sidecar_version: self.settings.version.clone(),
            namespace: self.settings.workload.namespace.to_string(),
            workload: self.settings.workload.name.to_string(),
            instance: self.settings.instance.clone(),
            held: self.store.current().map(|active| active.position.to_held(&active.id)),
            bundle_digest: if bundle.is_empty() {
                Vec::new()
            } else {
                Digest::of(&encode_bundle(bundle)).to_vec()
            },
        };
        self.send(Outbound::Hello(hello)).await;
    }

    /// INVARIANT: half a snapshot is none; only whole chunks are kept.
    pub(super) fn disconnected(&mut self) {
        self.store.set_current(false);
        self.outbound = None;
        self.pending = None;
        self.forget_chunks();
    }

    pub(super) async fn receive(&mut self, message: ServerMessage) {
        match message.kind {
            Some(Inbound::SnapshotHeader(bytes)) => self.header(&bytes).await,
            Some(Inbound::Chunk(chunk)) => self.chunk(&chunk).await,
            Some(Inbound::Bundle(bytes)) => self.bundle(&bytes).await,
            // A newer operator's message: nothing that is enforced depends on it, or its schema level would say so.
            None => tracing::debug!("a message of an unknown kind is ignored"),
        }
    }

    async fn header(&mut self, bytes: &[u8]) {
        // There is something newer than what is enforced, until it is enforced.
        self.store.set_current(false);
        let header = match decode_header(bytes) {
            Ok(header) => header,
            Err(error) => return self.refuse(None, &error.into()).await,
        };
        let (id, version) = (header.id(), header.position().version);
        if let Err(refusal) = self.is_ours(&header) {
            return self.refuse(Some((id, version)), &refusal).await;
        }
        match self.store.advance(id, header.position()) {
            Advanced::Moved(active) => {
                self.pending = None;
                self.store.set_current(true);
                return self.acknowledge(active, version);
            }
            // It is enforced, but who lags cannot know whether there is something newer.
            Advanced::Behind(active) => {
                self.pending = None;
                return self.acknowledge(active, version);
            }
            Advanced::Other => {}
        }
        // Asked again when it is published; here it saves the chunks.
        if let Err(older) = self.store.check(header.position()) {
            return self.refuse(Some((id, version)), &older.into()).await;
        }
        let missing: BTreeSet<_> =
            header.digests().filter(|digest| !self.chunks.contains_key(digest)).collect();
        let digests: Vec<_> = missing.iter().map(|digest| digest.to_vec()).collect();
        self.pending = Some(Pending { header, missing });
        self.forget_chunks();
        if digests.is_empty() {
            self.complete().await;
        } else {
            self.send(Outbound::Want(Want { snapshot_id: id.0.to_vec(), digests })).await;
        }
    }

    fn is_ours(&self, header: &Header) -> Result<(), Refusal> {
        if *header.workload() == self.settings.workload {
            return Ok(());
        }
        let found = header.workload().clone();
        Err(Refusal::OtherWorkload { found, own: self.settings.workload.clone() })
    }

    async fn chunk(&mut self, chunk: &Chunk) {
        let Some(pending) = &mut self.pending else {
            tracing::debug!("a chunk that nothing waits for is ignored");
            return;
        };
        let wanted = |digest: &Digest| pending.missing.contains(digest);
        match read_chunk(chunk, wanted) {
            Ok(None) => tracing::debug!("a chunk that was not asked for is ignored"),
            Ok(Some((digest, object))) => {
                pending.missing.remove(&digest);
                let whole = pending.missing.is_empty();
                self.chunks.insert(digest, Arc::new(object));
                if whole {
                    self.complete().await;
                }
            }
            Err(refusal) => {
                let of = (pending.header.id(), pending.header.position().version);
                self.refuse(Some(of), &refusal).await;
            }
        }
    }

    /// Every chunk is here: build, enforce, and acknowledge once it is enforced.
    async fn complete(&mut self) {
        let Some(Pending { header, .. }) = self.pending.take() else { return };
        let of = (header.id(), header.position().version);
        let digests: BTreeSet<_> = header.digests().collect();
        match self.enforce(header) {
            Ok(active) => {
                tracing::info!(snapshot = %active.id, version = active.position.version, "snapshot enforced");
                self.enforced = digests;
                self.forget_chunks();
                self.store.set_current(true);
                self.acknowledge(active, of.1);
            }
            Err(refusal) => self.refuse(Some(of), &refusal).await,
        }
    }

    fn enforce(&self, header: Header) -> Result<Arc<Active>, Refusal> {
        let assembled = assemble(header, &|digest| self.chunks.get(&digest).cloned())?;
        let configuration = assembled.configuration;
        let active = self.store.publish(Candidate {
            snapshot: Snapshot::build(assembled.id, configuration.snapshot)?,
            trust: configuration.trust,
            protocols: configuration.protocols,
            position: assembled.position,
            id: assembled.id,
        })?;
        Ok(active)
    }

    /// INVARIANT: acknowledged means enforced: every thread that decides calls has confirmed. Waiting for them must not
    /// hold up the stream, where the mending snapshot may be next. `version` is that of the header: each replica of the
    /// operator counts for itself.
    fn acknowledge(&self, active: Arc<Active>, version: u64) {
        let Some(outbound) = self.outbound.clone() else { return };
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            let snapshot_id = active.id.0.to_vec();
            if timeout(APPLY_DEADLINE, store.applied(active.generation())).await.is_err() {
                let reason = format!("not every thread enforces it after {APPLY_DEADLINE:?}");
                tracing::error!(snapshot = %active.id, reason);
                let nack = Nack { snapshot_id: snapshot_id.clone(), version, reason };
                deliver(&outbound, Outbound::Nack(nack)).await;
                store.applied(active.generation()).await;
            }
            // One that was replaced meanwhile is not enforced; the acknowledgement of the newer one says more.
            let newest = store.current().is_some_and(|current| current.generation() == active.generation());
            if newest {
                deliver(&outbound, Outbound::Ack(Ack { snapshot_id, version })).await;
            }
        });
    }

    async fn refuse(&mut self, of: Option<(SnapshotId, u64)>, refusal: &Refusal) {
        tracing::error!(%refusal, "a snapshot is refused; the last good one stays");
        self.pending = None;
        self.forget_chunks();
        let (snapshot_id, version) = of.map(|(id, version)| (id.0.to_vec(), version)).unwrap_or_default();
        self.send(Outbound::Nack(Nack { snapshot_id, version, reason: refusal.to_string() })).await;
    }

    async fn bundle(&mut self, bytes: &[u8]) {
        let replaced = decode_bundle(bytes)
            .map_err(|error| error.to_string())
            .and_then(|bundle| self.trust.replace(bundle).map_err(|error| error.to_string()));
        let answer = match replaced {
            Ok(changed) => {
                tracing::info!(changed, "trust bundle received");
                Outbound::BundleAck(BundleAck { digest: Digest::of(bytes).to_vec() })
            }
            Err(reason) => {
                tracing::error!(reason, "a trust bundle is refused; the last good one stays");
                Outbound::BundleNack(BundleNack { reason })
            }
        };
        self.send(answer).await;
    }

    fn forget_chunks(&mut self) {
        let pending: BTreeSet<_> = self.pending.iter().flat_map(|pending| pending.header.digests()).collect();
        self.chunks.retain(|digest, _| self.enforced.contains(digest) || pending.contains(digest));
    }

    async fn send(&self, kind: Outbound) {
        if let Some(outbound) = &self.outbound {
            deliver(outbound, kind).await;
        }
    }
}

fn read_chunk(
    chunk: &Chunk,
    wanted: impl Fn(&Digest) -> bool,
) -> Result<Option<(Digest, PolicyObject)>, Refusal> {
    let digest = Digest::try_from(chunk.digest.as_slice())?;
    if !wanted(&digest) {
        return Ok(None);
    }
    Ok(Some((digest, decode_chunk(&chunk.content, &digest)?)))
}

/// A connection that ended meanwhile needs no answer: the next one says what is held.
async fn deliver(outbound: &mpsc::Sender<ClientMessage>, kind: Outbound) {
    drop(outbound.send(ClientMessage { kind: Some(kind) }).await);
}

#[cfg(test)]
mod tests;
