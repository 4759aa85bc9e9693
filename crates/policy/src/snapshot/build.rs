//! From parts to a snapshot: checked, sorted, flattened, indexed.

use std::cmp::Ordering;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::rows::{MethodBits, Place, Row, RowKind, Step};
use super::subjects::{SubjectSet, SubjectSetsBuilder};
use super::{Index, RuleInfo, Snapshot};
use crate::{
    Body, BoundObject, Effect, IpBlock, Methods, Mode, Origin, Permission, PolicyObject, PortSelection, Rule,
    RuleIndex, SnapshotId, SnapshotParts, SubjectClass, SubjectEntry,
};

/// The most rows (rules times permissions) of one snapshot. It keeps indices in 32 bits; far below it memory ends.
const MAXIMUM_ROWS: usize = 1 << 22;

/// Why parts do not make a snapshot. A compiler never makes such parts; a sidecar keeps its last good snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A list that must not be empty is, or a subject entry has no field: nothing empty may mean "all".
    #[error("{object}: `rules[{rule}].{field}` is empty")]
    Empty {
        /// The object.
        object: String,
        /// The rule.
        rule: String,
        /// The field.
        field: &'static str,
    },
    /// Only a Deny can except subjects.
    #[error("{object}: `rules[{rule}].exceptSubjects` stands on an Allow; only a Deny can except subjects")]
    ExceptOfAllow {
        /// The object.
        object: String,
        /// The rule.
        rule: String,
    },
    /// A gRPC service or method is empty or has a slash.
    #[error("{object}: `{name}` in `rules[{rule}].permissions` is not the name of a gRPC service or method")]
    GrpcName {
        /// The object.
        object: String,
        /// The rule.
        rule: String,
        /// The name.
        name: String,
    },
    /// More rules than one snapshot can hold.
    #[error(
        "{rows} pairs of rules and permissions are more than the {MAXIMUM_ROWS} that one workload can have"
    )]
    TooLarge {
        /// How many there are.
        rows: usize,
    },
}

/// A part of a Deny that is decided before the handshake: see [`crate::admit`].
#[derive(Debug)]
pub(crate) struct EarlyDeny {
    pub(crate) rule: RuleIndex,
    /// `None`: the rule names `anyone` without an address range.
    pub(crate) blocks: Option<Box<[IpBlock]>>,
    /// The ports of its object.
    pub(crate) selected: u32,
    /// The ports of its `tcp` permissions; every port if it has an `any` permission.
    pub(crate) ports: PortSelection,
}

pub(super) fn build(id: SnapshotId, parts: SnapshotParts) -> Result<Snapshot, SnapshotError> {
    let mut objects = parts.objects;
    sort_objects(&mut objects);
    let mut draft = Draft::default();
    draft.ports(&PortSelection::All);
    for (number, bound) in objects.iter().enumerate() {
        draft.object(number, bound, parts.authorization_audit)?;
    }
    // Stable: rows of one rule keep the order of its permissions.
    draft.rows.sort_by_key(|row| (row.step, row.rule));
    draft.changes.sort_unstable();
    draft.changes.dedup();
    let path_denies = path_denies(&draft.rows);
    let mut ports: Vec<(PortSelection, u32)> = draft.port_numbers.into_iter().collect();
    ports.sort_unstable_by_key(|(_, number)| *number);
    let mut snapshot = Snapshot {
        id,
        workload: parts.workload,
        trust_domain: parts.trust_domain,
        authorization_audit: parts.authorization_audit,
        objects: objects.into(),
        rules: draft.rules.into(),
        rows: draft.rows.into(),
        ports: ports.into_iter().map(|(selection, _)| selection).collect(),
        sets: super::SubjectSets::default(),
        index: Index::default(),
        early: draft.early.into(),
        path_denies,
        audited: draft.audited.into(),
        changes: draft.changes.into(),
    };
    let mut index = Index::default();
    for (number, row) in (0..).zip(snapshot.rows.iter()) {
        index.insert(number, snapshot.row_permission(row));
        draft.sets.add_row(row.set, number);
    }
    snapshot.index = index;
    snapshot.sets = draft.sets.finish(&snapshot.trust_domain);
    Ok(snapshot)
}

fn path_denies(rows: &[Row]) -> Box<[(Step, u32)]> {
    let mut denies: Vec<(Step, u32)> = rows
        .iter()
        .filter(|row| row.step != Step::Allow && !row.audit)
        .filter(|row| matches!(row.kind, RowKind::Http | RowKind::Grpc))
        .map(|row| (row.step, row.ports))
        .collect();
    denies.sort_unstable();
    denies.dedup();
    denies.into()
}

/// By origin. INVARIANT: the order of the parts changes neither a decision nor a rule's index, even if two objects
/// share an origin (a duplicate, which its compiler makes uncompilable).
fn sort_objects(objects: &mut [BoundObject]) {
    objects.sort_by(|left, right| {
        left.object.origin.cmp(&right.object.origin).then_with(|| by_content(left, right))
    });
}

fn by_content<T: std::fmt::Debug + PartialEq>(left: &T, right: &T) -> Ordering {
    if left == right { Ordering::Equal } else { format!("{left:?}").cmp(&format!("{right:?}")) }
}

/// What is gathered while walking the objects.
#[derive(Default)]
struct Draft {
    rules: Vec<RuleInfo>,
    rows: Vec<Row>,
    port_numbers: HashMap<PortSelection, u32, RandomState>,
    sets: SubjectSetsBuilder,
    early: Vec<EarlyDeny>,
    audited: Vec<PortSelection>,
    changes: Vec<i64>,
}

/// One object while it is walked.
#[derive(Clone, Copy)]
struct Current<'a> {
    number: u32,
    object: &'a PolicyObject,
    ports: u32,
    authorization_audit: bool,
}

impl Draft {
    fn object(
        &mut self,
        number: usize,
        bound: &BoundObject,
        authorization_audit: bool,
    ) -> Result<(), SnapshotError> {
        let object = bound.object.as_ref();
        if object.mode == Mode::Audit && !self.audited.contains(&bound.ports) {
            self.audited.push(bound.ports.clone());
        }
        let number = u32::try_from(number).map_err(|_| SnapshotError::TooLarge { rows: number })?;
        let current = Current { number, object, ports: self.ports(&bound.ports), authorization_audit };
        match &object.body {
            Body::Uncompilable { reason } => self.uncompilable(current, reason),
            Body::Rules(rules) => {
                let mut sorted: Vec<(u32, &Rule)> = (0..).zip(rules).collect();
                sorted.sort_by(|(_, left), (_, right)| {
                    left.name.cmp(&right.name).then_with(|| by_content(left, right))
                });
                for (position, rule) in sorted {
                    check(&object.origin, rule)?;
                    self.rule(current, position, rule)?;
                }
            }
        }
        self.bound()
    }

    fn bound(&self) -> Result<(), SnapshotError> {
        let rows = self.rows.len().max(self.rules.len());
        if rows > MAXIMUM_ROWS { Err(SnapshotError::TooLarge { rows }) } else { Ok(()) }
    }

    fn ports(&mut self, ports: &PortSelection) -> u32 {
        let mut ports = ports.clone();
        if let PortSelection::Only(list) = &mut ports {
            list.sort_unstable();
            list.dedup();
        }
        let next = u32::try_from(self.port_numbers.len()).unwrap_or(u32::MAX);
        *self.port_numbers.entry(ports).or_insert(next)
    }

    fn add_rule(&mut self, info: RuleInfo) -> RuleIndex {
        // Bounded by `bound` after each object, whose own rules are few.
        let index = RuleIndex(u32::try_from(self.rules.len()).unwrap_or(u32::MAX));
        self.rules.push(info);
        index
    }

    /// FAIL-CLOSED: an object that did not compile is a Deny of everything on its ports.
    fn uncompilable(&mut self, current: Current<'_>, reason: &std::sync::Arc<str>) {
        let PolicyObject { origin, generation, mode, .. } = current.object;
        let rule = self.add_rule(RuleInfo::of_uncompilable(origin, *generation, *mode, reason));
        let anyone = SubjectEntry { class: Some(SubjectClass::Anyone), ..SubjectEntry::default() };
        let set = self.sets.intern(SubjectSet { subjects: vec![anyone], except: Vec::new() });
        self.rows.push(Row {
            rule,
            set,
            ports: current.ports,
            place: Place { object: current.number, ..Place::default() },
            methods: MethodBits::ANY,
            step: Step::of(origin.layer, Effect::Deny),
            kind: RowKind::Any,
            audit: *mode == Mode::Audit,
            windowed: false,
            hosted: false,
        });
    }

    fn rule(&mut self, current: Current<'_>, position: u32, rule: &Rule) -> Result<(), SnapshotError> {
        let PolicyObject { origin, generation, mode, .. } = current.object;
        let index = self.add_rule(RuleInfo::of_rule(origin, *generation, *mode, rule));
        let set = self
            .sets
            .intern(SubjectSet { subjects: rule.subjects.clone(), except: rule.except_subjects.clone() });
        self.changes.extend(rule.not_before.iter().chain(&rule.not_after));
        for (permission, wanted) in (0..).zip(&rule.permissions) {
            let (kind, methods, hosted) = row_shape(wanted);
            self.rows.push(Row {
                rule: index,
                set,
                ports: current.ports,
                place: Place { object: current.number, rule: position, permission },
                methods,
                step: Step::of(origin.layer, rule.effect),
                kind,
                audit: *mode == Mode::Audit,
                windowed: rule.not_before.is_some() || rule.not_after.is_some(),
                hosted,
            });
        }
        let only_reported =
            *mode == Mode::Audit || (current.authorization_audit && origin.layer == crate::Layer::Namespace);
        if rule.effect == Effect::Deny && !only_reported {
            self.early.extend(early(index, current.ports, rule));
        }
        self.bound()
    }
}

fn row_shape(permission: &Permission) -> (RowKind, MethodBits, bool) {
    match permission {
        Permission::Any => (RowKind::Any, MethodBits::ANY, false),
        Permission::Tcp(_) => (RowKind::Tcp, MethodBits::ANY, false),
        Permission::Grpc(_) => (RowKind::Grpc, MethodBits::POST, false),
        Permission::Http(http) => {
            (RowKind::Http, MethodBits::of_methods(&http.methods), http.hosts.is_some())
        }
    }
}

/// The triples of a Deny that address, port and time decide. A rule is the set of its triples, so a rule that also has
/// others is the same as two rules, of which one is decided early; but an exception could take any triple back.
fn early(rule: RuleIndex, selected: u32, wanted: &Rule) -> Option<EarlyDeny> {
    if !wanted.except_subjects.is_empty() {
        return None;
    }
    let mut blocks = Some(Vec::new());
    for entry in &wanted.subjects {
        match (early_entry(entry), &mut blocks) {
            (Some(Some(block)), Some(blocks)) => blocks.push(block.clone()),
            (Some(None), _) => blocks = None,
            (None, _) | (Some(Some(_)), None) => {}
        }
    }
    let mut ports = Vec::new();
    let mut every = false;
    for permission in &wanted.permissions {
        match permission {
            Permission::Any => every = true,
            Permission::Tcp(listed) => ports.extend_from_slice(listed),
            Permission::Http(_) | Permission::Grpc(_) => {}
        }
    }
    let ports = if every { PortSelection::All } else { PortSelection::Only(ports) };
    let nobody = blocks.as_ref().is_some_and(Vec::is_empty);
    let nothing = ports == PortSelection::Only(Vec::new());
    if nobody || nothing {
        return None;
    }
    Some(EarlyDeny { rule, blocks: blocks.map(Vec::into_boxed_slice), selected, ports })
}

/// The range of an entry that only reads the address: `None` if it reads more, `Some(None)` if it is everyone.
fn early_entry(entry: &SubjectEntry) -> Option<Option<&IpBlock>> {
    let SubjectEntry { class, service_account, namespaces, spiffe_id, ip_block } = entry;
    if service_account.is_some() || namespaces.is_some() || spiffe_id.is_some() {
        return None;
    }
    match (class, ip_block) {
        (Some(SubjectClass::Authenticated | SubjectClass::Unauthenticated), _) | (None, None) => None,
        (Some(SubjectClass::Anyone) | None, block) => Some(block.as_ref()),
    }
}

fn check(origin: &Origin, rule: &Rule) -> Result<(), SnapshotError> {
    let named = || (object_name(origin), rule.name.as_ref().to_owned());
    let empty = |field| {
        let (object, rule) = named();
        SnapshotError::Empty { object, rule, field }
    };
    let fieldless = |entries: &[SubjectEntry]| entries.iter().any(|entry| *entry == SubjectEntry::default());
    if rule.subjects.is_empty() || fieldless(&rule.subjects) {
        return Err(empty("subjects"));
    }
    if fieldless(&rule.except_subjects) {
        return Err(empty("exceptSubjects"));
    }
    if rule.effect == Effect::Allow && !rule.except_subjects.is_empty() {
        let (object, rule) = named();
        return Err(SnapshotError::ExceptOfAllow { object, rule });
    }
    if rule.effect == Effect::Deny && rule.permissions.is_empty() {
        return Err(empty("permissions"));
    }
    for permission in &rule.permissions {
        if let Some(field) = empty_field(permission) {
            return Err(empty(field));
        }
        if let Some(name) = bad_grpc_name(permission) {
            let (object, rule) = named();
            return Err(SnapshotError::GrpcName { object, rule, name: name.to_owned() });
        }
    }
    Ok(())
}

fn empty_field(permission: &Permission) -> Option<&'static str> {
    let no_methods = |methods: &Methods| matches!(methods, Methods::Of(names) if names.is_empty());
    match permission {
        Permission::Any => None,
        Permission::Tcp(ports) => ports.is_empty().then_some("permissions.tcp.ports"),
        Permission::Grpc(grpc) => no_methods(&grpc.methods).then_some("permissions.grpc.methods"),
        Permission::Http(http) if no_methods(&http.methods) => Some("permissions.http.methods"),
        Permission::Http(http) if http.paths.is_empty() => Some("permissions.http.paths"),
        Permission::Http(http) => {
            http.hosts.as_ref().is_some_and(Vec::is_empty).then_some("permissions.http.hosts")
        }
    }
}

fn bad_grpc_name(permission: &Permission) -> Option<&str> {
    let Permission::Grpc(grpc) = permission else { return None };
    let bad = |name: &&str| name.is_empty() || name.contains('/');
    let methods = match &grpc.methods {
        Methods::Any => [].as_slice(),
        Methods::Of(names) => names,
    };
    std::iter::once(grpc.service.as_ref()).chain(methods.iter().map(AsRef::as_ref)).find(bad)
}

fn object_name(origin: &Origin) -> String {
    let slash = if origin.namespace.is_empty() { "" } else { "/" };
    format!("{} {}{slash}{}", origin.layer.kind(), origin.namespace, origin.name)
}
