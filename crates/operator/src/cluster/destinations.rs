//! Where addresses lead in a cluster.
//!
//! ```text
//!  stores + protocols of the compile --after each change--> Table --known--> answer
//!                                                             \--a miss--> Live (asks the API server) --> answer
//! ```
//!
//! FAIL-CLOSED: "outside" is answered only for an address that the API server has just said to be nobody's; what is
//! neither known nor said is not answered, and the sidecar refuses the call.

mod choose;
mod live;
mod table;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bailiwick_identity::TrustDomain;
use bailiwick_wire::{Destination, Endpoint, Endpoints, Query, Transport};
use tokio::sync::watch;

use self::choose::{Place, choose};
use self::live::{Live, Verdict};
pub(crate) use self::table::Configs;
use self::table::{Candidate, Leads, PodEntry, ServiceEntry, Table, as_sent};
use super::context::ClusterContext;
use super::stores::{Name, Stores};
use crate::destinations::{Answer, Basis, Pending};

/// What answers in a cluster.
#[derive(Debug)]
pub(crate) struct ClusterDirectory {
    table: watch::Sender<Arc<Table>>,
    live: Arc<Live>,
    stores: Arc<Stores>,
    domain: TrustDomain,
}

impl ClusterDirectory {
    pub(crate) fn new(context: &ClusterContext) -> Self {
        Self {
            table: watch::Sender::default(),
            live: Arc::new(Live::new(context.client.clone(), Arc::clone(&context.stores))),
            stores: Arc::clone(&context.stores),
            domain: context.trust_domain.clone(),
        }
    }

    /// Takes up what the stores hold now. `configs` say how the bytes of each pod's ports are read.
    pub(crate) fn refresh(&self, configs: &Configs) {
        let before = Arc::clone(&self.table.borrow());
        let table = Table::new(&self.stores, &self.domain, configs, &before);
        self.table.send_replace(Arc::new(table));
    }

    /// For the questions of one sidecar.
    pub(crate) fn asker(self: &Arc<Self>, caller: IpAddr) -> Asker {
        Asker { table: self.table.subscribe(), directory: Arc::clone(self), caller: caller.to_canonical() }
    }
}

/// The questions of one sidecar.
#[derive(Debug)]
pub(crate) struct Asker {
    directory: Arc<ClusterDirectory>,
    table: watch::Receiver<Arc<Table>>,
    caller: IpAddr,
}

impl Asker {
    /// Waits for a newer table; false once there will be none.
    pub(crate) async fn changed(&mut self) -> bool {
        self.table.changed().await.is_ok()
    }

    /// Where a question leads. `previous` is what was answered last.
    pub(crate) fn answer(&self, query: &Query, previous: Option<&Destination>) -> Answer {
        let table = Arc::clone(&self.table.borrow());
        let place = self.place(&table);
        match query {
            Query::Service { namespace, name, port } => match table.service(namespace, name) {
                Some(service) => {
                    let number = port.number();
                    let of = |v4: bool| self.service(service, number, (v4, &place), previous);
                    // A Service of both families is the same one twice.
                    let first = of(true);
                    if first.leads_somewhere() { first } else { of(false) }
                }
                None => Answer::of(Destination::Unknown),
            },
            Query::Address { ip, port } => {
                let address = SocketAddr::new(ip.to_canonical(), port.number());
                self.address(&table, address, &place, previous)
            }
        }
    }

    /// True if what an answer was made of is as it was.
    pub(crate) fn is_still(&self, query: &Query, basis: &Basis) -> bool {
        let table = self.table.borrow();
        match query {
            Query::Service { namespace, name, .. } => {
                table.service(namespace, name).is_some_and(|service| basis.is(service))
            }
            Query::Address { ip, .. } => match table.address(ip.to_canonical()) {
                Some(Leads::Pod(pod)) => basis.is(pod),
                Some(Leads::Service(service) | Leads::External(service)) => basis.is(service),
                Some(Leads::Host) | None => false,
            },
        }
    }

    /// Where the caller is, as far as it is known.
    fn place(&self, table: &Table) -> Place {
        match table.address(self.caller) {
            Some(Leads::Pod(pod)) => Place { node: pod.node.clone(), zone: table.zone(&pod.node).to_owned() },
            Some(Leads::Service(_) | Leads::External(_) | Leads::Host) | None => Place::default(),
        }
    }

    fn address(
        &self,
        table: &Table,
        address: SocketAddr,
        place: &Place,
        previous: Option<&Destination>,
    ) -> Answer {
        let v4 = address.is_ipv4();
        match table.address(address.ip()) {
            Some(Leads::Pod(pod)) => {
                let endpoint = pod.endpoint(address);
                Answer::based_on(one(endpoint), Basis::of(Arc::clone(pod)))
            }
            Some(Leads::Service(service)) => self.service(service, address.port(), (v4, place), previous),
            Some(Leads::External(service)) if service.ports.contains_key(&address.port()) => {
                self.service(service, address.port(), (v4, place), previous)
            }
            Some(Leads::External(_) | Leads::Host) => Answer::of(Destination::Outside),
            None if previous == Some(&Destination::Outside) => {
                // It was nobody's, and would be in the table if it had become somebody's.
                Answer::of(Destination::Outside)
            }
            None => match self.directory.live.ask(address.ip()) {
                Ok(verdict) => self.unknown_to_the_table(&verdict, address),
                Err(pending) => Answer::none(pending.into_iter().collect()),
            },
        }
    }

    fn unknown_to_the_table(&self, verdict: &Verdict, address: SocketAddr) -> Answer {
        match verdict {
            Verdict::Pod(name, pod) => match self.entry(name, pod) {
                Some(entry) => Answer::of(one(entry.endpoint(address))),
                None => Answer::none(Vec::new()),
            },
            // Its endpoints are not known yet. The table that has them brings the answer.
            Verdict::Service => Answer::none(vec![Live::later()]),
            Verdict::Host | Verdict::Nobody => Answer::of(Destination::Outside),
        }
    }

    fn entry(&self, name: &Name, pod: &super::facts::Pod) -> Option<PodEntry> {
        PodEntry::new(name, pod, &self.directory.domain, &Configs::new())
    }

    /// A Service's port in one family. A port that the Service does not have leads nowhere.
    fn service(
        &self,
        service: &Arc<ServiceEntry>,
        port: u16,
        (v4, place): (bool, &Place),
        previous: Option<&Destination>,
    ) -> Answer {
        let candidates = service.ports.get(&port).map(Vec::as_slice).unwrap_or_default();
        let chosen = choose(service, candidates, |ip| ip.is_ipv4() == v4, place);
        let (mut ready, mut pending, mut unclear) = (Vec::new(), Vec::new(), false);
        for candidate in chosen {
            match self.candidate(candidate, previous) {
                Ok(endpoint) => ready.push(endpoint),
                Err(wait) => {
                    unclear = true;
                    pending.extend(wait);
                }
            }
        }
        let destination = Destination::Endpoints(Endpoints { ready, sticky: service.sticky });
        if !unclear {
            return Answer::based_on(destination, Basis::of(Arc::clone(service)));
        }
        // What is known may be called meanwhile; an empty list would say that there is nothing.
        let mut answer = Answer::of(destination);
        if !answer.leads_somewhere() {
            answer.destination = None;
        }
        answer.pending = pending;
        answer
    }

    /// An endpoint of a slice: whoever writes slices names any address, so what it is does not come from there.
    fn candidate(
        &self,
        candidate: &Candidate,
        previous: Option<&Destination>,
    ) -> Result<Endpoint, Option<Pending>> {
        if let Some(endpoint) = &candidate.endpoint {
            return Ok(endpoint.clone());
        }
        let address = candidate.address;
        let known = |endpoint: &&Endpoint| {
            endpoint.address == address
                && endpoint.transport == Transport::AsSent
                && endpoint.workload.is_none()
        };
        if let Some(Destination::Endpoints(endpoints)) = previous
            && let Some(known) = endpoints.ready.iter().find(known)
        {
            return Ok(known.clone());
        }
        match self.directory.live.ask(address.ip())? {
            Verdict::Pod(name, pod) => {
                self.entry(&name, &pod).map(|entry| entry.endpoint(address)).ok_or(None)
            }
            Verdict::Service => Err(Some(Live::later())),
            Verdict::Host | Verdict::Nobody => Ok(as_sent(address)),
        }
    }
}

fn one(endpoint: Endpoint) -> Destination {
    Destination::Endpoints(vec![endpoint].into())
}
