//! Who the rules of a snapshot speak of, each distinct answer once.

use std::collections::HashMap;

use bailiwick_identity::TrustDomain;
use foldhash::fast::RandomState;

use crate::caller_facts::CallerFacts;
use crate::{SubjectEntry, Truth};

/// The subjects of a rule, without those that it excepts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct SubjectSet {
    pub(crate) subjects: Vec<SubjectEntry>,
    pub(crate) except: Vec<SubjectEntry>,
}

impl SubjectSet {
    pub(crate) fn holds(&self, caller: &CallerFacts<'_>) -> Truth {
        any(&self.subjects, caller).and(any(&self.except, caller).negated())
    }
}

/// Whether one of the entries holds.
pub(crate) fn any(entries: &[SubjectEntry], caller: &CallerFacts<'_>) -> Truth {
    let mut found = Truth::False;
    for entry in entries {
        found = found.or(entry.holds(caller));
        if found.is_true() {
            break;
        }
    }
    found
}

/// What an entry needs at least, so that most callers never look at it.
enum Key<'a> {
    Identity(String),
    Namespaces(&'a [bailiwick_identity::Namespace]),
    None,
}

/// Every distinct [`SubjectSet`] of a snapshot, found by identity and namespace, and the rows of each.
#[derive(Debug, Default)]
pub(crate) struct SubjectSets {
    sets: Vec<SubjectSet>,
    /// The rows of each set, ascending.
    rows: Vec<Vec<u32>>,
    by_identity: HashMap<Box<str>, Filed, RandomState>,
    by_namespace: HashMap<Box<str>, Filed, RandomState>,
    /// Sets that any caller may be in.
    general: Filed,
    /// True if an address range stands in some set.
    pub(crate) reads_source: bool,
}

/// Sets that are filed together, and all their rows; both ascending.
#[derive(Debug, Default)]
struct Filed {
    sets: Vec<u32>,
    rows: Vec<u32>,
}

/// Interns the sets of a snapshot while it is built.
#[derive(Debug, Default)]
pub(crate) struct SubjectSetsBuilder {
    known: HashMap<SubjectSet, u32, RandomState>,
    rows: Vec<Vec<u32>>,
}

impl SubjectSetsBuilder {
    /// The number of a set.
    pub(crate) fn intern(&mut self, set: SubjectSet) -> u32 {
        // Bounded by the number of rules, which the snapshot bounds.
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let number = *self.known.entry(set).or_insert(next);
        if number == next {
            self.rows.push(Vec::new());
        }
        number
    }

    /// Adds a row to a set. Rows come in ascending order.
    pub(crate) fn add_row(&mut self, set: u32, row: u32) {
        if let Some(rows) = self.rows.get_mut(set as usize) {
            rows.push(row);
        }
    }

    pub(crate) fn finish(self, own: &TrustDomain) -> SubjectSets {
        let mut numbered: Vec<(SubjectSet, u32)> = self.known.into_iter().collect();
        numbered.sort_unstable_by_key(|(_, number)| *number);
        let mut sets = SubjectSets { rows: self.rows, ..SubjectSets::default() };
        for (set, number) in numbered {
            sets.file(own, &set, number);
            sets.reads_source |= set.subjects.iter().chain(&set.except).any(|entry| entry.ip_block.is_some());
            sets.sets.push(set);
        }
        sets.collect_rows();
        sets
    }
}

impl SubjectSets {
    /// INVARIANT: a set that a caller is in is filed under the caller's identity or namespace, or as general.
    fn file(&mut self, own: &TrustDomain, set: &SubjectSet, number: u32) {
        let keys: Vec<Key<'_>> = set.subjects.iter().map(|entry| key(own, entry)).collect();
        if keys.iter().any(|key| matches!(key, Key::None)) {
            self.general.sets.push(number);
            return;
        }
        for key in keys {
            match key {
                Key::Identity(id) => push(&mut self.by_identity, &id, number),
                Key::Namespaces(names) => {
                    names.iter().for_each(|name| push(&mut self.by_namespace, name.as_str(), number));
                }
                Key::None => {}
            }
        }
    }

    fn collect_rows(&mut self) {
        let Self { rows, by_identity, by_namespace, general, .. } = self;
        let filed = by_identity.values_mut().chain(by_namespace.values_mut()).chain([general]);
        for Filed { sets, rows: collected } in filed {
            let of_set = |set: &u32| rows.get(*set as usize).map_or(&[][..], Vec::as_slice);
            collected.extend(sets.iter().flat_map(of_set));
            collected.sort_unstable();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(crate) fn get(&self, set: u32) -> Option<&SubjectSet> {
        self.sets.get(set as usize)
    }

    pub(crate) fn rows(&self, set: u32) -> &[u32] {
        self.rows.get(set as usize).map_or(&[], Vec::as_slice)
    }

    /// Ascending lists of rows; a row of a set that the caller is in is in one of them at least.
    pub(crate) fn rows_of_caller(&self, caller: &CallerFacts<'_>) -> [&[u32]; 3] {
        self.filed(caller).map(|filed| filed.map_or(&[][..], |filed| &filed.rows))
    }

    fn filed(&self, caller: &CallerFacts<'_>) -> [Option<&Filed>; 3] {
        let identity = caller.id.and_then(|id| self.by_identity.get(id.as_str()));
        let namespace = caller.namespace().and_then(|name| self.by_namespace.get(name));
        [Some(&self.general), identity, namespace]
    }

    /// The sets that a caller is in, ascending, each once.
    pub(crate) fn of_caller(&self, caller: &CallerFacts<'_>) -> Vec<u32> {
        let candidates = self.filed(caller).into_iter().flatten().flat_map(|filed| &filed.sets).copied();
        let mut found: Vec<u32> =
            candidates.filter(|set| self.get(*set).is_some_and(|set| set.holds(caller).is_true())).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn key<'a>(own: &TrustDomain, entry: &'a SubjectEntry) -> Key<'a> {
    if let Some((namespace, account)) = &entry.service_account {
        return Key::Identity(format!("spiffe://{own}/ns/{namespace}/sa/{account}"));
    }
    match (entry.spiffe_id.as_ref().and_then(|pattern| pattern.exact()), &entry.namespaces) {
        (Some(id), _) => Key::Identity(id.to_owned()),
        (None, Some(names)) => Key::Namespaces(names),
        (None, None) => Key::None,
    }
}

fn push(map: &mut HashMap<Box<str>, Filed, RandomState>, key: &str, number: u32) {
    let list = &mut map.entry(key.into()).or_default().sets;
    if list.last() != Some(&number) {
        list.push(number);
    }
}
