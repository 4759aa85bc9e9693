//! Decoded specs: plain data with every name, template, CIDR and port already parsed.

use std::collections::BTreeMap;

use bailiwick_identity::{MtlsMode, Namespace, Port, ServiceAccount, TrustDomain};
use bailiwick_policy::{Effect, IpBlock, Mode, Permission, SpiffePattern, SubjectClass};

/// A reference to another object by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The namespace; `None` is the referring object's own (never in a ClusterPolicy).
    pub namespace: Option<Namespace>,
    /// The name.
    pub name: String,
}

/// A Role's spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSpec {
    /// Roles whose permissions it takes over.
    pub inherits: Vec<Reference>,
    /// Its own permissions.
    pub permissions: Vec<Permission>,
}

/// A Policy's spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySpec {
    /// Alternatives; `None` is the whole namespace.
    pub targets: Option<Vec<Target>>,
    /// Enforce or Audit.
    pub mode: Mode,
    /// The rules.
    pub rules: Vec<RuleSpec>,
}

/// A ClusterPolicy's spec. Its rules name a namespace wherever they name an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPolicySpec {
    /// The namespaces; `None` is every enrolled one.
    pub namespace_selector: Option<LabelSelector>,
    /// Alternatives, of kind Pod only; `None` is every workload of the namespaces.
    pub targets: Option<Vec<Target>>,
    /// Enforce or Audit.
    pub mode: Mode,
    /// The rules.
    pub rules: Vec<RuleSpec>,
}

/// One target: workloads, and optionally only some of their ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which workloads.
    pub kind: TargetKind,
    /// The ports: container ports for Pod and ServiceAccount, Service ports for Service; `None` is all.
    pub ports: Option<Vec<Port>>,
}

/// Which workloads a target selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKind {
    /// Pods by label.
    Pod(LabelSelector),
    /// The pods that a Service selects.
    Service(String),
    /// The pods of a service account.
    ServiceAccount(ServiceAccount),
}

/// A Kubernetes label selector; all requirements must hold. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector {
    /// `matchLabels`.
    pub labels: BTreeMap<String, String>,
    /// `matchExpressions`.
    pub expressions: Vec<Requirement>,
}

/// One entry of `matchExpressions`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The operator with its values.
    pub operator: SelectorOperator,
}

/// A selector operator with its values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SelectorOperator {
    /// The label is there and has one of the values.
    In(Vec<String>),
    /// The label is absent or has none of the values.
    NotIn(Vec<String>),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// True if the labels fulfil every requirement.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key);
        match &self.operator {
            SelectorOperator::In(values) => found.is_some_and(|value| values.contains(value)),
            SelectorOperator::NotIn(values) => found.is_none_or(|value| !values.contains(value)),
            SelectorOperator::Exists => found.is_some(),
            SelectorOperator::DoesNotExist => found.is_none(),
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// Unique in its object.
    pub name: String,
    /// Allow or Deny.
    pub effect: Effect,
    /// Alternatives, at least one.
    pub subjects: Vec<SubjectSpec>,
    /// Only of a Deny.
    pub except_subjects: Vec<SubjectSpec>,
    /// Bound Roles.
    pub roles: Vec<Reference>,
    /// Inline permissions; at least one of `roles`, `permissions` is there.
    pub permissions: Vec<Permission>,
    /// Seconds since the Unix epoch.
    pub not_before: Option<i64>,
    /// Seconds since the Unix epoch.
    pub not_after: Option<i64>,
    /// Text for people.
    pub message: Option<String>,
}

/// One entry of `subjects` or `exceptSubjects`; at least one field is present.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectSpec {
    /// `anyone`, `authenticated` or `unauthenticated`.
    pub class: Option<SubjectClass>,
    /// A service account; namespace `None` is the policy's own (never in a ClusterPolicy).
    pub service_account: Option<(Option<Namespace>, ServiceAccount)>,
    /// A namespace by name or labels.
    pub namespace: Option<NamespaceMatch>,
    /// An identity pattern.
    pub spiffe_id: Option<SpiffePattern>,
    /// The caller's address.
    pub ip_block: Option<IpBlock>,
}

/// Namespaces by name or by label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceMatch {
    /// One namespace.
    Name(Namespace),
    /// Every namespace whose labels match.
    Selector(LabelSelector),
}

/// An Authentication's spec, as far as this version implements it. An omitted field has no opinion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticationSpec {
    /// Alternatives; `None` is the whole namespace.
    pub targets: Option<Vec<Target>>,
    /// The mTLS part.
    pub mtls: Option<MtlsSpec>,
    /// The accepted trust domains, at least one.
    pub trust_domains: Option<Vec<TrustDomain>>,
}

/// The mTLS part of an Authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtlsSpec {
    /// The mode of every selected port without an entry of its own.
    pub mode: Option<MtlsMode>,
    /// Ports that differ; an entry replaces the mode.
    pub ports: BTreeMap<Port, MtlsMode>,
}

/// A TrustDomain's spec, as far as this version implements it: the mesh's own domain with the built-in issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustDomainSpec {
    /// Life of a workload's certificate in seconds; `None` is 24 hours.
    pub leaf_lifetime: Option<u64>,
}
