//! The verdict on one call, and the key to forwarding it.

use std::fmt;
use std::sync::Arc;

use crate::Snapshot;

/// How many deciding rules a decision holds; [`Reasons::total`] counts them all.
const LISTED: usize = 8;

/// Names a rule of one snapshot, or the object of an uncompilable one ([`Snapshot::rule`]). Indices are in the order
/// of kind, namespace, name, rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub(crate) u32);

impl RuleIndex {
    /// The index as a number, for logs and wire formats. It means nothing without its snapshot.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The rules that decided: the first eight by kind, namespace, name, rule, and how many there are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons {
    first: [RuleIndex; LISTED],
    total: u32,
}

impl Reasons {
    /// Adds a rule. INVARIANT: called in ascending order, so the first eight are the first eight.
    pub(crate) fn push(&mut self, rule: RuleIndex) {
        let next = self.total();
        if let Some(place) = self.first.get_mut(next) {
            *place = rule;
        }
        self.total = self.total.saturating_add(1);
    }

    /// The first eight deciding rules at most.
    pub fn iter(&self) -> impl Iterator<Item = RuleIndex> + '_ {
        self.first.iter().take(self.total()).copied()
    }

    /// The first deciding rule; none if the default decided, or the namespace's audit.
    #[must_use]
    pub fn first(&self) -> Option<RuleIndex> {
        self.iter().next()
    }

    /// How many distinct rules decided.
    #[must_use]
    pub fn total(&self) -> usize {
        usize::try_from(self.total).unwrap_or(usize::MAX)
    }

    /// True if no rule decided.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reasons").field("total", &self.total).finish_non_exhaustive()
    }
}

/// Which step of the decision settled a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// An Allow matched and nothing denied.
    Allow,
    /// A Deny of a `ClusterPolicy`, or an uncompilable one.
    ClusterDeny,
    /// A Deny of a `Policy`, or an uncompilable one.
    PolicyDeny,
    /// No Allow matched: shown as rule `default`.
    Default,
    /// It would be refused, and is permitted only because its namespace is in authorization audit. No rule decided;
    /// the would-be verdict has the refusal.
    AuditNamespace,
}

impl Outcome {
    /// True if the call goes through.
    #[must_use]
    pub const fn permits(self) -> bool {
        match self {
            Self::Allow | Self::AuditNamespace => true,
            Self::ClusterDeny | Self::PolicyDeny | Self::Default => false,
        }
    }

    /// The word used in audit events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::ClusterDeny => "cluster-deny",
            Self::PolicyDeny => "policy-deny",
            Self::Default => "default",
            Self::AuditNamespace => "audit-namespace",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What was decided, and by which rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The step that settled it.
    pub outcome: Outcome,
    /// The rules of that step that matched.
    pub reasons: Reasons,
}

/// The decision on one call.
#[must_use = "a decision must be enforced and recorded"]
#[derive(Debug)]
pub enum Decision {
    /// The call may go through.
    Permit(Permit),
    /// The call must be refused.
    Denied(Denied),
}

/// The only key to forwarding a call: nothing but [`crate::authorize`] and [`crate::Binding::authorize`] makes one.
/// It cannot be cloned: one decision, one call.
#[must_use = "a permit is for forwarding the call that it was given for"]
#[derive(Debug)]
pub struct Permit(Decided);

/// A refusal, with what is needed to answer and record it.
#[must_use = "a refusal must be answered and recorded"]
#[derive(Debug)]
pub struct Denied {
    decided: Decided,
    proven: bool,
}

#[derive(Debug)]
struct Decided {
    verdict: Verdict,
    would_be: Option<Verdict>,
    snapshot: Arc<Snapshot>,
}

impl Decision {
    /// INVARIANT: the only place where a [`Permit`] is made.
    pub(crate) fn new(
        snapshot: &Arc<Snapshot>,
        (verdict, would_be): (Verdict, Option<Verdict>),
        proven: bool,
    ) -> Self {
        let decided = Decided { verdict, would_be, snapshot: Arc::clone(snapshot) };
        if verdict.outcome.permits() {
            Self::Permit(Permit(decided))
        } else {
            Self::Denied(Denied { decided, proven })
        }
    }

    const fn decided(&self) -> &Decided {
        match self {
            Self::Permit(permit) => &permit.0,
            Self::Denied(denied) => &denied.decided,
        }
    }

    /// True if the call may go through. To forward it, take the [`Permit`].
    #[must_use]
    pub const fn is_permit(&self) -> bool {
        matches!(self, Self::Permit(_))
    }

    /// What was decided.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.decided().verdict
    }

    /// What would be decided with every Audit object in Enforce and without the namespace's audit; present if an
    /// Audit object is bound to the port or the namespace is in authorization audit.
    #[must_use]
    pub const fn would_be(&self) -> Option<&Verdict> {
        self.decided().would_be.as_ref()
    }

    /// The snapshot that decided; rule indices are its own.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.decided().snapshot
    }
}

impl Permit {
    /// What was decided.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.0.verdict
    }

    /// See [`Decision::would_be`].
    #[must_use]
    pub const fn would_be(&self) -> Option<&Verdict> {
        self.0.would_be.as_ref()
    }

    /// The snapshot that decided.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.0.snapshot
    }
}

impl Denied {
    /// What was decided.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.decided.verdict
    }

    /// See [`Decision::would_be`].
    #[must_use]
    pub const fn would_be(&self) -> Option<&Verdict> {
        self.decided.would_be.as_ref()
    }

    /// The snapshot that decided.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.decided.snapshot
    }

    /// True if proving an identity could help: the default decided, and the subject has neither a proven peer nor a
    /// principal. Where credentials are optional, such a refusal is answered 401.
    #[must_use]
    pub const fn unauthenticated_hint(&self) -> bool {
        matches!(self.decided.verdict.outcome, Outcome::Default) && !self.proven
    }
}
