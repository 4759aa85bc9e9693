//! One HTTP request, from its head to its answer: authenticate, read, decide, record, then forward or refuse.
//!
//! Each phase is one function in one file; this one reads as the request flows.

use std::convert::Infallible;
use std::sync::Arc;

use bailiwick_agent::Active;
use bailiwick_authn::RequestRefusal;
use bailiwick_identity::Subject;
use bailiwick_policy::{Call, Decision};
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::body::ResponseBody;
use crate::clock::now;
use crate::inbound::attributes::{BadRequest, HttpAttributes, is_grpc};
use crate::inbound::caller::Caller;
use crate::inbound::deny::Refusal;
use crate::inbound::forward::{Unanswered, forward};
use crate::inbound::record;
use crate::sessions::Registration;

/// A request that is authenticated, read and registered under one configuration, ready to be decided by it.
struct Claim {
    active: Arc<Active>,
    subject: Arc<Subject>,
    attributes: HttpAttributes,
    registration: Registration,
}

/// Serves one request. There is always an answer.
pub(crate) async fn serve(
    caller: Arc<Caller>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (parts, body) = request.into_parts();
    let claim = match claim(&caller, &parts) {
        Ok(claim) => claim,
        Err(refused) => return Ok(*refused),
    };
    if let Some(would_be) =
        bailiwick_authn::would_refuse(&claim.subject, claim.active.trust.port(caller.port))
    {
        record::would_be_unauthenticated(&caller, &would_be);
    }
    Ok(decide(&caller, claim, Request::from_parts(parts, body)).await)
}

/// Authenticates, reads and registers a request, all under the configuration that is in force afterwards.
///
/// INVARIANT: registered first, then decided with the configuration of that moment, so no change passes unseen; and
/// authenticated by the same one, since the halves of two could permit what neither does.
fn claim(caller: &Caller, parts: &Parts) -> Result<Claim, Box<Response<ResponseBody>>> {
    let shared = &caller.worker.shared;
    loop {
        // FAIL-CLOSED: no snapshot, no answer but 503.
        let Some(active) = shared.config.current() else {
            let refusal = Refusal::Unavailable("no policy snapshot yet");
            return Err(Box::new(refusal.response(is_grpc(&parts.headers), parts.version)));
        };
        let subject = authenticate(caller, &active, parts)?;
        let attributes = read(caller, &active, parts).map_err(|bad| refuse_bad(caller, parts, bad))?;
        let opening = caller.attributes(Call::Http(attributes.call()), now()).to_owned();
        let registration = caller.worker.sessions.register(Arc::clone(&subject), opening, caller.id);
        if shared.config.current().is_some_and(|now| now.generation() == active.generation()) {
            return Ok(Claim { active, subject, attributes, registration });
        }
    }
}

/// Authentication: who makes this request? It never reads a policy.
fn authenticate(
    caller: &Caller,
    active: &Active,
    parts: &Parts,
) -> Result<Arc<Subject>, Box<Response<ResponseBody>>> {
    let trust = active.trust.port(caller.port);
    let refused = match bailiwick_authn::request(&caller.connection, &parts.headers, trust) {
        Ok(subject) => return Ok(Arc::new(subject)),
        Err(refused) => refused,
    };
    let grpc = is_grpc(&parts.headers);
    record::refused_authentication(caller, &refused);
    let response = match &refused {
        RequestRefusal::Unauthenticated(reason) => {
            Refusal::Unauthenticated(reason.challenge()).response(grpc, parts.version)
        }
        RequestRefusal::Unavailable(invalid) => {
            let reason = format!("Authentication {} is invalid: {}", invalid.object, invalid.reason);
            Refusal::Unavailable(&reason).response(grpc, parts.version)
        }
    };
    Err(Box::new(response))
}

/// A request with more than one reading is no call: it is answered before any policy is asked.
fn refuse_bad(caller: &Caller, parts: &Parts, bad: BadRequest) -> Box<Response<ResponseBody>> {
    record::bad_request(caller, parts, bad);
    let reason = bad.to_string();
    let refusal = match bad {
        BadRequest::Connect => Refusal::MethodNotAllowed,
        BadRequest::MethodCase
        | BadRequest::Target
        | BadRequest::Host
        | BadRequest::HostMismatch
        | BadRequest::Path(_)
        | BadRequest::GrpcEscape
        | BadRequest::Framing
        | BadRequest::Version => Refusal::BadRequest(&reason),
    };
    Box::new(refusal.response(is_grpc(&parts.headers), parts.version))
}

/// Reads the attributes. In a namespace in authorization audit a path without one reading is forwarded byte for byte,
/// unless a ClusterPolicy could deny it by path.
fn read(caller: &Caller, active: &Active, parts: &Parts) -> Result<HttpAttributes, BadRequest> {
    let snapshot = &active.snapshot;
    match HttpAttributes::read(parts) {
        Err(BadRequest::Path(_))
            if snapshot.authorization_audit() && !snapshot.has_cluster_path_deny(caller.port) =>
        {
            HttpAttributes::ambiguous(parts)
        }
        read => read,
    }
}

/// Authorization: may this subject make this call? Then the record, before a byte moves, and the consequence.
async fn decide(caller: &Arc<Caller>, claim: Claim, request: Request<Incoming>) -> Response<ResponseBody> {
    let Claim { active, subject, attributes, registration } = claim;
    let attributes = &attributes;
    let version = request.version();
    let grpc = attributes.is_grpc();
    // The time is read after the registration too: a rule that ends in between is seen here or by the enforcer.
    let claimed = caller.attributes(Call::Http(attributes.call()), now());
    let decision = caller.decide(&active.snapshot, &subject, &claimed);
    let id = record::decision(caller, &subject, &decision, Some((attributes, version))).to_string();
    match decision {
        Decision::Permit(permit) => match forward(caller, permit, attributes, request, registration).await {
            Ok(response) => response,
            Err(Unanswered::Cut) => {
                Refusal::PermissionDenied { decision: None, message: None }.response(grpc, version)
            }
            Err(error @ (Unanswered::Forward(_) | Unanswered::Target(_))) => {
                Refusal::Unavailable(&error.to_string()).response(grpc, version)
            }
        },
        Decision::Denied(denied) if denied.unauthenticated_hint() => {
            let challenge = bailiwick_authn::Unauthenticated::Unproven(
                subject.unproven().unwrap_or(bailiwick_identity::Unproven::Plaintext),
            );
            Refusal::Unauthenticated(challenge.challenge()).response(grpc, version)
        }
        Decision::Denied(denied) => {
            let first = denied.verdict().reasons.first();
            let rule = first.and_then(|rule| denied.snapshot().rule(rule));
            Refusal::PermissionDenied {
                decision: subject.peer().map(|_| id.as_str()),
                message: rule.and_then(|rule| rule.message.as_deref()),
            }
            .response(grpc, version)
        }
    }
}
