//! The compile itself: every part in its order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_identity::SpiffeId;
use bailiwick_policy::{BoundObject, PortSelection, SnapshotParts, WorkloadKey};

use crate::authentication::{self, Believer, Believers};
use crate::facts::{Facts, namespace_labels};
use crate::head::sentence;
use crate::link::{self, Memo};
use crate::lower::Draft;
use crate::mesh::{self, Mesh};
use crate::outcomes::Outcomes;
use crate::protocols::{self, Protocols};
use crate::roles::Roles;
use crate::seen::Seen;
use crate::selection::{Namespaces, View, views};
use crate::{
    AuthenticationSpec, Compiled, Diagnostic, FieldPath, Severity, Workload, WorkloadConfig, World, codes,
    routes,
};

/// Compiles the whole world.
#[must_use]
pub fn compile(world: &World) -> Compiled {
    Compiler::default().compile(world)
}

/// Compiles world after world, and shares what did not change between them: an object or a workload whose content is
/// the same is the same allocation again, so that who reads the result can tell by the pointer.
///
/// INVARIANT: the result equals that of [`compile`]. Everything is compiled anew each time; there is no index that
/// could go stale.
#[derive(Debug, Default)]
pub struct Compiler {
    objects: Memo,
    workloads: BTreeMap<WorkloadKey, Arc<WorkloadConfig>>,
}

impl Compiler {
    /// Compiles the whole world.
    #[must_use]
    pub fn compile(&mut self, world: &World) -> Compiled {
        let facts = Facts::new(world);
        let mesh = mesh::settle(world);
        let roles = Roles::resolve(world);
        let mut namespaces = Namespaces::new(&facts);
        let drafts = drafts(world, &roles, &mut namespaces);
        let authentications = views(&mut namespaces, &world.authentications);
        let memo = (&mut namespaces, &mut self.objects);
        let mut linked = link::link(&facts, &drafts, &roles, &world.unreadable, memo);
        let protocols = protocols::settle(&facts);
        let identities = identities(&facts, &mesh);
        let whole = Whole { facts: &facts, mesh: &mesh, protocols: &protocols };
        let believers = believers(&authentications);
        let mut believed = believed(&facts, &authentications, &believers);

        let mut outcomes = Outcomes::new(&facts);
        for (index, (key, workload)) in facts.workloads.iter().enumerate() {
            let Some(identity) = identities.get(index).cloned().flatten() else {
                outcomes.tell(unnamed(key, workload));
                continue;
            };
            let objects = linked.workloads.get_mut(index).map(std::mem::take).unwrap_or_default();
            let believers = believed.get_mut(index).map(std::mem::take).unwrap_or_default();
            let config = whole.workload((key, workload, index), identity, objects, &believers);
            outcomes.tell_all(authentication::nobody_trusted(key, workload, &config.trust));
            outcomes.workload(key, self.share(key, config));
        }
        self.workloads = outcomes.workloads().clone();
        outcomes.tell_all(world.unreadable.iter().cloned());
        outcomes.tell_all(namespace_labels(world));
        outcomes.tell_all(linked.problems);
        outcomes.policies(&drafts, &roles);
        outcomes.roles(&drafts, &roles);
        outcomes.authentications(authentications);
        outcomes.trust_domains(&mesh);
        outcomes.unsupported(&world.unsupported);
        let routes = routes::routes(&facts, &protocols, &identities);
        outcomes.tell_all(protocols.warnings);
        outcomes.finish(routes, mesh.settings)
    }

    fn share(&self, key: &WorkloadKey, config: WorkloadConfig) -> Arc<WorkloadConfig> {
        match self.workloads.get(key) {
            Some(known) if **known == config => Arc::clone(known),
            Some(_) | None => Arc::new(config),
        }
    }
}

/// Every policy object, sorted by origin.
fn drafts<'a>(world: &'a World, roles: &Roles<'_>, namespaces: &mut Namespaces<'_, 'a>) -> Vec<Draft<'a>> {
    let mut seen = Seen::new(roles.entries.len());
    let mut drafts = Vec::with_capacity(world.cluster_policies.len() + world.policies.len());
    for view in views(namespaces, &world.cluster_policies) {
        drafts.push(Draft::new(view, |spec| &spec.rules, roles, (&mut seen, namespaces)));
    }
    for view in views(namespaces, &world.policies) {
        drafts.push(Draft::new(view, |spec| &spec.rules, roles, (&mut seen, namespaces)));
    }
    drafts
}

/// The identity of each workload; none if its names do not make one.
fn identities(facts: &Facts<'_>, mesh: &Mesh<'_>) -> Vec<Option<SpiffeId>> {
    let own = &mesh.settings.trust_domain;
    let name = |key: &WorkloadKey, workload: &Workload| {
        SpiffeId::for_service_account(own, &key.namespace, &workload.service_account).ok()
    };
    facts.workloads.iter().map(|(key, workload)| name(key, workload)).collect()
}

fn unnamed(key: &WorkloadKey, workload: &Workload) -> Diagnostic {
    Diagnostic {
        code: codes::IDENTITY,
        severity: Severity::Error,
        object: None,
        field: FieldPath::root(),
        location: workload.location.clone(),
        message: format!(
            "workload `{key}` cannot be named: its service account does not fit into a SPIFFE ID"
        ),
        help: Some("use a shorter service account name".to_owned()),
    }
}

fn believers<'a>(authentications: &[View<'a, AuthenticationSpec>]) -> Vec<Believer<'a>> {
    let believer = |view: &View<'a, AuthenticationSpec>| Believer {
        object: format!("{}/{}", view.head.key.namespace, view.head.key.name),
        spec: view.spec.as_ref().map(|spec| *spec).map_err(|problems| sentence(problems)),
    };
    authentications.iter().map(believer).collect()
}

/// The Authentications of each workload.
fn believed<'b, 'a>(
    facts: &Facts<'_>,
    authentications: &'b [View<'a, AuthenticationSpec>],
    believers: &'b [Believer<'a>],
) -> Vec<Believers<'b, 'a>> {
    let mut found: Vec<Believers<'b, 'a>> = facts.workloads.iter().map(|_| Vec::new()).collect();
    for (view, believer) in authentications.iter().zip(believers) {
        for (index, ports) in &view.selected.workloads {
            let ports: &PortSelection = ports;
            if let Some(list) = found.get_mut(*index) {
                list.push((believer, ports));
            }
        }
    }
    found
}

/// What every workload's configuration is made of.
struct Whole<'w, 'a> {
    facts: &'w Facts<'a>,
    mesh: &'w Mesh<'a>,
    protocols: &'w Protocols,
}

impl Whole<'_, '_> {
    fn workload(
        &self,
        (key, workload, index): (&WorkloadKey, &Workload, usize),
        identity: SpiffeId,
        objects: Vec<BoundObject>,
        believers: &Believers<'_, '_>,
    ) -> WorkloadConfig {
        let namespace = self.facts.namespaces.get(&key.namespace);
        WorkloadConfig {
            snapshot: SnapshotParts {
                workload: key.clone(),
                trust_domain: self.mesh.settings.trust_domain.clone(),
                authorization_audit: namespace.is_some_and(|namespace| namespace.authorization_audit),
                objects,
            },
            trust: authentication::trust(self.mesh, namespace, believers),
            protocols: self.protocols.by_workload.get(&index).cloned().unwrap_or_default(),
            identity,
            service_account: workload.service_account.clone(),
            kind: workload.kind,
            enrolled: namespace.is_some_and(|namespace| namespace.enrolled),
        }
    }
}

#[cfg(test)]
mod tests;
