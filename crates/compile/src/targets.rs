//! Which workloads, and which of their ports, an object selects.

use std::collections::BTreeMap;

use bailiwick_identity::{Namespace, Port};
use bailiwick_policy::PortSelection;

use crate::did_you_mean::did_you_mean;
use crate::facts::{Facts, NamespaceIndex, ServiceIndex, WorkloadIndex};
use crate::head::{Head, spec_field, with_help};
use crate::{Diagnostic, Service, Target, TargetKind, TargetPort, Workload, codes};

/// What an object selects, and what its targets lead to.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// Every selected workload with its selected ports, which are never none.
    pub(crate) workloads: BTreeMap<WorkloadIndex, PortSelection>,
    /// Targets that name what is not there.
    pub(crate) unresolved: Vec<Diagnostic>,
    /// Targets that match nothing.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Selects in some namespaces; without targets everything there.
pub(crate) fn select(
    facts: &Facts<'_>,
    head: &Head<'_>,
    namespaces: &[&Namespace],
    targets: Option<&[Target]>,
) -> Selected {
    let mut selected = Selected::default();
    let known: Vec<&NamespaceIndex<'_>> =
        namespaces.iter().filter_map(|name| facts.namespaces.get(*name)).collect();
    let Some(targets) = targets else {
        for index in known.iter().flat_map(|namespace| &namespace.workloads) {
            selected.workloads.insert(*index, PortSelection::All);
        }
        return selected;
    };
    for (position, target) in targets.iter().enumerate() {
        let place = Place { facts, head, position };
        let told = selected.unresolved.len() + selected.warnings.len();
        let mut matched = false;
        for namespace in &known {
            matched |= place.target(namespace, target, &mut selected);
        }
        if !matched && told == selected.unresolved.len() + selected.warnings.len() {
            selected.warnings.push(place.matches_nothing(&known, target));
        }
    }
    selected
}

/// One target of an object.
struct Place<'a> {
    facts: &'a Facts<'a>,
    head: &'a Head<'a>,
    position: usize,
}

impl Place<'_> {
    /// True if a workload fits.
    fn target(&self, namespace: &NamespaceIndex<'_>, target: &Target, selected: &mut Selected) -> bool {
        let ports = || target.ports.as_deref().map_or(PortSelection::All, only);
        match &target.kind {
            TargetKind::Pod(selector) => {
                let found = self.facts.select(namespace, selector);
                found.iter().for_each(|index| add(selected, *index, ports()));
                !found.is_empty()
            }
            TargetKind::ServiceAccount(account) => {
                let found = namespace.of_account(account.as_str());
                found.iter().for_each(|index| add(selected, *index, ports()));
                !found.is_empty()
            }
            TargetKind::Service(name) => self.service(namespace, name, target.ports.as_deref(), selected),
        }
    }

    fn service(
        &self,
        namespace: &NamespaceIndex<'_>,
        name: &str,
        ports: Option<&[Port]>,
        selected: &mut Selected,
    ) -> bool {
        let field = spec_field("targets").index(self.position).field("name");
        let Some(found) = namespace.services.get(name) else {
            let message =
                format!("Service `{name}` does not exist in the namespace, so the target selects nothing");
            let near = did_you_mean(namespace.services.keys().copied(), name);
            let help = near.map_or_else(
                || "correct the name, or select by `kind: Pod`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            selected
                .unresolved
                .push(with_help(self.head.error(codes::SERVICE_MISSING, &field, message), help));
            return false;
        };
        if found.service.selector.as_ref().is_none_or(BTreeMap::is_empty) {
            let message = format!("Service `{name}` has no selector, so the target selects nothing");
            let diagnostic = self.head.error(codes::SERVICE_WITHOUT_SELECTOR, &field, message);
            selected
                .unresolved
                .push(with_help(diagnostic, "select by `kind: Pod` or `kind: ServiceAccount`"));
            return false;
        }
        match ports {
            None => found.workloads.iter().for_each(|index| add(selected, *index, PortSelection::All)),
            Some(ports) => self.service_ports(name, found, ports, selected),
        }
        !found.workloads.is_empty()
    }

    fn service_ports(&self, name: &str, found: &ServiceIndex<'_>, ports: &[Port], selected: &mut Selected) {
        for (index, port) in ports.iter().enumerate() {
            let field = spec_field("targets").index(self.position).field("ports").index(index);
            let Some(target) = target_port(found.service, *port) else {
                let message = format!("Service `{name}` has no TCP port {port}");
                let known: Vec<String> =
                    found.service.ports.iter().map(|port| port.port.to_string()).collect();
                let help = format!(
                    "its ports are: {}",
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                );
                let diagnostic = self.head.error(codes::SERVICE_PORT_MISSING, &field, message);
                selected.unresolved.push(with_help(diagnostic, help));
                continue;
            };
            let mut led = found.workloads.is_empty();
            for workload in &found.workloads {
                let port =
                    self.facts.workloads.get(*workload).and_then(|(_, facts)| container_port(facts, target));
                if let Some(port) = port {
                    led = true;
                    add(selected, *workload, PortSelection::Only(vec![port]));
                }
            }
            if let (false, TargetPort::Name(target)) = (led, target) {
                let message = format!(
                    "port {port} of Service `{name}` leads to `{target}`, which no workload behind it declares"
                );
                selected.warnings.push(self.head.warning(codes::SERVICE_PORT_LEADS_NOWHERE, &field, message));
            }
        }
    }

    fn matches_nothing(&self, namespaces: &[&NamespaceIndex<'_>], target: &Target) -> Diagnostic {
        let path = spec_field("targets").index(self.position);
        let (path, message, help) = match &target.kind {
            TargetKind::Pod(_) => (path.field("selector"), "no workload has these labels".to_owned(), None),
            TargetKind::Service(name) => (
                path.field("name"),
                format!("no workload has the labels that Service `{name}` selects"),
                None,
            ),
            TargetKind::ServiceAccount(account) => {
                let accounts = namespaces.iter().flat_map(|namespace| namespace.accounts());
                let help =
                    did_you_mean(accounts, account.as_str()).map(|near| format!("did you mean `{near}`?"));
                (path.field("name"), format!("no workload runs as service account `{account}`"), help)
            }
        };
        let mut diagnostic = self.head.warning(codes::TARGET_MATCHES_NOTHING, &path, message);
        diagnostic.help = help;
        diagnostic
    }
}

/// What a Service's port leads to.
fn target_port(service: &Service, port: Port) -> Option<&TargetPort> {
    service.ports.iter().find(|found| found.port == port).map(|found| &found.target)
}

/// The container port of a workload; of several with one name the first, as the API server's endpoints have it.
pub(crate) fn container_port(workload: &Workload, target: &TargetPort) -> Option<Port> {
    match target {
        TargetPort::Number(port) => Some(*port),
        TargetPort::Name(name) => {
            workload.ports.iter().find(|port| port.name.as_ref() == Some(name)).map(|port| port.port)
        }
    }
}

fn only(ports: &[Port]) -> PortSelection {
    let mut ports = ports.to_vec();
    ports.sort_unstable();
    ports.dedup();
    PortSelection::Only(ports)
}

/// Targets are alternatives: what they select adds up.
fn add(selected: &mut Selected, index: WorkloadIndex, more: PortSelection) {
    match (selected.workloads.get_mut(&index), more) {
        (None, more) => {
            selected.workloads.insert(index, more);
        }
        (Some(PortSelection::All), _) => {}
        (Some(found), PortSelection::All) => *found = PortSelection::All,
        (Some(PortSelection::Only(found)), PortSelection::Only(more)) => {
            found.extend(more);
            found.sort_unstable();
            found.dedup();
        }
    }
}

#[cfg(test)]
mod tests;
