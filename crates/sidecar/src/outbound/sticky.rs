//! `sessionAffinity: ClientIP`: one client stays with one endpoint for as long as it is there.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;

use bailiwick_policy::WorkloadKey;
use bailiwick_wire::Endpoint;

/// The endpoint for this client among those not tried yet, by rendezvous hashing (Thaler and Ravishankar 1998): all
/// threads agree without talking, and only the clients of an endpoint that goes away move.
pub(crate) fn choose<'a>(
    client: &WorkloadKey,
    endpoints: impl Iterator<Item = &'a Endpoint>,
    tried: &[SocketAddr],
) -> Option<&'a Endpoint> {
    let weight = |endpoint: &&Endpoint| {
        // Keyed alike in every thread; nothing secret depends on it.
        let mut hasher = DefaultHasher::new();
        (client.namespace.as_str(), client.name.as_str(), endpoint.address).hash(&mut hasher);
        hasher.finish()
    };
    endpoints.filter(|endpoint| !tried.contains(&endpoint.address)).max_by_key(weight)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bailiwick_policy::PortProtocol;
    use bailiwick_wire::Transport;

    use super::*;

    #[test]
    fn a_client_stays_until_its_endpoint_goes_and_clients_spread() {
        let endpoint = |last: u8| Endpoint {
            address: SocketAddr::from(([10, 0, 0, last], 80)),
            transport: Transport::AsSent,
            protocol: PortProtocol::Http,
            workload: None,
        };
        let all: Vec<Endpoint> = (1..=5).map(endpoint).collect();
        let client = |number: u8| WorkloadKey {
            namespace: "shop".parse().unwrap(),
            name: format!("web-{number}").parse().unwrap(),
        };
        let mut chosen = BTreeSet::new();
        for number in 0..50 {
            let first = choose(&client(number), all.iter(), &[]).unwrap();
            chosen.insert(first.address);
            assert_eq!(
                choose(&client(number), all.iter().rev(), &[]),
                Some(first),
                "the order does not matter"
            );
            let other = all.iter().find(|other| *other != first).unwrap();
            let without = all.iter().filter(|endpoint| *endpoint != other);
            assert_eq!(choose(&client(number), without, &[]), Some(first), "others may come and go");
            assert_ne!(choose(&client(number), all.iter(), &[first.address]), Some(first));
        }
        assert_eq!(chosen.len(), 5);
    }
}
