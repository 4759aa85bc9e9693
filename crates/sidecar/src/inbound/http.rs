//! One HTTP request, from its head to its answer: authenticate, read, decide, record, then forward or refuse.
//!
//! Each phase is one function in one file; this one reads as the request flows.

use std::convert::Infallible;
use std::sync::Arc;

use bailiwick_agent::Active;
use bailiwick_authn::RequestRefusal;
use bailiwick_identity::Subject;
use bailiwick_policy::{Call, Decision};
use http::{Request, Response};
use hyper::body::Incoming;

use crate::body::ResponseBody;
use crate::clock::now;
use crate::inbound::attributes::{BadRequest, HttpAttributes};
use crate::inbound::caller::Caller;
use crate::inbound::deny::Refusal;
use crate::inbound::forward::{Unanswered, forward};
use crate::inbound::record;

/// Serves one request. There is always an answer.
pub(crate) async fn serve(
    caller: Arc<Caller>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let version = request.version();
    let grpc = is_grpc_by_content_type(&request);
    // FAIL-CLOSED: no snapshot, no answer but 503.
    let Some(active) = caller.worker.shared.config.current() else {
        return Ok(Refusal::Unavailable("no policy snapshot yet").response(grpc, version));
    };
    let subject = match authenticate(&caller, &active, &request) {
        Ok(subject) => subject,
        Err(refused) => return Ok(*refused),
    };
    let (parts, body) = request.into_parts();
    let attributes = match read(&caller, &active, &parts) {
        Ok(attributes) => attributes,
        Err(bad) => {
            record::bad_request(&caller, &parts, bad);
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
            return Ok(refusal.response(grpc, version));
        }
    };
    Ok(decide(&caller, subject, &attributes, Request::from_parts(parts, body)).await)
}

fn is_grpc_by_content_type(request: &Request<Incoming>) -> bool {
    request
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Authentication: who makes this request? It never reads a policy.
fn authenticate(
    caller: &Caller,
    active: &Active,
    request: &Request<Incoming>,
) -> Result<Arc<Subject>, Box<Response<ResponseBody>>> {
    let trust = active.trust.port(caller.port);
    let refused = match bailiwick_authn::request(&caller.connection, request.headers(), trust) {
        Ok(subject) => {
            if let Some(would_be) = bailiwick_authn::would_refuse(&subject, trust) {
                record::would_be_unauthenticated(caller, &would_be);
            }
            return Ok(Arc::new(subject));
        }
        Err(refused) => refused,
    };
    let grpc = is_grpc_by_content_type(request);
    record::refused_authentication(caller, &refused);
    let response = match &refused {
        RequestRefusal::Unauthenticated(reason) => {
            Refusal::Unauthenticated(reason.challenge()).response(grpc, request.version())
        }
        RequestRefusal::Unavailable(invalid) => {
            let reason = format!("Authentication {} is invalid: {}", invalid.object, invalid.reason);
            Refusal::Unavailable(&reason).response(grpc, request.version())
        }
    };
    Err(Box::new(response))
}

/// Reads the attributes. In a namespace in authorization audit a path without one reading is forwarded byte for byte,
/// unless a ClusterPolicy could deny it by path.
fn read(
    caller: &Caller,
    active: &Active,
    parts: &http::request::Parts,
) -> Result<HttpAttributes, BadRequest> {
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
async fn decide(
    caller: &Arc<Caller>,
    subject: Arc<Subject>,
    attributes: &HttpAttributes,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let version = request.version();
    let grpc = attributes.is_grpc();
    let claimed = caller.attributes(Call::Http(attributes.call()), now());
    // INVARIANT: registered first, then decided with the snapshot of that moment, so no change passes unseen.
    let sessions = &caller.worker.sessions;
    let registration = sessions.register(Arc::clone(&subject), claimed.to_owned(), caller.id);
    let Some(active) = caller.worker.shared.config.current() else {
        return Refusal::Unavailable("no policy snapshot yet").response(grpc, version);
    };
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
