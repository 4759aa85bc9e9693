//! Where each Service leads: what answers about destinations are made of.

use std::collections::BTreeMap;

use bailiwick_identity::{Namespace, SpiffeId};
use bailiwick_policy::PortProtocol;

use crate::facts::{Facts, ServiceIndex};
use crate::protocols::Protocols;
use crate::targets::container_port;
use crate::{Backend, Route, ServicePort};

/// The routes of every Service, by namespace and name. `identities` are by workload.
pub(crate) fn routes(
    facts: &Facts<'_>,
    protocols: &Protocols,
    identities: &[Option<SpiffeId>],
) -> BTreeMap<(Namespace, String), Vec<Route>> {
    let mut found = BTreeMap::new();
    for (namespace, index) in &facts.namespaces {
        for (name, service) in &index.services {
            let route = |port: &ServicePort| Route {
                port: port.port,
                backends: backends(facts, protocols, identities, (service, port)),
            };
            let mut routes: Vec<Route> = service.service.ports.iter().map(route).collect();
            routes.sort_by_key(|route| route.port);
            found.insert(((*namespace).clone(), (*name).to_owned()), routes);
        }
    }
    found
}

fn backends(
    facts: &Facts<'_>,
    protocols: &Protocols,
    identities: &[Option<SpiffeId>],
    (service, port): (&ServiceIndex<'_>, &ServicePort),
) -> Vec<Backend> {
    let backend = |index: &usize| {
        let (key, workload) = facts.workloads.get(*index)?;
        let container = container_port(workload, &port.target)?;
        let protocol = protocols.by_workload.get(index).and_then(|ports| ports.get(&container));
        Some(Backend {
            workload: (*key).clone(),
            port: container,
            protocol: protocol.copied().unwrap_or(PortProtocol::Undeclared),
            identity: identities.get(*index)?.clone()?,
        })
    };
    service.workloads.iter().filter_map(backend).collect()
}
