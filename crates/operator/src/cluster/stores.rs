//! What the reflectors hold: the last known state of everything that is read, and how far in time it reaches.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bailiwick_compile::ObjectKind;
use serde_json::Value;
use tokio::sync::watch;

use super::facts::{Keep, NamespaceFacts, Node, OwnObject, Pod, Service, Slice};

/// Namespace (empty for a kind of the cluster) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Name {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Of an object of the API server.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let metadata = object.get("metadata")?;
        let text = |field: &str| metadata.get(field).and_then(Value::as_str);
        Some(Self::new(text("namespace").unwrap_or_default(), text("name")?))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            formatter.write_str(&self.name)
        } else {
            write!(formatter, "{}/{}", self.namespace, self.name)
        }
    }
}

/// One object: who it is, which version, and what is read of it.
#[derive(Debug)]
pub(crate) struct Item<T> {
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) content: Arc<T>,
}

/// Objects of one kind, by name.
pub(crate) type Listed<T> = Vec<(Name, Arc<Item<T>>)>;

/// Which kind a store holds, and where the API server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
}

/// The last known state of one kind.
#[derive(Debug)]
pub(crate) struct Store<T> {
    resource: Resource,
    held: RwLock<Held<T>>,
    changed: Changed,
}

#[derive(Debug)]
struct Held<T> {
    items: BTreeMap<Name, Arc<Item<T>>>,
    /// INVARIANT: `items` is the state of the API server at this revision, or at a later one.
    mark: u64,
    synced: bool,
    problem: Option<String>,
}

/// Wakes whoever works with the stores; counts the changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changed(Arc<watch::Sender<u64>>);

impl Changed {
    pub(crate) fn tell(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// How far a store of any kind reaches.
pub(crate) trait Reach: Send + Sync {
    /// Which kind this is.
    fn resource(&self) -> Resource;
    /// The revision that is reached.
    fn mark(&self) -> u64;
    /// True once everything was listed.
    fn is_synced(&self) -> bool;
    /// What keeps the store from following the API server now.
    fn problem(&self) -> Option<String>;
    /// Takes up the revision of a list, if the store holds exactly what was listed: name, uid and version of each.
    fn prove(&self, listed: &BTreeMap<Name, (String, String)>, revision: u64) -> bool;
}

impl<T: Keep> Reach for Store<T> {
    fn resource(&self) -> Resource {
        self.resource
    }

    fn mark(&self) -> u64 {
        self.read().mark
    }

    fn is_synced(&self) -> bool {
        self.read().synced
    }

    fn problem(&self) -> Option<String> {
        self.read().problem.clone()
    }

    fn prove(&self, listed: &BTreeMap<Name, (String, String)>, revision: u64) -> bool {
        let mut held = self.write();
        let is_listed = |(name, item): (&Name, &Arc<Item<T>>)| {
            listed
                .get(name)
                .is_some_and(|(uid, version)| *uid == item.uid && *version == item.resource_version)
        };
        let same = held.items.len() == listed.len() && held.items.iter().all(is_listed);
        if same {
            held.mark = held.mark.max(revision);
        }
        same
    }
}

impl<T: Keep> Store<T> {
    fn new(resource: Resource, changed: &Changed) -> Self {
        let held = Held { items: BTreeMap::new(), mark: 0, synced: false, problem: None };
        Self { resource, held: RwLock::new(held), changed: changed.clone() }
    }

    /// One object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Item<T>>> {
        self.read().items.get(&Name::new(namespace, name)).cloned()
    }

    /// Every object, by name.
    pub(crate) fn list(&self) -> Listed<T> {
        self.snapshot().1
    }

    /// Every object, and the revision that they are known to reach.
    pub(crate) fn snapshot(&self) -> (u64, Listed<T>) {
        let held = self.read();
        (held.mark, held.items.iter().map(|(name, item)| (name.clone(), Arc::clone(item))).collect())
    }

    /// An object is there in this version.
    pub(super) fn apply(&self, object: Value) {
        let Some((name, uid, revision)) = identify(&object) else { return };
        // This store's one follower writes it, so nothing changes meanwhile.
        let before = self.of_uid(&name, &uid).map(|item| Arc::clone(&item.content));
        let (kept, mark) = (T::read(object, before.as_deref()), number(&revision));
        let same = before.filter(|before| **before == kept);
        let mut held = self.write();
        let changed = same.is_none();
        let content = same.unwrap_or_else(|| Arc::new(kept));
        held.items.insert(name, Arc::new(Item { uid, resource_version: revision, content }));
        held.mark = held.mark.max(mark);
        drop(held);
        if changed {
            self.changed.tell();
        }
    }

    /// An object is gone; whatever else the message says.
    pub(super) fn delete(&self, object: &Value) {
        let Some((name, _, revision)) = identify(object) else { return };
        let mut held = self.write();
        held.items.remove(&name);
        held.mark = held.mark.max(number(&revision));
        drop(held);
        self.changed.tell();
    }

    /// Everything that there is, at this revision.
    pub(super) fn replace(&self, objects: Vec<Value>, revision: &str) {
        let mut items = BTreeMap::new();
        for object in objects {
            let Some((name, uid, resource_version)) = identify(&object) else { continue };
            let before = self.of_uid(&name, &uid);
            let item = match before {
                Some(before) if before.resource_version == resource_version => before,
                before => {
                    let before = before.as_ref().map(|item| &*item.content);
                    let content = Arc::new(T::read(object, before));
                    Arc::new(Item { uid, resource_version, content })
                }
            };
            items.insert(name, item);
        }
        let mut held = self.write();
        held.items = items;
        // FAIL-CLOSED: after a list the store is as old as that list says, also where the API server went back.
        held.mark = number(revision);
        held.synced = true;
        held.problem = None;
        drop(held);
        self.changed.tell();
    }

    /// Nothing has happened up to this revision.
    pub(super) fn reached(&self, revision: &str) {
        let mut held = self.write();
        held.mark = held.mark.max(number(revision));
        held.problem = None;
    }

    fn of_uid(&self, name: &Name, uid: &str) -> Option<Arc<Item<T>>> {
        self.read().items.get(name).filter(|item| item.uid == uid).cloned()
    }

    pub(super) fn set_problem(&self, problem: Option<String>) {
        let mut held = self.write();
        if held.problem != problem {
            held.problem = problem;
            drop(held);
            self.changed.tell();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Held<T>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held<T>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identify(object: &Value) -> Option<(Name, String, String)> {
    let metadata = object.get("metadata");
    let text = |field: &str| metadata.and_then(|all| all.get(field)).and_then(Value::as_str);
    let identity = Name::of(object).zip(text("uid").zip(text("resourceVersion")));
    if identity.is_none() {
        tracing::error!("the API server sent an object without name, uid or resourceVersion");
    }
    identity.map(|(name, (uid, revision))| (name, uid.to_owned(), revision.to_owned()))
}

/// Revisions are numbers, and compare as such (Kubernetes KEP-5504). 0 is before everything.
pub(super) fn number(revision: &str) -> u64 {
    revision.parse().unwrap_or(0)
}

/// Everything that is read of the cluster.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(crate) pods: Arc<Store<Pod>>,
    pub(crate) namespaces: Arc<Store<NamespaceFacts>>,
    pub(crate) services: Arc<Store<Service>>,
    pub(crate) slices: Arc<Store<Slice>>,
    pub(crate) nodes: Arc<Store<Node>>,
    objects: BTreeMap<ObjectKind, Arc<Store<OwnObject>>>,
    changed: Changed,
}

const fn core(kind: &'static str, plural: &'static str) -> Resource {
    Resource { group: "", version: "v1", kind, plural }
}

const SLICES: Resource =
    Resource { group: "discovery.k8s.io", version: "v1", kind: "EndpointSlice", plural: "endpointslices" };

const fn plural(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Role => "bwroles",
        ObjectKind::Policy => "bwpolicies",
        ObjectKind::ClusterPolicy => "bwclusterpolicies",
        ObjectKind::Authentication => "bwauthentications",
        ObjectKind::RelationSchema => "bwrelationschemas",
        ObjectKind::Relationship => "bwrelationships",
        ObjectKind::TrustDomain => "bwtrustdomains",
    }
}

/// Where the API server has our own kinds.
pub(crate) const fn own(kind: ObjectKind) -> Resource {
    Resource {
        group: bailiwick_api::GROUP,
        version: bailiwick_api::VERSION,
        kind: kind.as_str(),
        plural: plural(kind),
    }
}

impl Stores {
    /// Empty, before anything was listed.
    pub(crate) fn new() -> Self {
        let changed = Changed::default();
        let own = |kind| (kind, Arc::new(Store::new(own(kind), &changed)));
        Self {
            pods: Arc::new(Store::new(core("Pod", "pods"), &changed)),
            namespaces: Arc::new(Store::new(core("Namespace", "namespaces"), &changed)),
            services: Arc::new(Store::new(core("Service", "services"), &changed)),
            slices: Arc::new(Store::new(SLICES, &changed)),
            nodes: Arc::new(Store::new(core("Node", "nodes"), &changed)),
            objects: ObjectKind::ALL.into_iter().map(own).collect(),
            changed,
        }
    }

    /// Our own objects, by kind.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (ObjectKind, &Arc<Store<OwnObject>>)> {
        self.objects.iter().map(|(kind, store)| (*kind, store))
    }

    /// Our own objects of one kind.
    pub(crate) fn of_kind(&self, kind: ObjectKind) -> Option<&Arc<Store<OwnObject>>> {
        self.objects.get(&kind)
    }

    /// Wakes at every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Every store.
    pub(crate) fn all(&self) -> Vec<Arc<dyn Reach>> {
        let mut all: Vec<Arc<dyn Reach>> = Vec::new();
        for store in self.objects.values() {
            all.push(Arc::clone(store) as Arc<dyn Reach>);
        }
        all.push(Arc::clone(&self.pods) as Arc<dyn Reach>);
        all.push(Arc::clone(&self.namespaces) as Arc<dyn Reach>);
        all.push(Arc::clone(&self.services) as Arc<dyn Reach>);
        all.push(Arc::clone(&self.slices) as Arc<dyn Reach>);
        all.push(Arc::clone(&self.nodes) as Arc<dyn Reach>);
        all
    }

    /// What keeps a store from following the API server; empty while all do.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.all().iter().filter_map(|store| store.problem()).collect()
    }

    /// The kinds that are not listed yet.
    pub(crate) fn unsynced(&self) -> Vec<&'static str> {
        let missing = self.all().into_iter().filter(|store| !store.is_synced());
        missing.map(|store| store.resource().plural).collect()
    }

    /// Has everything looked at again, also where no object changed.
    pub(crate) fn touch(&self) {
        self.changed.tell();
    }

    /// True if the namespace is labelled `bailiwick.dev/inject: enabled`.
    pub(crate) fn is_enrolled(&self, namespace: &str) -> bool {
        self.namespaces.get("", namespace).is_some_and(|item| item.content.is_enrolled())
    }
}
