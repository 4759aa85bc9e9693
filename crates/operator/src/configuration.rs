//! Service `Configuration`: pushes to each sidecar what its workload enforces, and only that.

mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bailiwick_identity::SpiffeId;
use bailiwick_policy::{SnapshotId, WorkloadKey};
use bailiwick_runtime::drain;
use bailiwick_wire::proto::client_message::Kind;
use bailiwick_wire::proto::configuration_server::Configuration;
use bailiwick_wire::proto::{ClientMessage, Hello, ServerMessage};
use bailiwick_wire::{Digest, SCHEMA_LEVEL};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::audit::{AuditLog, AuthenticationEvent, EventOrigin};
use crate::metrics::OperatorMetrics;
use crate::publish::Publisher;
use crate::serve::{Caller, proven};
use crate::status::{ConnectRefusal, SidecarFacts, SidecarKey, StatusBoard};
use session::{Ahead, Session};

/// How long a sidecar may take to say who it is.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// Messages that wait for a sidecar to read; what is newer waits in the watch, where the latest wins.
const OUTBOUND: usize = 2;
/// Lengths of what a sidecar says of itself.
const LONGEST_INSTANCE: usize = 253;
const LONGEST_VERSION: usize = 64;

/// The service.
#[derive(Debug)]
pub(crate) struct ConfigurationService {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) status: Arc<StatusBoard>,
    pub(crate) audit: AuditLog,
    pub(crate) metrics: OperatorMetrics,
    pub(crate) drain: drain::Watch,
}

/// Why a sidecar was not let in.
#[derive(Debug)]
struct NotAdmitted {
    reason: &'static str,
    status: Status,
    /// Set if it is too old for what it is to enforce: who it is, and its version.
    too_old: Option<(SidecarKey, String)>,
}

/// A sidecar that was let in.
#[derive(Debug)]
struct Admitted {
    key: SidecarKey,
    identity: SpiffeId,
    facts: SidecarFacts,
    bundle: Option<Digest>,
}

#[tonic::async_trait]
impl Configuration for ConfigurationService {
    type StreamStream = ReceiverStream<Result<ServerMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let caller = proven(&request)?;
        let mut inbound = request.into_inner();
        let hello = timeout(HELLO_DEADLINE, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the first message did not come in time"))??;
        let Some(Kind::Hello(hello)) = hello.and_then(|message| message.kind) else {
            return Err(Status::invalid_argument("the first message must be a Hello"));
        };
        let admitted = admit(&hello, &caller, &self.publisher).map_err(|refusal| {
            if let Some((key, version)) = &refusal.too_old {
                self.status.too_old(key, version);
            }
            self.tell(&refusal, &caller);
            refusal.status
        })?;
        let Some(published) = self.publisher.subscribe(&admitted.key.workload) else {
            return Err(gone(&admitted.key.workload));
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let connected = self.status.connected(admitted.key.clone(), number, admitted.facts);
        let replaced = connected.map_err(|refusal| {
            let refusal = not_counted(refusal);
            self.tell(&refusal, &caller);
            refusal.status
        })?;
        let (outbound, messages) = mpsc::channel(OUTBOUND);
        let session = Session {
            key: admitted.key,
            identity: admitted.identity,
            number,
            published,
            ahead: Ahead::of(hello.held.as_ref(), &self.publisher),
            publisher: Arc::clone(&self.publisher),
            bundle: self.publisher.bundle(),
            believed: admitted.bundle,
            offered: None,
            outbound,
            status: Arc::clone(&self.status),
            metrics: self.metrics.clone(),
        };
        tokio::spawn(session.run(inbound, caller, replaced, self.drain.clone()));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

impl ConfigurationService {
    fn tell(&self, refusal: &NotAdmitted, caller: &Caller) {
        self.metrics.refused(refusal.reason);
        self.audit.record(&AuthenticationEvent::Refused {
            origin: EventOrigin {
                connection: caller.contact.connection,
                peer_address: caller.contact.address,
            },
            at: "configuration",
            reason: refusal.reason,
            message: refusal.status.message().to_owned(),
            workload: None,
            identity: Some(caller.id().to_string()),
        });
    }
}

/// A workload that left the world gets no further snapshot, and keeps the one that it has (which can only be one that
/// was in force): its sidecar ends with the workload, and its certificate is not renewed.
fn gone(workload: &WorkloadKey) -> Status {
    Status::not_found(format!("there is no workload `{workload}`"))
}

/// Checks what a sidecar says of itself against what it proved.
///
/// FAIL-CLOSED: a caller gets only the configuration of a workload of its own service account. Whether another
/// workload exists is not told either.
fn admit(hello: &Hello, caller: &Caller, publisher: &Publisher) -> Result<Admitted, NotAdmitted> {
    let invalid = |what: &str| NotAdmitted {
        reason: "malformed",
        status: Status::invalid_argument(format!("the Hello's {what} is malformed")),
        too_old: None,
    };
    let workload = WorkloadKey {
        namespace: hello.namespace.parse().map_err(|_| invalid("namespace"))?,
        name: hello.workload.parse().map_err(|_| invalid("workload"))?,
    };
    if !is_plain(&hello.instance, LONGEST_INSTANCE) {
        return Err(invalid("instance"));
    }
    if !is_plain(&hello.sidecar_version, LONGEST_VERSION) {
        return Err(invalid("sidecar_version"));
    }
    let bundle = match hello.bundle_digest.as_slice() {
        [] => None,
        bytes => Some(Digest::try_from(bytes).map_err(|_| invalid("bundle_digest"))?),
    };
    let publication = publisher.current();
    let Some(published) = publication.workloads.get(&workload) else {
        return Err(not_yours(caller, &workload));
    };
    if published.identity != *caller.id() {
        return Err(not_yours(caller, &workload));
    }
    let key = SidecarKey { workload, instance: hello.instance.clone() };
    // One level exists. A sidecar of a lower one than a snapshot needs is to get a denial in its own level here.
    if hello.schema_level < SCHEMA_LEVEL {
        let status = Status::failed_precondition(format!(
            "the sidecar understands schema level {}, this operator speaks {SCHEMA_LEVEL}: upgrade the sidecar",
            hello.schema_level
        ));
        let too_old = Some((key, hello.sidecar_version.clone()));
        return Err(NotAdmitted { reason: "schema-level", status, too_old });
    }
    let facts = SidecarFacts {
        version: hello.sidecar_version.clone(),
        schema_level: hello.schema_level,
        identity: caller.id().clone(),
        certificate_serial: caller.peer.serial().to_owned(),
        certificate_not_after: caller.peer.not_after(),
        held: hello
            .held
            .as_ref()
            .and_then(|held| held.snapshot_id.as_slice().try_into().ok())
            .map(SnapshotId),
    };
    Ok(Admitted { key, identity: published.identity.clone(), facts, bundle })
}

fn not_counted(refusal: ConnectRefusal) -> NotAdmitted {
    let (reason, code) = match refusal {
        ConnectRefusal::InstanceTaken => ("instance-taken", Code::AlreadyExists),
        ConnectRefusal::CertificateInUse => ("certificate-in-use", Code::AlreadyExists),
        ConnectRefusal::TooMany => ("too-many-sidecars", Code::ResourceExhausted),
    };
    NotAdmitted { reason, status: Status::new(code, refusal.to_string()), too_old: None }
}

fn not_yours(caller: &Caller, workload: &WorkloadKey) -> NotAdmitted {
    let message = format!("`{}` is not the identity of workload `{workload}`", caller.id());
    NotAdmitted { reason: "not-own-workload", status: Status::permission_denied(message), too_old: None }
}

/// Printable ASCII, so that it can stand in a log line and in a status.
fn is_plain(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_graphic())
}
