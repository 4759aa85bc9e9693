//! What was found: facts in categories, each with what to do about it.

use serde::Serialize;

/// How good a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warning,
    /// It does not work, or does not protect.
    Failure,
}

impl Level {
    pub(super) const fn sign(self) -> char {
        match self {
            Self::Ok => '√',
            Self::Warning => '‼',
            Self::Failure => '×',
        }
    }
}

macro_rules! hints {
    ($($name:ident $anchor:literal,)*) => {
        /// A section of docs/troubleshooting.md.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Hint { $($name,)* }

        impl Hint {
            /// Every section.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its anchor.
            pub(super) const fn anchor(self) -> &'static str {
                match self { $(Self::$name => $anchor,)* }
            }
        }
    };
}

hints! {
    Kubeconfig "kubeconfig",
    KubernetesVersion "kubernetes-version",
    NodeVersion "node-version",
    Permissions "permissions",
    CannotCheck "cannot-check",
    PodSecurity "pod-security",
    TrustBundle "trust-bundle",
    NetworkPolicyEgress "network-policy-egress",
    NetworkPolicyIngress "network-policy-ingress",
    Definitions "definitions",
    InjectorWebhook "injector-webhook",
    ObjectsWebhook "objects-webhook",
    AdmissionPolicies "admission-policies",
    OperatorReady "operator-ready",
    OperatorLease "operator-lease",
    OperatorVersions "operator-versions",
    OperatorAnswers "operator-answers",
    OperatorProblems "operator-problems",
    SidecarCertificates "sidecar-certificates",
    PodsWithoutSidecar "pods-without-sidecar",
    ExemptPods "exempt-pods",
    OldSidecars "old-sidecars",
    SidecarsNotConnected "sidecars-not-connected",
    LaggingSidecars "lagging-sidecars",
    Audit "audit",
    OpenPorts "open-ports",
    NotAccepted "not-accepted",
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fact {
    pub(super) level: Level,
    pub(super) text: String,
    /// What to do; none if nothing is to be done.
    pub(super) todo: Option<String>,
    /// Where more is said.
    pub(super) hint: Option<String>,
}

impl Fact {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self { level: Level::Ok, text: text.into(), todo: None, hint: None }
    }

    pub(super) fn warning(text: impl Into<String>, todo: impl Into<String>, hint: Hint) -> Self {
        Self::bad(Level::Warning, text.into(), todo.into(), hint)
    }

    pub(super) fn failure(text: impl Into<String>, todo: impl Into<String>, hint: Hint) -> Self {
        Self::bad(Level::Failure, text.into(), todo.into(), hint)
    }

    /// A fact that could not be looked at.
    pub(super) fn unseen(what: &str, why: &str) -> Self {
        let todo = "ask somebody who may, or have the rights given to you";
        Self::warning(format!("{what} cannot be checked: {why}"), todo, Hint::CannotCheck)
    }

    fn bad(level: Level, text: String, todo: String, hint: Hint) -> Self {
        let hint = Some(format!("docs/troubleshooting.md#{}", hint.anchor()));
        Self { level, text, todo: Some(todo), hint }
    }
}

/// Facts about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Category {
    pub(super) name: &'static str,
    pub(super) facts: Vec<Fact>,
}

impl Category {
    pub(super) const fn of(name: &'static str, facts: Vec<Fact>) -> Self {
        Self { name, facts }
    }
}

/// At most so many names in a line.
const NAMED: usize = 5;

/// `a, b, c and 4 more`.
pub(super) fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().checked_sub(NAMED).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", shown.join(", ")),
        None => shown.join(", "),
    }
}

/// `1 pod`, `2 pods`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
