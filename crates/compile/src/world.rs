//! What the compiler reads: the decoded objects and the facts of the cluster (or folder) around them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bailiwick_identity::{Namespace, Port, ServiceAccount};
use bailiwick_policy::{Mode, WorkloadKey};

use crate::head::Head;
use crate::{
    AuthenticationSpec, ClusterPolicySpec, Diagnostic, FieldPath, LabelSelector, ObjectKey, PolicySpec,
    RoleSpec, SourceLocation, Target, TrustDomainSpec,
};

/// Everything that the compile reads. Vectors may hold objects in any order.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Roles.
    pub roles: Vec<Object<RoleSpec>>,
    /// Policies.
    pub policies: Vec<Object<PolicySpec>>,
    /// ClusterPolicies.
    pub cluster_policies: Vec<Object<ClusterPolicySpec>>,
    /// Authentications.
    pub authentications: Vec<Object<AuthenticationSpec>>,
    /// TrustDomains.
    pub trust_domains: Vec<Object<TrustDomainSpec>>,
    /// Objects of kinds that this version knows and does not implement (RelationSchema, Relationship): always invalid.
    pub unsupported: Vec<Object<()>>,
    /// Namespaces that are known, by name. A namespace that only occurs in other objects' metadata is added with no
    /// labels by the reader.
    pub namespaces: BTreeMap<Namespace, NamespaceFacts>,
    /// Workloads.
    pub workloads: BTreeMap<WorkloadKey, Workload>,
    /// Services by namespace and name.
    pub services: BTreeMap<(Namespace, String), Service>,
    /// FAIL-CLOSED: documents that could not be parsed or identified at start. While this is not empty every call of
    /// every workload is denied, as by an uncompilable ClusterPolicy without selector; each entry is a sentence for
    /// the reason of those denials, with its place.
    pub unreadable: Vec<Diagnostic>,
}

/// One object with its decoded spec.
#[derive(Debug, Clone)]
pub struct Object<S> {
    /// Kind, namespace and name.
    pub key: ObjectKey,
    /// `metadata.generation`; 0 where the source has none.
    pub generation: i64,
    /// Where it was read.
    pub location: SourceLocation,
    /// The places of its fields, where there is text; empty for objects of the API server.
    pub fields: FieldSpans,
    /// Its spec, or why it has none.
    pub spec: Decoded<S>,
}

/// The place of each field of an object: the first byte and the byte after the last, in the object's file.
pub type FieldSpans = Arc<BTreeMap<FieldPath, (usize, usize)>>;

impl<S> Object<S> {
    /// The place of a field; of the nearest field around it, or of the object, if its own is not known.
    #[must_use]
    pub fn location_of(&self, field: &FieldPath) -> SourceLocation {
        Head::of(self).location_of(field)
    }
}

/// A decoded spec, or what could still be read of an invalid one.
#[derive(Debug, Clone)]
pub enum Decoded<S> {
    /// The spec is valid in itself.
    Valid(S),
    /// It is not.
    Invalid(Invalid),
}

/// What an invalid object still says, so that it denies no more and no less than it selects.
#[derive(Debug, Clone)]
pub struct Invalid {
    /// What it selects.
    pub selection: Selection,
    /// Its mode, if `mode` itself decodes; `Enforce` otherwise.
    pub mode: Mode,
    /// Every mistake that was found; at least one.
    pub problems: Vec<Diagnostic>,
}

/// What an invalid Policy, ClusterPolicy or Authentication selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The selecting fields are sound. `namespace_selector` is for ClusterPolicies only.
    Targets {
        /// As in [`ClusterPolicySpec`]; `None` is every enrolled namespace.
        namespace_selector: Option<LabelSelector>,
        /// As in [`PolicySpec`]; `None` is everything in the namespace(s).
        targets: Option<Vec<Target>>,
    },
    /// FAIL-CLOSED: the selecting fields themselves are broken: the whole namespace of a namespaced object; every
    /// enrolled namespace for a ClusterPolicy whose `namespaceSelector` is broken.
    Everything,
}

/// Facts about a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its labels. `bailiwick.dev/inject`, `bailiwick.dev/authentication` and `bailiwick.dev/authorization` are read
    /// from here.
    pub labels: BTreeMap<String, String>,
    /// True where every workload counts as injected (a folder, not a cluster).
    pub always_enrolled: bool,
    /// Where it was read; `None` if it only occurs in other objects' metadata.
    pub location: Option<SourceLocation>,
}

/// What runs a workload's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A Job.
    Job,
    /// A CronJob.
    CronJob,
    /// A Pod of its own.
    Pod,
}

/// A workload: the pods of one template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// What runs it.
    pub kind: WorkloadKind,
    /// The pods' labels.
    pub labels: BTreeMap<String, String>,
    /// The pods' service account; `default` if omitted.
    pub service_account: ServiceAccount,
    /// The declared TCP container ports, in the order of the manifest.
    pub ports: Vec<ContainerPort>,
    /// Ports, declared or not, whose bytes are not read (annotation `bailiwick.dev/opaque-ports`): TCP whatever else
    /// is said of them.
    pub opaque_ports: BTreeSet<Port>,
    /// Where it was read.
    pub location: SourceLocation,
}

/// A declared TCP container port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The port.
    pub port: Port,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its selector; `None` or empty selects nothing.
    pub selector: Option<BTreeMap<String, String>>,
    /// Its TCP ports.
    pub ports: Vec<ServicePort>,
    /// Where it was read.
    pub location: SourceLocation,
}

/// A TCP port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The Service's port.
    pub port: Port,
    /// The container port that it leads to.
    pub target: TargetPort,
    /// `appProtocol`.
    pub app_protocol: Option<String>,
}

/// `targetPort` of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// By number; the Service's own port where `targetPort` is omitted.
    Number(Port),
    /// By the name of a container port.
    Name(String),
}
