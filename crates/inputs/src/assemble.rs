//! The contents of all files to one world.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bailiwick_compile::{
    Code, Decoded, Diagnostic, FieldPath, Invalid, NamespaceFacts, Object, ObjectKey, Selection, Severity,
    SourceLocation, Workload, World,
};
use bailiwick_identity::Namespace;
use bailiwick_policy::{Mode, WorkloadKey};

use crate::codes;
use crate::contents::Contents;
use crate::decode::DecodedObject;
use crate::workloads::{Fact, complete_labels};

/// A world and everything that was noticed while it was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Assembled {
    pub(crate) world: World,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) skipped: BTreeMap<String, usize>,
}

/// Puts contents together. Their order changes the order of messages only.
pub(crate) fn assemble<'a>(
    contents: impl IntoIterator<Item = &'a Contents>,
    always_enrolled: bool,
) -> Assembled {
    let mut assembly = Assembly::default();
    for contents in contents {
        assembly.add(contents);
    }
    assembly.finish(always_enrolled)
}

#[derive(Default)]
struct Assembly {
    out: Assembled,
    objects: Vec<DecodedObject>,
    labels: BTreeMap<Namespace, (BTreeMap<String, String>, Option<SourceLocation>)>,
    mentioned: BTreeSet<Namespace>,
    workloads: BTreeMap<WorkloadKey, Vec<Workload>>,
    services: BTreeMap<(Namespace, String), Vec<bailiwick_compile::Service>>,
}

impl Assembly {
    fn add(&mut self, contents: &Contents) {
        self.objects.extend(contents.objects.iter().cloned());
        self.out.world.unreadable.extend(contents.unreadable.iter().cloned());
        self.out.diagnostics.extend(contents.unreadable.iter().chain(&contents.diagnostics).cloned());
        for (kind, count) in &contents.skipped {
            *self.out.skipped.entry(kind.clone()).or_default() += count;
        }
        for fact in &contents.facts {
            self.fact(fact);
        }
    }

    fn fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Namespace { name, labels, location } => self.namespace(name, labels, location),
            Fact::Workload { key, workload, remarks } => {
                self.out.diagnostics.extend(remarks.iter().cloned());
                self.mentioned.insert(key.namespace.clone());
                self.workloads.entry(key.clone()).or_default().push(workload.clone());
            }
            Fact::Service { key, service } => {
                self.mentioned.insert(key.0.clone());
                self.services.entry(key.clone()).or_default().push(service.clone());
            }
            Fact::ServiceAccount { namespace } => {
                self.mentioned.insert(namespace.clone());
            }
        }
    }

    /// GitOps folders often hold a Namespace more than once; only different ones contradict each other.
    fn namespace(&mut self, name: &Namespace, labels: &BTreeMap<String, String>, location: &SourceLocation) {
        match self.labels.get(name) {
            None => {
                self.labels.insert(name.clone(), (labels.clone(), Some(location.clone())));
            }
            Some((known, _)) if known == labels => {}
            Some((_, first)) => {
                let what = format!("Namespace `{name}`");
                let problem = twice(&what, location, first.as_ref().unwrap_or(location));
                self.out.world.unreadable.push(problem.clone());
                self.out.diagnostics.push(problem);
            }
        }
    }

    fn finish(mut self, always_enrolled: bool) -> Assembled {
        self.finish_objects();
        self.finish_workloads();
        self.finish_services();
        for name in std::mem::take(&mut self.mentioned) {
            self.labels.entry(name).or_insert_with(|| (BTreeMap::new(), None));
        }
        self.out.world.namespaces = std::mem::take(&mut self.labels)
            .into_iter()
            .map(|(name, (labels, location))| {
                let labels = complete_labels(&name, labels);
                (name, NamespaceFacts { labels, always_enrolled, location })
            })
            .collect();
        let place = |problem: &Diagnostic| (Arc::clone(&problem.location.file), problem.location.span);
        self.out.diagnostics.sort_by_key(place);
        self.out
    }

    fn finish_objects(&mut self) {
        let mut places: HashMap<ObjectKey, Vec<SourceLocation>> = HashMap::new();
        for object in &self.objects {
            let (key, location) = identity(object);
            places.entry(key.clone()).or_default().push(location.clone());
        }
        let mut order = HashMap::new();
        for object in std::mem::take(&mut self.objects) {
            let (key, _) = identity(&object);
            let index: &mut usize = order.entry(key.clone()).or_default();
            let others = places.get(key).map(Vec::as_slice).unwrap_or_default();
            let duplicate = other(others, *index).cloned();
            *index += 1;
            self.object(object, duplicate);
        }
    }

    fn object(&mut self, object: DecodedObject, duplicate: Option<SourceLocation>) {
        if let Some(Ok(namespace)) = Some(identity(&object).0.namespace.parse()) {
            self.mentioned.insert(namespace);
        }
        let out = &mut self.out.diagnostics;
        let world = &mut self.out.world;
        match object {
            DecodedObject::Role(object) => world.roles.push(settle(object, duplicate, out, |_| nothing())),
            DecodedObject::Policy(object) => {
                world
                    .policies
                    .push(settle(object, duplicate, out, |spec| (targets(None, &spec.targets), spec.mode)));
            }
            DecodedObject::ClusterPolicy(object) => {
                world.cluster_policies.push(settle(object, duplicate, out, |spec| {
                    (targets(spec.namespace_selector.clone(), &spec.targets), spec.mode)
                }))
            }
            DecodedObject::Authentication(object) => {
                world.authentications.push(settle(object, duplicate, out, |spec| {
                    (targets(None, &spec.targets), Mode::Enforce)
                }))
            }
            DecodedObject::TrustDomain(object) => {
                world.trust_domains.push(settle(object, duplicate, out, |_| nothing()));
            }
            DecodedObject::Unsupported(object) => {
                world.unsupported.push(settle(object, duplicate, out, |()| nothing()));
            }
        }
    }

    /// Two workloads of one name: neither, so neither gets a snapshot.
    fn finish_workloads(&mut self) {
        for (key, mut found) in std::mem::take(&mut self.workloads) {
            if found.len() > 1 {
                for (index, workload) in found.iter().enumerate() {
                    let first = found.get(usize::from(index == 0)).unwrap_or(workload);
                    let what = format!("workload `{key}`");
                    self.out.diagnostics.push(twice(&what, &workload.location, &first.location));
                }
            } else if let Some(workload) = found.pop() {
                self.out.world.workloads.insert(key, workload);
            }
        }
    }

    /// FAIL-CLOSED: two Services of one name: neither, and since policies select by Services, every call is denied.
    fn finish_services(&mut self) {
        for (key, mut found) in std::mem::take(&mut self.services) {
            if found.len() > 1 {
                for (index, service) in found.iter().enumerate() {
                    let first = found.get(usize::from(index == 0)).unwrap_or(service);
                    let what = format!("Service `{}/{}`", key.0, key.1);
                    let problem = twice(&what, &service.location, &first.location);
                    self.out.world.unreadable.push(problem.clone());
                    self.out.diagnostics.push(problem);
                }
            } else if let Some(service) = found.pop() {
                self.out.world.services.insert(key, service);
            }
        }
    }
}

fn identity(object: &DecodedObject) -> (&ObjectKey, &SourceLocation) {
    match object {
        DecodedObject::Role(object) => (&object.key, &object.location),
        DecodedObject::Policy(object) => (&object.key, &object.location),
        DecodedObject::ClusterPolicy(object) => (&object.key, &object.location),
        DecodedObject::Authentication(object) => (&object.key, &object.location),
        DecodedObject::TrustDomain(object) => (&object.key, &object.location),
        DecodedObject::Unsupported(object) => (&object.key, &object.location),
    }
}

/// The place of another object of the same key: the first one, or the second where this is the first.
fn other(places: &[SourceLocation], index: usize) -> Option<&SourceLocation> {
    if places.len() < 2 { None } else { places.get(usize::from(index == 0)) }
}

/// Makes a duplicate invalid and copies the problems of an invalid object.
fn settle<S>(
    mut object: Object<S>,
    duplicate: Option<SourceLocation>,
    diagnostics: &mut Vec<Diagnostic>,
    selects: impl FnOnce(&S) -> (Selection, Mode),
) -> Object<S> {
    if let Some(other) = duplicate {
        let problem = Diagnostic {
            code: codes::DUPLICATE_OBJECT,
            severity: Severity::Error,
            object: Some(object.key.clone()),
            field: FieldPath::root().field("metadata").field("name"),
            location: object.location.clone(),
            message: format!("`{}` is defined twice", object.key),
            help: Some(format!("remove one: the other is in `{}`", place(&other))),
        };
        object.spec = Decoded::Invalid(match object.spec {
            Decoded::Valid(spec) => {
                let (selection, mode) = selects(&spec);
                Invalid { selection, mode, problems: vec![problem] }
            }
            Decoded::Invalid(mut invalid) => {
                invalid.problems.push(problem);
                invalid
            }
        });
    }
    if let Decoded::Invalid(invalid) = &object.spec {
        diagnostics.extend(invalid.problems.iter().cloned());
    }
    object
}

const fn nothing() -> (Selection, Mode) {
    (Selection::Everything, Mode::Enforce)
}

fn targets(
    namespace_selector: Option<bailiwick_compile::LabelSelector>,
    targets: &Option<Vec<bailiwick_compile::Target>>,
) -> Selection {
    Selection::Targets { namespace_selector, targets: targets.clone() }
}

fn place(location: &SourceLocation) -> String {
    match location.span {
        Some((start, _)) => format!("{} at byte {start}", location.file),
        None => location.file.as_ref().to_owned(),
    }
}

fn twice(what: &str, location: &SourceLocation, other: &SourceLocation) -> Diagnostic {
    const CODE: Code = codes::DUPLICATE_MANIFEST;
    Diagnostic {
        code: CODE,
        severity: Severity::Error,
        object: None,
        field: FieldPath::root().field("metadata").field("name"),
        location: location.clone(),
        message: format!("{what} is defined twice"),
        help: Some(format!("remove one: the other is in `{}`", place(other))),
    }
}
