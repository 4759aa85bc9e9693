//! The one small extra file for running on one machine: where each workload's sidecar listens.
//!
//! ```yaml
//! workloads:
//! - workload: shop/orders
//!   ports:
//!   - {port: 8080, address: "127.0.0.1:15001"}     # the sidecar listens here for container port 8080
//! ```
//!
//! A port may be listed more than once: each address is one endpoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use bailiwick_identity::Port;
use bailiwick_policy::WorkloadKey;
use bailiwick_runtime::config::{Collector, ConfigErrors, LoadError, parse, read_file};
use serde::Deserialize;

/// Where sidecars listen, by workload and container port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Addresses(BTreeMap<WorkloadKey, BTreeMap<Port, Vec<SocketAddr>>>);

/// Why the file is not used. The last good one stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressesError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Content(#[from] ConfigErrors),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawAddresses {
    workloads: Vec<RawWorkload>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawWorkload {
    workload: String,
    ports: Vec<RawPort>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawPort {
    port: String,
    address: String,
}

#[derive(Debug, thiserror::Error)]
enum NameMistake {
    #[error("`{0}` is not a workload: write its namespace and name, such as `shop/orders`")]
    Form(String),
    #[error(transparent)]
    Name(#[from] bailiwick_identity::NameError),
}

impl Addresses {
    /// Reads the file, strictly.
    pub(crate) fn read(path: &Path) -> Result<Self, AddressesError> {
        let raw: RawAddresses = read_file(path)?;
        Ok(Self::try_from(raw)?)
    }

    /// Where a container port of a workload is reached; empty if the file does not say.
    pub(crate) fn of(&self, workload: &WorkloadKey, port: Port) -> &[SocketAddr] {
        self.0.get(workload).and_then(|ports| ports.get(&port)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every address with its workload and container port.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&WorkloadKey, Port, SocketAddr)> {
        self.0.iter().flat_map(|(workload, ports)| {
            ports.iter().flat_map(move |(port, addresses)| {
                addresses.iter().map(move |address| (workload, *port, *address))
            })
        })
    }
}

impl TryFrom<RawAddresses> for Addresses {
    type Error = ConfigErrors;

    fn try_from(raw: RawAddresses) -> Result<Self, ConfigErrors> {
        let mut collector = Collector::new();
        let mut known: BTreeMap<SocketAddr, String> = BTreeMap::new();
        let mut addresses = Self::default();
        for (index, entry) in raw.workloads.into_iter().enumerate() {
            let at = format!("workloads[{index}]");
            let key = collector.value(&format!("{at}.workload"), workload(&entry.workload));
            let mut ports: BTreeMap<Port, Vec<SocketAddr>> = BTreeMap::new();
            for (number, raw) in entry.ports.iter().enumerate() {
                let at = format!("{at}.ports[{number}]");
                let port: Option<Port> = collector.value(&format!("{at}.port"), raw.port.parse());
                let at = format!("{at}.address");
                let Some(address) = collector.value(&at, parse::socket_address(&raw.address)) else {
                    continue;
                };
                if address.port() == 0 || address.ip().is_unspecified() {
                    collector.mistake(&at, format_args!("`{address}` cannot be connected to"));
                }
                // Two meanings of one address would send one workload's calls to another.
                if let Some(other) = known.insert(address, format!("{} port {}", entry.workload, raw.port)) {
                    collector.mistake(&at, format_args!("`{address}` is given to {other} as well"));
                }
                if let Some(port) = port {
                    ports.entry(port).or_default().push(address);
                }
            }
            if let Some(key) = key
                && addresses.0.insert(key, ports).is_some()
            {
                collector
                    .mistake(&format!("{at}.workload"), format_args!("`{}` is listed twice", entry.workload));
            }
        }
        collector.finish(|| Some(addresses))
    }
}

fn workload(text: &str) -> Result<WorkloadKey, NameMistake> {
    let (namespace, name) = text.split_once('/').ok_or_else(|| NameMistake::Form(text.to_owned()))?;
    Ok(WorkloadKey { namespace: namespace.parse()?, name: name.parse()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Addresses, AddressesError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("addresses.yaml");
        std::fs::write(&file, text).unwrap();
        Addresses::read(&file)
    }

    #[test]
    fn ports_lead_to_every_address_that_is_listed() {
        let text = "workloads:\n- workload: shop/orders\n  ports:\n  - {port: 8080, address: \"127.0.0.1:15001\"}\n  - {port: 8080, address: 127.0.0.1:15002}\n  - {port: 9090, address: \"[::1]:15003\"}\n";
        let addresses = read(text).unwrap();
        let orders = workload("shop/orders").unwrap();
        let ports = |port: &str| addresses.of(&orders, port.parse().unwrap()).len();
        assert_eq!((ports("8080"), ports("9090"), ports("1")), (2, 1, 0));
        assert_eq!(addresses.iter().count(), 3);
    }

    #[test]
    fn every_mistake_is_told_with_its_field() {
        let text = "workloads:\n- workload: orders\n  ports: [{port: 0, address: localhost:1}]\n- workload: shop/a\n  ports: [{port: 1, address: \"127.0.0.1:0\"}, {port: 1, address: \"127.0.0.1:7\"}]\n- workload: shop/a\n  ports: [{port: 2, address: \"127.0.0.1:7\"}]\n";
        let error = read(text).unwrap_err().to_string();
        for part in [
            "workloads[0].workload",
            "workloads[0].ports[0].port",
            "workloads[0].ports[0].address",
            "workloads[1].ports[0].address",
            "workloads[2].ports[0].address",
            "workloads[2].workload",
        ] {
            assert!(error.contains(part), "`{part}` is missing in: {error}");
        }
        assert!(read("workload: []\n").is_err());
        assert!(read("workloads: [{workload: a/b, port: []}]\n").is_err());
        assert!(read("").is_err());
    }
}
