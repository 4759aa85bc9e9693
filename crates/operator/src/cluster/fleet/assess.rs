//! What an object's status is to say, from what is known now (docs/status.md).

use tokio::time::Instant;

use bailiwick_compile::ObjectKey;
use bailiwick_policy::WorkloadKey;

use super::pods::{Cluster, Injected, PodPlace};
use super::{Connection, Inner};
use crate::status::{SidecarKey, Verdict};

/// The pods that a message names at most.
const NAMED: usize = 3;
/// What is shown of a sidecar's own words.
const LONGEST_WORDS: usize = 160;

/// What an object's status is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assessment {
    pub(crate) key: ObjectKey,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) accepted: Verdict,
    pub(crate) resolved: Verdict,
    pub(crate) enforced: Enforced,
    /// `mode: Audit`.
    pub(crate) audit: bool,
    pub(crate) targeted: u32,
    pub(crate) acknowledged: u32,
}

/// The condition `Enforced`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enforced {
    pub(crate) answer: Answer,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// A condition's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// No, and only acknowledgements are missing, which are on their way.
    NotYet,
    /// Some sidecars are not known, since this replica leads, or they were last seen, only since a moment.
    Unknown,
}

/// Why a running pod does not count, the most lasting first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lack {
    Refused(String),
    TooOld(String),
    NotInjected,
    NotEnrolled,
    Exempt,
    NotConnected,
    Lagging,
    NotKnown,
}

impl Lack {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(_) => "SidecarRefusedSnapshot",
            Self::TooOld(_) => "SidecarTooOld",
            Self::NotInjected => "PodNotInjected",
            Self::NotEnrolled => "NotEnrolled",
            Self::Exempt => "Exempt",
            Self::NotConnected => "SidecarNotConnected",
            Self::Lagging => "PodLagging",
            Self::NotKnown => "Pending",
        }
    }

    fn of(&self, pod: &WorkloadKey) -> String {
        let namespace = &pod.namespace;
        match self {
            Self::Refused(why) => format!("the sidecar of {pod} refused its last snapshot: {why}"),
            Self::TooOld(version) => {
                format!(
                    "the sidecar of {pod} ({version}) is too old for what it is to enforce: restart the pod"
                )
            }
            Self::NotInjected => format!("{pod} has no sidecar: restart it"),
            Self::NotEnrolled => format!(
                "{pod} has no sidecar: label the namespace with `kubectl label namespace {namespace} \
                 bailiwick.dev/inject=enabled` and restart it"
            ),
            Self::Exempt => format!("{pod} is exempt from injection by the installation"),
            Self::NotConnected => {
                format!("the sidecar of {pod} is not connected to any replica of the operator")
            }
            Self::Lagging => format!("{pod} has not acknowledged yet"),
            Self::NotKnown => format!("the sidecar of {pod} has not been heard of yet"),
        }
    }

    const fn answer(&self) -> Answer {
        match self {
            Self::Refused(_)
            | Self::TooOld(_)
            | Self::NotInjected
            | Self::NotEnrolled
            | Self::Exempt
            | Self::NotConnected => Answer::No,
            Self::Lagging => Answer::NotYet,
            Self::NotKnown => Answer::Unknown,
        }
    }
}

impl Inner {
    /// `unknown_until`: what is not connected before then may still be on its way to this leader.
    pub(super) fn assess(
        &self,
        key: &ObjectKey,
        (cluster, audit_only): (&impl Cluster, bool),
        (now, unknown_until): (Instant, Instant),
    ) -> Option<Assessment> {
        let entered = self.objects.get(key)?;
        let record = &entered.record;
        let mut lacks: Vec<(Lack, &WorkloadKey)> = Vec::new();
        let mut targeted = 0_u32;
        for workload in &record.workloads {
            let PodPlace::Running { uid, sidecar } = cluster.pod(workload) else { continue };
            targeted = targeted.saturating_add(1);
            let since = entered.since(workload);
            if let Some(lack) = self.lack(workload, (uid, sidecar), since, (now, unknown_until)) {
                lacks.push((lack, workload));
            }
        }
        lacks.sort();
        let missing = u32::try_from(lacks.len()).unwrap_or(u32::MAX);
        let acknowledged = targeted.saturating_sub(missing);
        let counts = (targeted, acknowledged);
        let enforced = match (&record.accepted, audit_only) {
            (Verdict::Fails { reason, .. }, _) => not_accepted(reason, counts),
            (Verdict::Holds, true) => takes_no_part(record.audit, counts),
            (Verdict::Holds, false) => by_pods(&lacks, counts),
        };
        Some(Assessment {
            key: key.clone(),
            uid: record.uid.clone(),
            generation: record.generation,
            accepted: record.accepted.clone(),
            resolved: record.resolved.clone(),
            enforced,
            audit: record.audit,
            targeted,
            acknowledged,
        })
    }

    /// What a running pod lacks to enforce what it has to since a compile.
    fn lack(
        &self,
        workload: &WorkloadKey,
        (uid, sidecar): (String, Injected),
        since: Option<u64>,
        (now, unknown_until): (Instant, Instant),
    ) -> Option<Lack> {
        let key = SidecarKey { workload: workload.clone(), instance: uid };
        match sidecar {
            Injected::Yes => {}
            Injected::Missing => return Some(Lack::NotInjected),
            Injected::Exempt => return Some(Lack::Exempt),
            Injected::NotEnrolled => return Some(Lack::NotEnrolled),
        }
        if let Some(version) = self.too_old.get(&key) {
            return Some(Lack::TooOld(version.clone()));
        }
        let Some(connection) = self.connection(&key) else {
            return Some(if now < unknown_until { Lack::NotKnown } else { Lack::NotConnected });
        };
        // FAIL-CLOSED: what this compile does not reach is not enforced, whatever was acknowledged.
        let reached =
            self.histories.get(workload).map(|history| connection.progress.through(history, self.compile));
        if reached.zip(since).is_some_and(|(reached, since)| reached >= since) {
            return None;
        }
        Some(lagging(connection))
    }
}

fn lagging(connection: &Connection) -> Lack {
    match &connection.refused {
        Some(why) => Lack::Refused(why.chars().take(LONGEST_WORDS).collect()),
        None => Lack::Lagging,
    }
}

fn not_accepted(reason: &str, (targeted, acknowledged): (u32, u32)) -> Enforced {
    let message = if targeted == 0 {
        "the object is not accepted; see the condition `Accepted`".to_owned()
    } else {
        format!(
            "the object is not accepted (see the condition `Accepted`): what it selects is denied, and {acknowledged} of \
             {targeted} pods have acknowledged that"
        )
    };
    Enforced { answer: Answer::No, reason: reason.to_owned(), message }
}

fn takes_no_part(by_mode: bool, (targeted, acknowledged): (u32, u32)) -> Enforced {
    let why = if by_mode {
        "`mode` is Audit"
    } else {
        "what it decides is only reported: its namespace is labelled `bailiwick.dev/authorization: audit`, or whoever binds \
         it is in Audit"
    };
    let message = format!("{why}; {acknowledged} of {targeted} pods have acknowledged it");
    Enforced { answer: Answer::No, reason: "AuditOnly".to_owned(), message }
}

fn by_pods(lacks: &[(Lack, &WorkloadKey)], (targeted, acknowledged): (u32, u32)) -> Enforced {
    let Some((first, _)) = lacks.first() else {
        let (reason, message) = if targeted == 0 {
            ("NoWorkloads", "it reaches no running pod".to_owned())
        } else {
            ("Enforced", format!("{acknowledged} of {targeted} pods have acknowledged it"))
        };
        return Enforced { answer: Answer::Yes, reason: reason.to_owned(), message };
    };
    let mut message = lacks.iter().take(NAMED).map(|(lack, pod)| lack.of(pod)).collect::<Vec<_>>().join("; ");
    if let Some(more) = lacks.len().checked_sub(NAMED).filter(|more| *more > 0) {
        message = format!("{message}; and {more} more");
    }
    Enforced { answer: first.answer(), reason: first.reason().to_owned(), message }
}
