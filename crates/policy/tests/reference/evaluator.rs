//! A naive evaluator, written from the policy semantics ("How a call is decided") and nothing else: it walks every
//! rule and every triple, and shares neither index nor matcher with the crate. It reads only the data of the parts and
//! the text of patterns.

use std::net::IpAddr;

use bailiwick_policy::{
    Body, Effect, Layer, Methods, Mode, Permission, PortSelection, Rule, SnapshotParts, SubjectClass,
    SubjectEntry,
};

/// A call, in plain values.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The proven identity, if any.
    pub(crate) identity: Option<String>,
    pub(crate) source: IpAddr,
    pub(crate) port: u16,
    pub(crate) now: i64,
    pub(crate) request: Option<Request>,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The canonical path; `None` for `*` and for a path without one reading.
    pub(crate) path: Option<String>,
    pub(crate) host: String,
    pub(crate) grpc: bool,
}

/// What was decided: `allow`, `cluster-deny`, `policy-deny`, `default`, `audit-namespace`, and by which rules, each as
/// kind, namespace, name, rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) outcome: &'static str,
    pub(crate) rules: Vec<(Layer, String, String, String)>,
}

pub(crate) fn decide(parts: &SnapshotParts, call: &Call) -> Verdict {
    let verdict = settle(parts, call, false);
    if parts.authorization_audit && (verdict.outcome == "policy-deny" || verdict.outcome == "default") {
        return Verdict { outcome: "audit-namespace", rules: Vec::new() };
    }
    verdict
}

pub(crate) fn would_be(parts: &SnapshotParts, call: &Call) -> Option<Verdict> {
    let audited = parts
        .objects
        .iter()
        .any(|bound| bound.object.mode == Mode::Audit && selects(&bound.ports, call.port));
    (audited || parts.authorization_audit).then(|| settle(parts, call, true))
}

fn settle(parts: &SnapshotParts, call: &Call, all_enforced: bool) -> Verdict {
    let steps = [
        ("cluster-deny", Effect::Deny, Some(Layer::Cluster)),
        ("policy-deny", Effect::Deny, Some(Layer::Namespace)),
        ("allow", Effect::Allow, None),
    ];
    for (outcome, effect, layer) in steps {
        let mut rules = Vec::new();
        for bound in &parts.objects {
            let object = &bound.object;
            let takes_part = (object.mode == Mode::Enforce || all_enforced)
                && layer.is_none_or(|layer| layer == object.origin.layer)
                && selects(&bound.ports, call.port);
            if !takes_part {
                continue;
            }
            let name = |rule: &str| {
                let origin = &object.origin;
                (origin.layer, origin.namespace.to_string(), origin.name.to_string(), rule.to_owned())
            };
            match &object.body {
                Body::Uncompilable { .. } if effect == Effect::Deny => rules.push(name("")),
                Body::Uncompilable { .. } => {}
                Body::Rules(all) => {
                    for rule in all {
                        if rule.effect == effect && matches(parts, rule, call) {
                            rules.push(name(&rule.name));
                        }
                    }
                }
            }
        }
        if !rules.is_empty() {
            rules.sort();
            return Verdict { outcome, rules };
        }
    }
    Verdict { outcome: "default", rules: Vec::new() }
}

fn selects(ports: &PortSelection, port: u16) -> bool {
    match ports {
        PortSelection::All => true,
        PortSelection::Only(list) => list.iter().any(|wanted| wanted.number() == port),
    }
}

fn matches(parts: &SnapshotParts, rule: &Rule, call: &Call) -> bool {
    let started = rule.not_before.is_none_or(|start| call.now >= start);
    let ended = rule.not_after.is_some_and(|end| call.now >= end);
    let excepted = rule.except_subjects.iter().any(|entry| subject(parts, entry, call));
    let triple = rule.subjects.iter().any(|entry| {
        rule.permissions
            .iter()
            .any(|permission| subject(parts, entry, call) && permits(permission, rule.effect, call))
    });
    started && !ended && !excepted && triple
}

fn subject(parts: &SnapshotParts, entry: &SubjectEntry, call: &Call) -> bool {
    // Names are bound to the mesh's own trust domain.
    let names = call.identity.as_ref().and_then(|identity| {
        let path = identity.strip_prefix(&format!("spiffe://{}/", parts.trust_domain))?;
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["ns", namespace, "sa", account] => Some((namespace.to_string(), account.to_string())),
            _ => None,
        }
    });
    let class = match entry.class {
        None | Some(SubjectClass::Anyone) => true,
        Some(SubjectClass::Authenticated) => call.identity.is_some(),
        Some(SubjectClass::Unauthenticated) => call.identity.is_none(),
    };
    let account = match &entry.service_account {
        None => true,
        Some((namespace, account)) => names == Some((namespace.to_string(), account.to_string())),
    };
    let namespace = match &entry.namespaces {
        None => true,
        Some(wanted) => names.is_some_and(|(found, _)| wanted.iter().any(|name| name.to_string() == found)),
    };
    let identity = match &entry.spiffe_id {
        None => true,
        Some(pattern) => call.identity.as_ref().is_some_and(|identity| {
            let wanted: Vec<&str> = pattern.as_str().split('/').collect();
            let found: Vec<&str> = identity.split('/').collect();
            wanted.len() == found.len()
                && wanted.iter().zip(&found).all(|(wanted, found)| *wanted == "*" || wanted == found)
        }),
    };
    let block = match &entry.ip_block {
        None => true,
        Some(block) => {
            let within = |net: &str| in_cidr(net, call.source);
            within(&block.cidr().to_string()) && !block.except().iter().any(|net| within(&net.to_string()))
        }
    };
    class && account && namespace && identity && block
}

/// Bit by bit, from the text.
fn in_cidr(net: &str, address: IpAddr) -> bool {
    let (network, length) = net.split_once('/').expect("a prefix length");
    let length: usize = length.parse().expect("a prefix length");
    let bits = |address: IpAddr| -> Vec<char> {
        let bytes = match address {
            IpAddr::V4(four) => four.octets().to_vec(),
            IpAddr::V6(six) => six.octets().to_vec(),
        };
        bytes.iter().flat_map(|byte| format!("{byte:08b}").chars().collect::<Vec<_>>()).collect()
    };
    let (network, address) = (bits(network.parse().expect("an address")), bits(address));
    network.len() == address.len() && network[..length] == address[..length]
}

fn permits(permission: &Permission, effect: Effect, call: &Call) -> bool {
    match (permission, &call.request) {
        (Permission::Any, _) => true,
        (Permission::Tcp(ports), _) => ports.iter().any(|port| port.number() == call.port),
        (_, None) => false,
        (Permission::Http(http), Some(request)) => {
            let Some(path) = &request.path else { return false };
            listed(&http.methods, &request.method)
                && http.paths.iter().any(|template| template_matches(template.as_str(), path))
                && match &http.hosts {
                    None => true,
                    Some(hosts) => hosts.iter().any(|host| host_matches(host.as_str(), &request.host)),
                }
        }
        (Permission::Grpc(grpc), Some(request)) => {
            let Some(path) = &request.path else { return false };
            let called: Vec<&str> = path.split('/').collect();
            let ["", service, method] = called.as_slice() else { return false };
            request.method == "POST"
                && (request.grpc || effect == Effect::Deny)
                && !method.is_empty()
                && grpc.service.as_ref() == *service
                && listed(&grpc.methods, method)
        }
    }
}

fn listed(methods: &Methods, method: &str) -> bool {
    match methods {
        Methods::Any => true,
        Methods::Of(names) => names.iter().any(|name| &**name == method),
    }
}

/// From the text of the template: `{x}` and `*` are one non-empty segment, `**` is the rest, also none of it.
pub(crate) fn template_matches(template: &str, path: &str) -> bool {
    let wanted: Vec<&str> = template.split('/').skip(1).collect();
    let found: Vec<&str> = path.split('/').skip(1).collect();
    remaining(&wanted, &found)
}

fn remaining(wanted: &[&str], found: &[&str]) -> bool {
    match (wanted.split_first(), found.split_first()) {
        (Some((&"**", _)), _) | (None, None) => true,
        (Some((first, wanted)), Some((segment, found))) => {
            let variable = *first == "*" || first.starts_with('{');
            let here = if variable { !segment.is_empty() } else { unescaped(first) == unescaped(segment) };
            here && remaining(wanted, found)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Unreserved escapes decoded once, the digits of others upper-cased.
fn unescaped(segment: &str) -> String {
    let mut parts = segment.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        let byte = u8::from_str_radix(digits, 16).expect("an escape");
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{}", digits.to_ascii_uppercase()));
        }
        text.push_str(rest);
    }
    text
}

/// `*.x` is one or more labels before `.x`.
pub(crate) fn host_matches(pattern: &str, host: &str) -> bool {
    let mut wanted: Vec<&str> = pattern.split('.').rev().collect();
    let found: Vec<&str> = host.split('.').rev().collect();
    if wanted.last() == Some(&"*") {
        wanted.pop();
        return found.len() > wanted.len() && found[..wanted.len()] == wanted[..];
    }
    wanted == found
}

/// Step 1: which rules close the connection before the handshake.
pub(crate) fn refused_early(
    parts: &SnapshotParts,
    source: IpAddr,
    port: u16,
    now: i64,
) -> Vec<(Layer, String, String, String)> {
    let mut rules = Vec::new();
    for bound in &parts.objects {
        let object = &bound.object;
        let Body::Rules(all) = &object.body else { continue };
        let reported = parts.authorization_audit && object.origin.layer == Layer::Namespace;
        if object.mode == Mode::Audit || reported || !selects(&bound.ports, port) {
            continue;
        }
        for rule in all {
            let mut rule = rule.clone();
            rule.subjects.retain(|entry| {
                matches!(entry.class, None | Some(SubjectClass::Anyone))
                    && entry.service_account.is_none()
                    && entry.namespaces.is_none()
                    && entry.spiffe_id.is_none()
            });
            rule.permissions.retain(|permission| matches!(permission, Permission::Any | Permission::Tcp(_)));
            let call = Call { identity: None, source, port, now, request: None };
            if rule.effect == Effect::Deny && rule.except_subjects.is_empty() && matches(parts, &rule, &call)
            {
                let origin = &object.origin;
                rules.push((
                    origin.layer,
                    origin.namespace.to_string(),
                    origin.name.to_string(),
                    rule.name.to_string(),
                ));
            }
        }
    }
    rules.sort();
    rules
}
