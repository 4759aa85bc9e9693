//! Where every known address leads: made of pods, Services, EndpointSlices and nodes, whole, after every change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bailiwick_compile::WorkloadConfig;
use bailiwick_identity::{MtlsMode, Namespace, Port, ServiceAccount, SpiffeId, TrustDomain};
use bailiwick_pod::ports;
use bailiwick_policy::{PortProtocol, WorkloadKey};
use bailiwick_wire::{Endpoint, Transport};

use crate::cluster::facts::{Pod, Service, Slice, SliceEndpoint};
use crate::cluster::stores::{Item, Name, Stores};

/// What each workload of the last compile enforces: the protocols of its ports.
pub(crate) type Configs = BTreeMap<WorkloadKey, Arc<WorkloadConfig>>;

/// Where every known address leads.
#[derive(Debug, Default)]
pub(crate) struct Table {
    addresses: HashMap<IpAddr, Leads>,
    services: HashMap<Name, Arc<ServiceEntry>>,
    zones: HashMap<String, String>,
}

/// Where an address leads.
#[derive(Debug, Clone)]
pub(crate) enum Leads {
    Pod(Arc<PodEntry>),
    /// A Service's virtual address.
    Service(Arc<ServiceEntry>),
    /// An address that nodes lead to a Service, but for ports that it does not have.
    External(Arc<ServiceEntry>),
    /// A node's own address, or that of a pod in its network.
    Host,
}

/// A live pod with addresses of its own.
#[derive(Debug, Clone)]
pub(crate) struct PodEntry {
    pub(crate) workload: WorkloadKey,
    /// Its node.
    pub(crate) node: String,
    transport: Transport,
    /// Ports that do not lead to its sidecar.
    uncaptured: Vec<RangeInclusive<u16>>,
    config: Option<Arc<WorkloadConfig>>,
}

/// A Service with its endpoints.
#[derive(Debug, PartialEq)]
pub(crate) struct ServiceEntry {
    pub(crate) sticky: bool,
    pub(crate) local_only: bool,
    /// By Service port; one without an endpoint has an empty list.
    pub(crate) ports: BTreeMap<u16, Vec<Candidate>>,
}

/// One endpoint that may be chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) address: SocketAddr,
    /// `None` where it is not known yet whether this is a pod.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) slice: SliceEndpoint,
}

impl PartialEq for PodEntry {
    fn eq(&self, other: &Self) -> bool {
        let config = |entry: &Self| entry.config.as_ref().map(Arc::as_ptr);
        self.workload == other.workload
            && self.node == other.node
            && self.transport == other.transport
            && self.uncaptured == other.uncaptured
            && config(self) == config(other)
    }
}

impl PodEntry {
    /// `None` for a pod without a name of its own.
    pub(crate) fn new(name: &Name, pod: &Pod, domain: &TrustDomain, configs: &Configs) -> Option<Self> {
        let workload = workload(name)?;
        let transport = transport(&workload.namespace, pod, domain)?;
        let config = configs.get(&workload).cloned();
        Some(Self { workload, node: pod.node.clone(), transport, uncaptured: pod.uncaptured.clone(), config })
    }

    /// A port of this pod, called at this address.
    pub(crate) fn endpoint(&self, address: SocketAddr) -> Endpoint {
        let port = Port::try_from(address.port()).ok();
        let known = self.config.as_ref().zip(port).and_then(|(config, port)| config.protocols.get(&port));
        Endpoint {
            address,
            transport: if self.takes_plaintext(address.port()) {
                Transport::AsSent
            } else {
                self.transport.clone()
            },
            protocol: known.copied().unwrap_or(PortProtocol::Undeclared),
            workload: Some(self.workload.clone()),
        }
    }
}

impl PodEntry {
    /// True for a port that no sidecar answers, or whose sidecar takes no mesh TLS.
    fn takes_plaintext(&self, port: u16) -> bool {
        let disabled = |config: &Arc<WorkloadConfig>| {
            Port::try_from(port).is_ok_and(|port| config.trust.port(port).mode == MtlsMode::Disabled)
        };
        port == ports::PROBES
            || self.uncaptured.iter().any(|range| range.contains(&port))
            || self.config.as_ref().is_some_and(disabled)
    }
}

/// INVARIANT: whether a pod is meshed, and under which identity, comes from its own live spec: never from labels,
/// annotations or endpoints. FAIL-CLOSED: one whose account makes no identity leads nowhere.
fn transport(namespace: &Namespace, pod: &Pod, domain: &TrustDomain) -> Option<Transport> {
    if !pod.has_sidecar() {
        return Some(Transport::AsSent);
    }
    let account: ServiceAccount = pod.service_account.parse().ok()?;
    SpiffeId::for_service_account(domain, namespace, &account).ok().map(Transport::Mesh)
}

fn workload(name: &Name) -> Option<WorkloadKey> {
    Some(WorkloadKey { namespace: name.namespace.parse().ok()?, name: name.name.parse().ok()? })
}

impl Table {
    /// Everything, as the stores have it. What is as it was in `before` is the same allocation.
    pub(crate) fn new(stores: &Stores, domain: &TrustDomain, configs: &Configs, before: &Self) -> Self {
        let mut table = Self::default();
        for (name, node) in stores.nodes.list() {
            table.zones.insert(name.name, node.content.zone.clone());
        }
        table.pods(&stores.pods.list(), domain, configs, before);
        table.services(stores, before);
        table
    }

    /// Where an address leads; `None` if it is not known.
    pub(crate) fn address(&self, ip: IpAddr) -> Option<&Leads> {
        self.addresses.get(&ip)
    }

    /// A Service by its name.
    pub(crate) fn service(&self, namespace: &Namespace, name: &str) -> Option<&Arc<ServiceEntry>> {
        self.services.get(&Name::new(namespace.as_str(), name))
    }

    /// The zone of a node; empty if it is in none.
    pub(crate) fn zone(&self, node: &str) -> &str {
        self.zones.get(node).map(String::as_str).unwrap_or_default()
    }

    fn pods(
        &mut self,
        pods: &[(Name, Arc<Item<Pod>>)],
        domain: &TrustDomain,
        configs: &Configs,
        before: &Self,
    ) {
        let live = || pods.iter().filter(|(_, item)| item.content.is_live());
        for (_, item) in live() {
            let pod = &item.content;
            let shared = pod.addresses.iter().filter(|_| pod.host_network);
            self.addresses.extend(shared.chain(&pod.host_address).map(|ip| (*ip, Leads::Host)));
        }
        // Of two pods that are said to have one address the one that is not ending has it.
        let mut own: Vec<_> = live().filter(|(_, item)| !item.content.host_network).collect();
        own.sort_by_key(|(_, item)| !item.content.terminating);
        for (name, item) in own {
            let Some(entry) = PodEntry::new(name, &item.content, domain, configs) else {
                tracing::error!(pod = %name, "a pod whose service account makes no identity leads nowhere");
                continue;
            };
            let entry = Arc::new(entry);
            for ip in &item.content.addresses {
                let known = match before.addresses.get(ip) {
                    Some(Leads::Pod(known)) if **known == *entry => Arc::clone(known),
                    Some(Leads::Pod(_) | Leads::Service(_) | Leads::External(_) | Leads::Host) | None => {
                        Arc::clone(&entry)
                    }
                };
                self.addresses.insert(*ip, Leads::Pod(known));
            }
        }
    }

    fn services(&mut self, stores: &Stores, before: &Self) {
        let mut slices: HashMap<Name, Vec<Arc<Item<Slice>>>> = HashMap::new();
        for (name, item) in stores.slices.list() {
            if item.content.has_addresses && !item.content.service.is_empty() {
                let service = Name::new(&name.namespace, &item.content.service);
                slices.entry(service).or_default().push(item);
            }
        }
        for (name, item) in stores.services.list() {
            let service = &item.content;
            let slices = slices.get(&name).map(Vec::as_slice).unwrap_or_default();
            let entry = Arc::new(self.entry(service, slices));
            let entry =
                before.services.get(&name).filter(|known| ***known == *entry).cloned().unwrap_or(entry);
            for ip in &service.external_ips {
                // Whoever may write a Service may name any address: one of a pod or a node stays theirs.
                self.addresses.entry(*ip).or_insert_with(|| Leads::External(Arc::clone(&entry)));
            }
            for ip in &service.cluster_ips {
                self.addresses.insert(*ip, Leads::Service(Arc::clone(&entry)));
            }
            self.services.insert(name, entry);
        }
    }

    fn entry(&self, service: &Service, slices: &[Arc<Item<Slice>>]) -> ServiceEntry {
        let mut ports = BTreeMap::new();
        for (number, name) in &service.ports {
            let mut found = Vec::new();
            let mut seen = HashSet::new();
            for slice in slices {
                let Some((target, _)) = slice.content.ports.iter().find(|(_, known)| known == name) else {
                    continue;
                };
                for endpoint in &slice.content.endpoints {
                    // Each address of an endpoint is the same one; the first is what kube-proxy uses.
                    let Some(ip) = endpoint.addresses.first() else { continue };
                    let address = SocketAddr::new(*ip, *target);
                    if seen.insert(address) {
                        found.push(self.candidate(address, endpoint));
                    }
                }
            }
            ports.insert(*number, found);
        }
        ServiceEntry { sticky: service.sticky, local_only: service.local_only, ports }
    }

    fn candidate(&self, address: SocketAddr, slice: &SliceEndpoint) -> Candidate {
        let endpoint = match self.addresses.get(&address.ip()) {
            Some(Leads::Pod(pod)) => Some(pod.endpoint(address)),
            Some(Leads::Host) => Some(as_sent(address)),
            Some(Leads::Service(_) | Leads::External(_)) | None => None,
        };
        Candidate { address, endpoint, slice: slice.clone() }
    }
}

/// Something that is no pod of its own network.
pub(crate) const fn as_sent(address: SocketAddr) -> Endpoint {
    Endpoint { address, transport: Transport::AsSent, protocol: PortProtocol::Undeclared, workload: None }
}
