//! What became of each object, gathered: what status and `validate` say.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_identity::Namespace;
use bailiwick_policy::{Mode, WorkloadKey};

use crate::facts::{Facts, WorkloadIndex};
use crate::head::Head;
use crate::lower::Draft;
use crate::mesh::Mesh;
use crate::roles::{RoleIndex, Roles};
use crate::selection::View;
use crate::{
    AuthenticationSpec, Compiled, Decoded, Diagnostic, FieldPath, MeshSettings, Object, ObjectKey,
    ObjectOutcome, Route, WorkloadConfig, codes,
};

/// The result, while it is gathered.
#[derive(Debug)]
pub(crate) struct Outcomes<'f, 'a> {
    facts: &'f Facts<'a>,
    workloads: BTreeMap<WorkloadKey, Arc<WorkloadConfig>>,
    objects: BTreeMap<ObjectKey, ObjectOutcome>,
    diagnostics: Vec<Diagnostic>,
}

/// What is known of one object.
#[derive(Debug, Default)]
struct Report {
    problems: Vec<Diagnostic>,
    unresolved: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    targeted: Vec<WorkloadKey>,
    audit: bool,
    depends_on: Vec<ObjectKey>,
}

impl<'f, 'a> Outcomes<'f, 'a> {
    pub(crate) fn new(facts: &'f Facts<'a>) -> Self {
        Self { facts, workloads: BTreeMap::new(), objects: BTreeMap::new(), diagnostics: Vec::new() }
    }

    pub(crate) fn tell(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub(crate) fn tell_all(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.diagnostics.extend(diagnostics);
    }

    pub(crate) fn workload(&mut self, key: &WorkloadKey, config: Arc<WorkloadConfig>) {
        self.workloads.insert(key.clone(), config);
    }

    pub(crate) fn workloads(&self) -> &BTreeMap<WorkloadKey, Arc<WorkloadConfig>> {
        &self.workloads
    }

    pub(crate) fn policies(&mut self, drafts: &[Draft<'_>], roles: &Roles<'_>) {
        for draft in drafts {
            let mut report = Report {
                unresolved: draft.selected.unresolved.clone(),
                warnings: draft.selected.warnings.clone(),
                targeted: self.keys(draft.selected.workloads.keys()),
                audit: draft.mode == Mode::Audit,
                depends_on: roles.keys(&draft.reach),
                ..Report::default()
            };
            match &draft.rules {
                Ok(rules) => {
                    let unresolved = rules.iter().flat_map(|(_, binding)| binding.unresolved.iter().cloned());
                    report.unresolved.extend(unresolved);
                }
                Err(problems) => report.problems.clone_from(problems),
            }
            self.add(draft.head, report);
        }
    }

    /// Roles reach the workloads of those who bind them.
    pub(crate) fn roles(&mut self, drafts: &[Draft<'_>], roles: &Roles<'_>) {
        let mut reached: Vec<Bits> = roles.entries.iter().map(|_| Bits::default()).collect();
        for draft in drafts {
            for role in &draft.reach {
                if let Some(bits) = reached.get_mut(*role) {
                    draft.selected.workloads.keys().for_each(|index| bits.insert(*index));
                }
            }
        }
        for (index, (role, bits)) in roles.entries.iter().zip(reached).enumerate() {
            let inherited: Vec<RoleIndex> =
                role.reach.iter().copied().filter(|other| *other != index).collect();
            let targeted: Vec<WorkloadIndex> = bits.iter().collect();
            let report = Report {
                problems: role.problems.clone(),
                unresolved: role.unresolved.clone(),
                targeted: self.keys(targeted.iter()),
                depends_on: roles.keys(&inherited),
                ..Report::default()
            };
            self.add(role.head, report);
        }
    }

    pub(crate) fn authentications(&mut self, views: Vec<View<'_, AuthenticationSpec>>) {
        for view in views {
            let report = Report {
                targeted: self.keys(view.selected.workloads.keys()),
                problems: view.spec.err().unwrap_or_default(),
                unresolved: view.selected.unresolved,
                warnings: view.selected.warnings,
                ..Report::default()
            };
            self.add(view.head, report);
        }
    }

    pub(crate) fn trust_domains(&mut self, mesh: &Mesh<'_>) {
        for (head, problems) in &mesh.objects {
            let targeted = self.facts.workloads.iter().map(|(key, _)| (*key).clone()).collect();
            self.add(*head, Report { problems: problems.clone(), targeted, ..Report::default() });
        }
    }

    pub(crate) fn unsupported(&mut self, objects: &[Object<()>]) {
        for group in crate::head::by_key(objects).into_values() {
            for object in group {
                let head = Head::of(object);
                let mut problems = match &object.spec {
                    Decoded::Valid(()) => Vec::new(),
                    Decoded::Invalid(invalid) => invalid.problems.clone(),
                };
                if problems.is_empty() {
                    let message = format!("`{}` is not supported in this version", object.key.kind);
                    problems.push(head.error(
                        codes::UNSUPPORTED_KIND,
                        &FieldPath::root().field("kind"),
                        message,
                    ));
                }
                self.add(head, Report { problems, ..Report::default() });
            }
        }
    }

    fn keys<'i>(&self, indices: impl Iterator<Item = &'i WorkloadIndex>) -> Vec<WorkloadKey> {
        indices.filter_map(|index| self.facts.workloads.get(*index)).map(|(key, _)| (*key).clone()).collect()
    }

    /// Several objects of one key share one outcome: none of them is accepted.
    fn add(&mut self, head: Head<'_>, report: Report) {
        let told = [&report.problems, &report.unresolved, &report.warnings];
        self.diagnostics.extend(told.into_iter().flatten().cloned());
        let fresh = || ObjectOutcome {
            generation: head.generation,
            accepted: Ok(()),
            resolved_refs: Ok(()),
            targeted: Vec::new(),
            audit: report.audit,
            depends_on: Vec::new(),
        };
        let outcome = self.objects.entry(head.key.clone()).or_insert_with(fresh);
        add_problems(&mut outcome.accepted, report.problems);
        add_problems(&mut outcome.resolved_refs, report.unresolved);
        outcome.audit &= report.audit;
        outcome.generation = outcome.generation.max(head.generation);
        if outcome.targeted.is_empty() {
            outcome.targeted = report.targeted;
        } else {
            outcome.targeted.extend(report.targeted);
            outcome.targeted.sort_unstable();
            outcome.targeted.dedup();
        }
        outcome.depends_on.extend(report.depends_on);
    }

    pub(crate) fn finish(
        mut self,
        routes: BTreeMap<(Namespace, String), Vec<Route>>,
        mesh: MeshSettings,
    ) -> Compiled {
        self.diagnostics.sort_by(|one, other| order(one).cmp(&order(other)));
        self.diagnostics.dedup();
        Compiled {
            workloads: self.workloads,
            routes,
            objects: self.objects,
            diagnostics: self.diagnostics,
            mesh,
        }
    }
}

fn add_problems(found: &mut Result<(), Vec<Diagnostic>>, mut more: Vec<Diagnostic>) {
    match found {
        _ if more.is_empty() => {}
        Ok(()) => *found = Err(more),
        Err(problems) => problems.append(&mut more),
    }
}

/// By place, then code; everything counts, so that the order of the input never does.
fn order(diagnostic: &Diagnostic) -> impl Ord + '_ {
    let Diagnostic { code, severity, object, field, location, message, help } = diagnostic;
    (location, code, object, field, severity, message, help)
}

/// A set of workloads.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn insert(&mut self, index: WorkloadIndex) {
        let word = index / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (index % 64);
        }
    }

    fn iter(&self) -> impl Iterator<Item = WorkloadIndex> + '_ {
        let words = self.0.iter().enumerate();
        words.flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word * 64 + bit)
        })
    }
}
