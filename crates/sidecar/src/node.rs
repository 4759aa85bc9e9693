//! Who is the node: the kubelet's connections come from one of the node's addresses, or with a bridge from the pod's
//! gateway, which is the node too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The routes of this network namespace.
const ROUTES_V4: &str = "/proc/net/route";
const ROUTES_V6: &str = "/proc/net/ipv6_route";

/// The addresses that the node's own processes connect from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node(Vec<IpAddr>);

impl Node {
    /// The addresses that are told, and the gateways of the pod's default routes. The routes are made before the pod's
    /// first container and stay.
    pub(crate) fn new(told: &[IpAddr]) -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let mut addresses = told.to_vec();
        addresses.extend(gateways_v4(&text(ROUTES_V4)).map(IpAddr::from));
        addresses.extend(gateways_v6(&text(ROUTES_V6)).map(IpAddr::from));
        tracing::info!(?addresses, "hooks are run for the node only");
        Self(addresses)
    }

    /// True if a connection from this address comes from the node. FAIL-CLOSED: what is not known is not the node.
    pub(crate) fn is(&self, source: IpAddr) -> bool {
        self.0.contains(&source.to_canonical())
    }
}

/// Fields: interface, destination, gateway, …, mask; addresses in hexadecimal of the machine's order.
fn gateways_v4(routes: &str) -> impl Iterator<Item = Ipv4Addr> {
    routes.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (destination, gateway, mask) = (fields.get(1)?, fields.get(2)?, fields.get(7)?);
        let gateway = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
        (*destination == "00000000" && *mask == "00000000" && !gateway.is_unspecified()).then_some(gateway)
    })
}

/// Fields: destination, its length, source, its length, next hop, …; addresses in hexadecimal of the network's order.
fn gateways_v6(routes: &str) -> impl Iterator<Item = Ipv6Addr> {
    routes.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (length, hop) = (fields.get(1)?, fields.get(4)?);
        let gateway = Ipv6Addr::from(u128::from_str_radix(hop, 16).ok()?);
        (*length == "00" && !gateway.is_unspecified()).then_some(gateway)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn only_default_routes_with_a_gateway_count() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                      eth0\t00000000\t0101F40A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                      eth0\t0000F40A\t0901F40A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                      eth0\t0001F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(gateways_v4(routes).collect::<Vec<_>>(), [Ipv4Addr::new(10, 244, 1, 1)]);
        assert_eq!(gateways_v4("").count(), 0);
    }

    #[test]
    fn the_same_of_ipv6() {
        let none = "00000000000000000000000000000000";
        let routes = format!(
            "fd000000000000000000000000000000 40 {none} 00 {none} 00000100 00000001 00000000 00000001     eth0\n\
             {none} 00 {none} 00 fd000010024400010000000000000001 00000400 00000001 00000000 00000003     eth0\n\
             {none} 00 {none} 00 {none} ffffffff 00000001 00000000 00200200       lo\n"
        );
        let gateway: Ipv6Addr = "fd00:10:244:1::1".parse().unwrap();
        assert_eq!(gateways_v6(&routes).collect::<Vec<_>>(), [gateway]);
    }

    #[test]
    fn nobody_is_the_node_unless_known() {
        let node = Node(vec!["10.244.1.1".parse().unwrap()]);
        assert!(node.is("10.244.1.1".parse().unwrap()));
        assert!(node.is("::ffff:10.244.1.1".parse().unwrap()));
        assert!(!node.is("10.244.1.2".parse().unwrap()));
    }
}
