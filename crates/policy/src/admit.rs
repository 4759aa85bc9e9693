//! The decision before the handshake: authorization without authentication.

use std::net::SocketAddr;

use bailiwick_identity::Port;

use crate::caller_facts::fold_ip;
use crate::snapshot::EarlyDeny;
use crate::{Reasons, Snapshot, Timestamp, Truth};

/// All that is known before the first byte of a connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionAttributes {
    /// The TCP peer's address.
    pub source: SocketAddr,
    /// The container port that is called.
    pub port: Port,
    /// The time of the decision.
    pub now: Timestamp,
}

/// Whether a connection may begin.
#[must_use = "a refused connection is closed before its first byte is read"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may begin; every call on it is still decided.
    Admitted,
    /// It is closed before the handshake, by these rules.
    Refused(Reasons),
}

/// Decides whether a connection may begin (policy semantics, step 1).
///
/// A rule is the set of its (subject, permission) pairs. Those of a Deny count whose subject is `anyone` or an address
/// range and whose permission is `any` or `tcp`, if the rule excepts no subject: splitting a rule in two never changes
/// what is refused here. Objects that are in Audit or did not compile, and Policies while the namespace is in
/// authorization audit, never refuse here.
pub fn admit(snapshot: &Snapshot, connection: &ConnectionAttributes) -> Admission {
    let mut reasons = Reasons::default();
    for deny in &snapshot.early {
        if matches(snapshot, deny, connection) {
            reasons.push(deny.rule);
        }
    }
    if reasons.is_empty() { Admission::Admitted } else { Admission::Refused(reasons) }
}

fn matches(snapshot: &Snapshot, deny: &EarlyDeny, connection: &ConnectionAttributes) -> bool {
    let source = fold_ip(connection.source.ip());
    let selected =
        snapshot.ports.get(deny.selected as usize).is_some_and(|ports| ports.contains(connection.port));
    selected
        && deny.ports.contains(connection.port)
        && deny.blocks.as_ref().is_none_or(|blocks| blocks.iter().any(|block| block.contains(source)))
        && snapshot.rule(deny.rule).map_or(Truth::True, |rule| rule.in_window(Some(connection.now))).is_true()
}
