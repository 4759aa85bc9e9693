//! Since which compile each object is what it is, for each workload that it reaches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bailiwick_compile::{ObjectKey, ObjectKind};
use bailiwick_policy::WorkloadKey;

use crate::status::ObjectRecord;

/// One version of one object: a deleted object that is made again begins at generation 1 again, with another uid.
type Version = (String, i64);

/// An object as the last compile found it.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) record: ObjectRecord,
    /// Itself, then everything that it depends on.
    versions: Vec<(ObjectKey, Version)>,
    /// The compile with which all of this first reached each workload.
    since: BTreeMap<WorkloadKey, u64>,
}

impl Entered {
    /// The compile that a sidecar of the workload must have reached to enforce the object.
    pub(super) fn since(&self, workload: &WorkloadKey) -> Option<u64> {
        self.since.get(workload).copied()
    }
}

/// Takes over the objects of a compile. What stayed the same keeps its place in time, so that other objects' edits do
/// not make it look unenforced; what changed, or depends on what changed, begins now.
pub(super) fn take_over(known: &mut BTreeMap<ObjectKey, Entered>, records: &[ObjectRecord], compile: u64) {
    let versions: HashMap<&ObjectKey, Version> =
        records.iter().map(|record| (&record.key, (record.uid.clone(), record.generation))).collect();
    let mut before = std::mem::take(known);
    for record in records {
        let depends = record.depends_on.iter().filter(|key| **key != record.key);
        // An object that is not there is none of any version: when it comes, that is a change.
        let version = |key: &ObjectKey| (key.clone(), versions.get(key).cloned().unwrap_or_default());
        let mut all: Vec<_> = depends.map(version).collect();
        all.sort();
        all.dedup();
        all.insert(0, version(&record.key));
        let same = before.remove(&record.key).filter(|entered| entered.versions == all);
        let old = same.map(|entered| entered.since).unwrap_or_default();
        let since =
            |workload: &WorkloadKey| (workload.clone(), old.get(workload).copied().unwrap_or(compile));
        let since = record.workloads.iter().map(since).collect();
        known.insert(record.key.clone(), Entered { record: record.clone(), versions: all, since });
    }
}

/// The objects that take no part in verdicts: those in `mode: Audit`, the Policies of namespaces that are audited, and
/// Roles that only such objects bind. A ClusterPolicy of mode Enforce decides in audited namespaces, too.
pub(super) fn audit_only(
    objects: &BTreeMap<ObjectKey, Entered>,
    audited: impl Fn(&str) -> bool,
) -> BTreeSet<ObjectKey> {
    let mut found = BTreeSet::new();
    let mut binders: BTreeMap<&ObjectKey, bool> = BTreeMap::new();
    for (key, Entered { record, .. }) in objects {
        let only = match key.kind {
            ObjectKind::Policy => record.audit || audited(&key.namespace),
            ObjectKind::ClusterPolicy => record.audit,
            ObjectKind::Role
            | ObjectKind::Authentication
            | ObjectKind::TrustDomain
            | ObjectKind::RelationSchema
            | ObjectKind::Relationship => continue,
        };
        for role in &record.depends_on {
            let all = binders.entry(role).or_insert(true);
            *all &= only;
        }
        if only {
            found.insert(key.clone());
        }
    }
    found.extend(binders.into_iter().filter(|(_, only)| *only).map(|(role, _)| role.clone()));
    found
}
