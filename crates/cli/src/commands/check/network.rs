//! NetworkPolicies that would keep sidecars from the operator, or the operator from the API server.
//!
//! Only `networking.k8s.io` is looked at: what a network plugin adds by kinds of its own is not seen here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bailiwick_pod::ports;
use bailiwick_policy::IpBlock;
use serde_json::Value;

use super::fact::{Fact, Hint, count};
use super::observe::Observed;
use crate::cluster::{is_over, items, labels, matches, path, text};

/// What a connection leads to, or comes from.
struct End<'a> {
    namespace: &'a str,
    namespace_labels: BTreeMap<&'a str, &'a str>,
    labels: BTreeMap<&'a str, &'a str>,
    addresses: Vec<IpAddr>,
}

/// A port that must be reached.
struct Need {
    port: u16,
    protocol: &'static str,
    name: &'static str,
    what: &'static str,
}

const IDENTITY: Need =
    Need { port: ports::OPERATOR_IDENTITY, protocol: "TCP", name: "identity", what: "TCP 15010" };
const CONFIGURATION: Need =
    Need { port: ports::OPERATOR_CONFIGURATION, protocol: "TCP", name: "configuration", what: "TCP 15012" };
const REPLICAS: Need = Need {
    port: ports::OPERATOR_REPLICAS,
    protocol: "TCP",
    name: "replicas",
    what: "TCP 15013 between replicas",
};
const WEBHOOK: Need = Need {
    port: ports::OPERATOR_WEBHOOK,
    protocol: "TCP",
    name: "webhook",
    what: "TCP 9443 from the API server",
};
const DNS: Need = Need { port: 53, protocol: "UDP", name: "dns", what: "DNS" };

/// Whether sidecars reach the operator, and the operator is reached.
pub(super) fn facts(observed: &Observed) -> Vec<Fact> {
    let (policies, pods) = match (&observed.network_policies, &observed.pods, &observed.namespaces) {
        (Ok(policies), Ok(pods), Ok(_)) => (policies, pods),
        (Err(why), _, _) | (_, Err(why), _) | (_, _, Err(why)) => {
            return vec![Fact::unseen("the NetworkPolicies", why)];
        }
    };
    let mut facts = egress(observed, policies, pods);
    facts.extend(ingress(observed, policies, pods));
    if facts.is_empty() {
        let looked = count(policies.len(), "NetworkPolicy").replace("Policys", "Policies");
        facts.push(Fact::ok(format!(
            "no NetworkPolicy keeps sidecars from the operator ({looked} looked at)"
        )));
    }
    facts
}

/// From enrolled namespaces to the operator and to DNS.
fn egress(observed: &Observed, policies: &[Value], pods: &[Value]) -> Vec<Fact> {
    let operator = operator(observed, pods);
    let dns = End {
        namespace: "kube-system",
        namespace_labels: observed.namespace_labels("kube-system"),
        labels: BTreeMap::from([("k8s-app", "kube-dns")]),
        addresses: addresses(pods.iter().filter(|pod| labels(pod).get("k8s-app") == Some(&"kube-dns"))),
    };
    let mut facts = Vec::new();
    for namespace in observed.enrolled() {
        let namespace = text(namespace, "/metadata/name");
        let ours = of(policies, namespace, "Egress");
        let mut blocked: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for labels in label_sets(pods, namespace) {
            for (need, end) in [(&IDENTITY, &operator), (&CONFIGURATION, &operator), (&DNS, &dns)] {
                for policy in blocking(&ours, &labels, "egress", (need, end)) {
                    blocked.entry(policy).or_default().insert(need.what);
                }
            }
        }
        for (policy, needs) in blocked {
            let needs: Vec<&str> = needs.into_iter().collect();
            let text = format!(
                "NetworkPolicy {namespace}/{policy} keeps pods of {namespace} from the operator ({} to {})",
                needs.join(", "),
                observed.operator_namespace
            );
            let todo = format!(
                "allow egress to namespace {} on TCP 15010 and 15012, and to DNS",
                observed.operator_namespace
            );
            facts.push(Fact::failure(text, todo, Hint::NetworkPolicyEgress));
        }
    }
    facts
}

/// Into the operator, and from it.
fn ingress(observed: &Observed, policies: &[Value], pods: &[Value]) -> Vec<Fact> {
    let there = observed.operator_namespace.as_str();
    let operator = operator(observed, pods);
    let (incoming, outgoing) = (of(policies, there, "Ingress"), of(policies, there, "Egress"));
    let mut blocked: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut tell = |policies: Vec<&'_ str>, what: &'static str| {
        for policy in policies {
            let policy = incoming
                .iter()
                .chain(&outgoing)
                .map(|one| text(one, "/metadata/name"))
                .find(|name| *name == policy);
            blocked.entry(policy.unwrap_or_default()).or_default().insert(what);
        }
    };
    for namespace in observed.enrolled() {
        let name = text(namespace, "/metadata/name");
        for from in label_sets(pods, name) {
            let end = End {
                namespace: name,
                namespace_labels: labels(namespace),
                labels: from,
                addresses: Vec::new(),
            };
            for need in [&IDENTITY, &CONFIGURATION] {
                tell(blocking(&incoming, &operator.labels, "ingress", (need, &end)), need.what);
            }
        }
    }
    tell(blocking(&incoming, &operator.labels, "ingress", (&REPLICAS, &operator)), REPLICAS.what);
    // No selector names the API server: only a rule without peers, or one with addresses, admits it.
    let api = End {
        namespace: "",
        namespace_labels: BTreeMap::new(),
        labels: BTreeMap::new(),
        addresses: Vec::new(),
    };
    tell(blocking(&incoming, &operator.labels, "ingress", (&WEBHOOK, &api)), WEBHOOK.what);
    let to_api = Need { port: 443, protocol: "TCP", name: "https", what: "the operator to the API server" };
    tell(blocking(&outgoing, &operator.labels, "egress", (&to_api, &api)), to_api.what);
    let fact = |(policy, needs): (&str, BTreeSet<&str>)| {
        let needs: Vec<&str> = needs.into_iter().collect();
        let text = format!("NetworkPolicy {there}/{policy} blocks the operator: {}", needs.join(", "));
        let todo = "allow what the chart's own NetworkPolicy allows (networkPolicy.enabled), or remove it";
        Fact::failure(text, todo, Hint::NetworkPolicyIngress)
    };
    blocked.into_iter().map(fact).collect()
}

fn operator<'a>(observed: &'a Observed, pods: &'a [Value]) -> End<'a> {
    let namespace = observed.operator_namespace.as_str();
    let known = BTreeMap::from([
        ("app.kubernetes.io/name", "bailiwick-operator"),
        ("app.kubernetes.io/component", "operator"),
    ]);
    let is_one = |pod: &&Value| {
        let labels = labels(pod);
        text(pod, "/metadata/namespace") == namespace
            && known.iter().all(|(name, value)| labels.get(name) == Some(value))
    };
    let mut found = pods.iter().filter(is_one).peekable();
    let labels = found.peek().map_or_else(|| known.clone(), |pod| labels(pod));
    let namespace_labels = observed.namespace_labels(namespace);
    End { namespace, namespace_labels, labels, addresses: addresses(found) }
}

fn addresses<'a>(pods: impl Iterator<Item = &'a Value>) -> Vec<IpAddr> {
    pods.flat_map(|pod| items(pod, "/status/podIPs")).filter_map(|ip| text(ip, "/ip").parse().ok()).collect()
}

/// The policies of a namespace that restrict a direction.
fn of<'a>(policies: &'a [Value], namespace: &str, direction: &str) -> Vec<&'a Value> {
    let restricts = |policy: &&Value| match items(policy, "/spec/policyTypes") {
        // The API server fills them in.
        [] => direction == "Ingress" || path(policy, "/spec/egress").is_some(),
        types => types.iter().any(|one| one.as_str() == Some(direction)),
    };
    let there = policies.iter().filter(|policy| text(policy, "/metadata/namespace") == namespace);
    there.filter(restricts).collect()
}

/// The different labels of a namespace's pods; where it has none, those of a pod without labels.
fn label_sets<'a>(pods: &'a [Value], namespace: &str) -> BTreeSet<BTreeMap<&'a str, &'a str>> {
    let there = pods.iter().filter(|pod| text(pod, "/metadata/namespace") == namespace && !is_over(pod));
    let mut sets: BTreeSet<_> = there.map(labels).collect();
    if sets.is_empty() {
        sets.insert(BTreeMap::new());
    }
    sets
}

/// The policies that select a pod, if none of them allows the connection. They only add to each other.
fn blocking<'a>(
    policies: &[&'a Value],
    pod: &BTreeMap<&str, &str>,
    direction: &str,
    (need, end): (&Need, &End<'_>),
) -> Vec<&'a str> {
    let empty = Value::Null;
    let selects = |policy: &&&Value| matches(path(policy, "/spec/podSelector").unwrap_or(&empty), pod);
    let selecting: Vec<&Value> = policies.iter().filter(selects).copied().collect();
    let peers = if direction == "egress" { "/to" } else { "/from" };
    let allowed = selecting.iter().any(|policy| {
        let mut rules = items(policy, &format!("/spec/{direction}")).iter();
        rules.any(|rule| opens(rule, need) && admits(policy, items(rule, peers), end))
    });
    if allowed {
        return Vec::new();
    }
    selecting.into_iter().map(|policy| text(policy, "/metadata/name")).collect()
}

fn opens(rule: &Value, need: &Need) -> bool {
    let ports = items(rule, "/ports");
    ports.is_empty()
        || ports.iter().any(|port| {
            let protocol = match text(port, "/protocol") {
                "" => "TCP",
                other => other,
            };
            // DNS goes by both, and one is enough to find out.
            let same = protocol == need.protocol || need.port == 53;
            same && match path(port, "/port") {
                None => true,
                Some(Value::String(name)) => name.starts_with(need.name),
                Some(number) => {
                    let first = number.as_u64().unwrap_or_default();
                    let last = path(port, "/endPort").and_then(Value::as_u64).unwrap_or(first);
                    // Where the API server is a Service, its own port is another one.
                    (first..=last).contains(&u64::from(need.port)) || (need.port == 443 && first == 6443)
                }
            }
        })
}

fn admits(policy: &Value, peers: &[Value], end: &End<'_>) -> bool {
    peers.is_empty() || peers.iter().any(|peer| admits_one(policy, peer, end))
}

fn admits_one(policy: &Value, peer: &Value, end: &End<'_>) -> bool {
    if let Some(block) = path(peer, "/ipBlock") {
        // Of addresses that are not known the user knows more than we do.
        return end.addresses.is_empty() || end.addresses.iter().any(|address| holds(block, *address));
    }
    let in_namespace = match path(peer, "/namespaceSelector") {
        Some(selector) => !end.namespace.is_empty() && matches(selector, &end.namespace_labels),
        None => text(policy, "/metadata/namespace") == end.namespace,
    };
    in_namespace && path(peer, "/podSelector").is_none_or(|selector| matches(selector, &end.labels))
}

fn holds(block: &Value, address: IpAddr) -> bool {
    let except = items(block, "/except").iter().filter_map(Value::as_str);
    let except: Vec<_> = except.filter_map(|cidr| IpBlock::parse_cidr(cidr).ok()).collect();
    let Ok(cidr) = IpBlock::parse_cidr(text(block, "/cidr")) else { return false };
    IpBlock::new(cidr, except).is_ok_and(|block| block.contains(address))
}
