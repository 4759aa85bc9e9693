//! The facts of the world, indexed by namespace: which workloads, Services and labels there are.

use std::collections::BTreeMap;

use bailiwick_identity::Namespace;
use bailiwick_policy::WorkloadKey;

use crate::{
    Code, Diagnostic, FieldPath, LabelSelector, NamespaceFacts, Service, Severity, SourceLocation, Workload,
    World, codes,
};

const INJECT: &str = "bailiwick.dev/inject";
const AUTHENTICATION: &str = "bailiwick.dev/authentication";
const AUTHORIZATION: &str = "bailiwick.dev/authorization";
/// The API server sets it on every namespace and keeps it; a folder's manifests rarely have it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Counts workloads in the order of their keys.
pub(crate) type WorkloadIndex = usize;

/// The facts, indexed.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) workloads: Vec<(&'a WorkloadKey, &'a Workload)>,
    pub(crate) namespaces: BTreeMap<&'a Namespace, NamespaceIndex<'a>>,
}

/// What is known of one namespace.
#[derive(Debug, Default)]
pub(crate) struct NamespaceIndex<'a> {
    labels: BTreeMap<String, String>,
    pub(crate) enrolled: bool,
    pub(crate) authentication_audit: bool,
    pub(crate) authorization_audit: bool,
    /// Every workload, ascending; so are the lists of the maps.
    pub(crate) workloads: Vec<WorkloadIndex>,
    by_label: BTreeMap<(&'a str, &'a str), Vec<WorkloadIndex>>,
    by_account: BTreeMap<&'a str, Vec<WorkloadIndex>>,
    pub(crate) services: BTreeMap<&'a str, ServiceIndex<'a>>,
}

/// A Service and the workloads that its selector selects.
#[derive(Debug)]
pub(crate) struct ServiceIndex<'a> {
    pub(crate) service: &'a Service,
    pub(crate) workloads: Vec<WorkloadIndex>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let mut facts = Self { workloads: world.workloads.iter().collect(), namespaces: BTreeMap::new() };
        for (name, known) in &world.namespaces {
            facts.namespaces.insert(name, NamespaceIndex::new(name, Some(known)));
        }
        for (index, (key, workload)) in facts.workloads.iter().enumerate() {
            let namespace = facts.namespaces.entry(&key.namespace);
            namespace.or_insert_with(|| NamespaceIndex::new(&key.namespace, None)).add(index, workload);
        }
        for ((namespace, name), service) in &world.services {
            let entry = facts.namespaces.entry(namespace);
            let index = entry.or_insert_with(|| NamespaceIndex::new(namespace, None));
            let workloads = match &service.selector {
                Some(labels) if !labels.is_empty() => index.with_labels(labels, &facts.workloads),
                Some(_) | None => Vec::new(),
            };
            index.services.insert(name, ServiceIndex { service, workloads });
        }
        facts
    }

    /// The names of the namespaces whose labels match, sorted.
    pub(crate) fn matching(&self, selector: &LabelSelector) -> Vec<&'a Namespace> {
        let found = self.namespaces.iter().filter(|(_, index)| selector.matches(&index.labels));
        found.map(|(name, _)| *name).collect()
    }

    /// The names of the enrolled namespaces, sorted.
    pub(crate) fn enrolled(&self) -> Vec<&'a Namespace> {
        self.namespaces.iter().filter(|(_, index)| index.enrolled).map(|(name, _)| *name).collect()
    }

    /// The workloads of a namespace that a selector selects, ascending.
    pub(crate) fn select(
        &self,
        namespace: &NamespaceIndex<'a>,
        selector: &LabelSelector,
    ) -> Vec<WorkloadIndex> {
        let mut found = namespace.with_labels(&selector.labels, &self.workloads);
        if !selector.expressions.is_empty() {
            found.retain(|index| {
                self.workloads.get(*index).is_some_and(|(_, workload)| selector.matches(&workload.labels))
            });
        }
        found
    }
}

impl<'a> NamespaceIndex<'a> {
    fn new(name: &Namespace, known: Option<&NamespaceFacts>) -> Self {
        let mut labels = known.map(|known| known.labels.clone()).unwrap_or_default();
        labels.insert(NAME_LABEL.to_owned(), name.to_string());
        let is = |label: &str, value: &str| labels.get(label).is_some_and(|found| found == value);
        Self {
            enrolled: is(INJECT, "enabled") || known.is_some_and(|known| known.always_enrolled),
            authentication_audit: is(AUTHENTICATION, "audit"),
            authorization_audit: is(AUTHORIZATION, "audit"),
            labels,
            ..Self::default()
        }
    }

    fn add(&mut self, index: WorkloadIndex, workload: &'a Workload) {
        self.workloads.push(index);
        self.by_account.entry(workload.service_account.as_str()).or_default().push(index);
        for (key, value) in &workload.labels {
            self.by_label.entry((key, value)).or_default().push(index);
        }
    }

    /// The workloads that have all of these labels: the shortest list of one label, looked through. Without labels,
    /// all: the callers know an empty selector from a selector of expressions.
    fn with_labels(
        &self,
        labels: &BTreeMap<String, String>,
        workloads: &[(&WorkloadKey, &Workload)],
    ) -> Vec<WorkloadIndex> {
        if labels.is_empty() {
            return self.workloads.clone();
        }
        let lists = labels.iter().map(|(key, value)| self.by_label.get(&(key.as_str(), value.as_str())));
        let Some(shortest) = lists.min_by_key(|list| list.map_or(0, Vec::len)).flatten() else {
            return Vec::new();
        };
        let has_all = |index: &&WorkloadIndex| {
            workloads.get(**index).is_some_and(|(_, workload)| {
                labels.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
            })
        };
        shortest.iter().filter(has_all).copied().collect()
    }

    pub(crate) fn of_account(&self, account: &str) -> &[WorkloadIndex] {
        self.by_account.get(account).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = &'a str> {
        self.by_account.keys().copied()
    }
}

/// Values of the audit labels that mean nothing: they enforce.
pub(crate) fn namespace_labels(world: &World) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (name, facts) in &world.namespaces {
        for label in [AUTHENTICATION, AUTHORIZATION] {
            let Some(value) = facts.labels.get(label).filter(|value| value.as_str() != "audit") else {
                continue;
            };
            let nowhere = || SourceLocation::nowhere(&format!("namespace {name}"));
            found.push(Diagnostic {
                code: codes::NAMESPACE_LABEL,
                severity: Severity::Warning,
                object: None,
                field: FieldPath::root().field("metadata").field("labels").field(label),
                location: facts.location.clone().unwrap_or_else(nowhere),
                message: format!(
                    "`{value}` is no value of label `{label}` of namespace `{name}`: it enforces"
                ),
                help: Some("write `audit`, or remove the label".to_owned()),
            });
        }
    }
    found
}

/// A warning about a workload.
pub(crate) fn workload_warning(code: Code, workload: &Workload, message: String, help: &str) -> Diagnostic {
    Diagnostic {
        code,
        severity: Severity::Warning,
        object: None,
        field: FieldPath::root(),
        location: workload.location.clone(),
        message,
        help: Some(help.to_owned()),
    }
}
