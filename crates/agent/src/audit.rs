//! Audit events: what was decided and who was believed, one JSON line each. The schema is `docs/audit.md`.

mod event;
mod id;
mod sink;

pub use event::{
    AuditEvent, AuthenticationEvent, AuthenticationOutcome, AuthorizationEvent, CallRecord, Destination,
    Outcome, Protocol, Reason, Source, Verdict, WouldBe,
};
pub use id::{ConnectionId, DecisionId, EventIds};
pub use sink::{AuditError, AuditOutput, AuditSink};

#[cfg(test)]
mod tests;
