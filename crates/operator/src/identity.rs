//! Service `Identity`: a token and a signing request become a certificate.
//!
//! INVARIANT: the identity is that of the service account of the workload that the token was written for. The
//! request contributes its public key and nothing else.

pub(crate) mod prover;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bailiwick_ca::{Authority, IssueError, Issued};
use bailiwick_identity::SpiffeId;
use bailiwick_policy::WorkloadKey;
use bailiwick_wire::proto::identity_server::Identity;
use bailiwick_wire::proto::{IssueRequest, IssueResponse};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};

use crate::audit::{AuditLog, AuthenticationEvent, EventOrigin};
use crate::metrics::OperatorMetrics;
use crate::publish::Publisher;
use crate::rate::IssueLimits;
use crate::serve::contact;
pub(crate) use prover::{Proven, Prover, Unproven};

/// Tells a client when to come again, in milliseconds (gRPC proposal A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// Where, in events.
const PLACE: &str = "identity";

/// What issuing needs.
#[derive(Debug)]
pub(crate) struct IdentityService {
    pub(crate) authority: Arc<Authority>,
    pub(crate) prover: Prover,
    pub(crate) limits: Arc<IssueLimits>,
    pub(crate) publisher: Arc<Publisher>,
    /// Never issued to a workload.
    pub(crate) operator: SpiffeId,
    pub(crate) audit: AuditLog,
    pub(crate) metrics: OperatorMetrics,
}

/// Why nothing was issued.
#[derive(Debug)]
struct Refusal {
    code: Code,
    reason: &'static str,
    message: String,
    workload: Option<WorkloadKey>,
    identity: Option<SpiffeId>,
    wait: Option<Duration>,
}

/// Whoever asks in vain is rare, and carries much to be told.
type Granting = Result<Granted, Box<Refusal>>;

impl Refusal {
    fn new(code: Code, reason: &'static str, message: impl ToString) -> Box<Self> {
        Box::new(Self {
            code,
            reason,
            message: message.to_string(),
            workload: None,
            identity: None,
            wait: None,
        })
    }

    fn of(mut self: Box<Self>, workload: &WorkloadKey, identity: Option<&SpiffeId>) -> Box<Self> {
        self.workload = Some(workload.clone());
        self.identity = identity.cloned();
        self
    }

    fn status(&self) -> Status {
        let mut status = Status::new(self.code, self.message.clone());
        if let Some(wait) = self.wait {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            status.metadata_mut().insert(PUSHBACK, MetadataValue::from(millis));
        }
        status
    }
}

/// A certificate and whose it is.
#[derive(Debug)]
struct Granted {
    workload: WorkloadKey,
    identity: SpiffeId,
    issued: Issued,
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn issue(&self, request: Request<IssueRequest>) -> Result<Response<IssueResponse>, Status> {
        let contact = contact(&request)?;
        let origin = EventOrigin { connection: contact.connection, peer_address: contact.address };
        match self.grant(request.get_ref(), contact.address.ip()).await {
            Ok(granted) => {
                let response = self.response(&granted)?;
                self.metrics.issued.inc();
                self.audit.record(&AuthenticationEvent::Issued {
                    origin,
                    workload: granted.workload.to_string(),
                    identity: granted.identity.to_string(),
                    serial: granted.issued.serial.to_string(),
                    not_after: granted.issued.not_after,
                });
                Ok(Response::new(response))
            }
            Err(refusal) => {
                self.metrics.refused(refusal.reason);
                self.audit.record(&AuthenticationEvent::Refused {
                    origin,
                    at: PLACE,
                    reason: refusal.reason,
                    message: refusal.message.clone(),
                    workload: refusal.workload.as_ref().map(ToString::to_string),
                    identity: refusal.identity.as_ref().map(ToString::to_string),
                });
                Err(refusal.status())
            }
        }
    }
}

impl IdentityService {
    async fn grant(&self, request: &IssueRequest, peer: IpAddr) -> Granting {
        let Proven { workload, identity } = self.prover.prove(&request.token, peer).await.map_err(refused)?;
        let publication = self.publisher.current();
        // Where the proof says the identity, a publication that lags refuses nobody.
        let published = || publication.workloads.get(&workload).map(|published| published.identity.clone());
        let Some(identity) = identity.or_else(published) else {
            let message = format!("there is no workload `{workload}` any more");
            return Err(Refusal::new(Code::Unauthenticated, "workload-gone", message).of(&workload, None));
        };
        let refuse = |code, reason, message: String| {
            Refusal::new(code, reason, message).of(&workload, Some(&identity))
        };
        if let Some(why) = &publication.mesh.issues_nothing {
            return Err(refuse(Code::Unavailable, "not-issuing", format!("no certificate is issued: {why}")));
        }
        // FAIL-CLOSED: whoever proves this identity is believed to be the control plane.
        if identity == self.operator {
            let message = format!("`{identity}` is the operator's own identity and is issued to no workload");
            return Err(refuse(Code::PermissionDenied, "operator-identity", message));
        }
        self.limits.take(&workload, Instant::now()).map_err(|wait| {
            let message =
                format!("too many certificates are asked for; try again in {} ms", wait.as_millis());
            let mut refusal = refuse(Code::ResourceExhausted, "rate", message);
            refusal.wait = Some(wait);
            refusal
        })?;
        let lifetime = publication.mesh.leaf_lifetime;
        match self.authority.issue(&request.csr, &identity, lifetime, SystemTime::now()) {
            Ok(issued) => Ok(Granted { workload, identity, issued }),
            Err(error) => {
                let (code, reason) = classify(&error);
                Err(refuse(code, reason, error.to_string()))
            }
        }
    }

    fn response(&self, granted: &Granted) -> Result<IssueResponse, Status> {
        let leaf = granted.issued.chain.first().map(|leaf| bailiwick_identity::leaf_id(leaf));
        let Some(Ok(leaf)) = leaf else {
            return Err(Status::internal("the certificate that was made cannot be read"));
        };
        Ok(IssueResponse {
            chain: granted.issued.chain.clone(),
            bundle: self.publisher.bundle().borrow().to_vec(),
            not_before: leaf.not_before(),
            not_after: leaf.not_after(),
        })
    }
}

fn refused(unproven: Unproven) -> Box<Refusal> {
    let Unproven { code, reason, message, wait, workload } = unproven;
    Box::new(Refusal { code, reason, message, workload, identity: None, wait })
}

const fn classify(error: &IssueError) -> (Code, &'static str) {
    match error {
        IssueError::Request(_) => (Code::InvalidArgument, "request"),
        IssueError::RootNotValid { .. } => (Code::Unavailable, "root-not-valid"),
        IssueError::TrustDomain { .. } => (Code::Unavailable, "trust-domain"),
        IssueError::Lifetime
        | IssueError::Make { .. }
        | IssueError::NotBelievable { .. }
        | IssueError::NoRandomness => (Code::Internal, "internal"),
    }
}
