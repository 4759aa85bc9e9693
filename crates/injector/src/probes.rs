//! Probes and hooks: the kubelet has no certificate, so it asks the sidecar, which runs what the pod declared.

use bailiwick_pod::{Action, Declared, Purpose, ports};
use serde_json::{Map, Value, json};

use crate::patch::Operation;
use crate::pod::{Container, at, items, text};
use crate::refusal::{Problem, Refusal};

/// Where the sidecar serves declared probes, before the index.
const PATH: &str = "/probe/";
/// The kubelet waits without limit for a hook after the start; this bounds what it can hold in the sidecar.
const POST_START_SECONDS: u32 = 3_600;
/// `terminationGracePeriodSeconds` where a pod says none.
const GRACE_SECONDS: u32 = 30;

const PLACES: [(&[&str], Purpose); 5] = [
    (&["startupProbe"], Purpose::Startup),
    (&["readinessProbe"], Purpose::Readiness),
    (&["livenessProbe"], Purpose::Liveness),
    (&["lifecycle", "postStart"], Purpose::PostStart),
    (&["lifecycle", "preStop"], Purpose::PreStop),
];

/// Everything that is declared, and how the pod changes.
#[derive(Debug)]
pub(crate) struct Rewriting {
    pub(crate) declared: Vec<Declared>,
    pub(crate) operations: Vec<Operation>,
    grace_seconds: u32,
}

/// Redirects the probes and hooks of the pod's own containers to the sidecar. `known` are those that an earlier
/// injection of this pod declared.
pub(crate) fn rewrite(
    pod: &Value,
    containers: &[Container<'_>],
    known: Vec<Declared>,
    refusals: &mut Vec<Refusal>,
) -> Rewriting {
    let grace = at(pod, &["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_u64);
    let grace_seconds = grace.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(GRACE_SECONDS);
    let mut rewriting = Rewriting { declared: known, operations: Vec::new(), grace_seconds };
    let own = containers.iter().filter(|container| !container.has_our_name() && container.keeps_running());
    for container in own {
        for (path, purpose) in PLACES {
            if let Some(refusal) = rewriting.one(container, path, purpose) {
                refusals.push(refusal);
            }
        }
    }
    rewriting
}

/// What an earlier injection declared. Text that is not a list of ours declares nothing.
pub(crate) fn read(sidecar: &Value) -> Vec<Declared> {
    let found = items(sidecar, &["env"])
        .iter()
        .find(|variable| text(variable, &["name"]) == bailiwick_pod::environment::PROBES);
    found.and_then(|variable| serde_json::from_str(text(variable, &["value"])).ok()).unwrap_or_default()
}

/// The list as JSON. The kubelet expands `$(NAME)` in values, so there is no `$` in it; it can only stand in texts.
pub(crate) fn write(declared: &[Declared]) -> String {
    serde_json::to_string(declared).unwrap_or_default().replace('$', "\\u0024")
}

impl Rewriting {
    fn one(&mut self, container: &Container<'_>, path: &[&str], purpose: Purpose) -> Option<Refusal> {
        let handler = at(container.value, path)?;
        if self.is_rewritten(handler) {
            return None;
        }
        let action = action(handler, container.value, purpose)?;
        let port = match &action {
            Action::Http { port, .. } | Action::Tcp { port } | Action::Grpc { port, .. } => *port,
        };
        if ports::RESERVED.contains(&port) {
            let field = format!("{}.{}", container.field(), path.join("."));
            let message = format!("it asks at port {port}, which the sidecar uses");
            let help = "ask at a port of the application";
            return Some(Refusal::new(Problem::ReservedPort, field, message, help));
        }
        let index = self.declared.len();
        self.declared.push(Declared {
            container: container.name().to_owned(),
            purpose,
            action,
            timeout_seconds: self.timeout(handler, purpose),
        });
        let place = format!("{}/{}", container.pointer(), path.join("/"));
        self.operations.push(Operation::replace(place, redirected(handler, index)));
        None
    }

    /// True if an earlier injection redirected it.
    fn is_rewritten(&self, handler: &Value) -> bool {
        let index = text(handler, &["httpGet", "path"]).strip_prefix(PATH);
        let known = index.and_then(|index| index.parse::<usize>().ok());
        at(handler, &["httpGet", "port"]) == Some(&json!(ports::PROBES))
            && known.is_some_and(|index| index < self.declared.len())
    }

    fn timeout(&self, handler: &Value, purpose: Purpose) -> u32 {
        let declared = at(handler, &["timeoutSeconds"]).and_then(Value::as_u64);
        match purpose {
            Purpose::Startup | Purpose::Readiness | Purpose::Liveness => {
                declared.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or_default().max(1)
            }
            Purpose::PostStart => POST_START_SECONDS,
            Purpose::PreStop => self.grace_seconds.max(1),
        }
    }
}

/// What is done, if it is something that the sidecar does in the kubelet's place: a probe of another host is not, and
/// what names a port that does not exist fails with and without a sidecar.
fn action(handler: &Value, container: &Value, purpose: Purpose) -> Option<Action> {
    if let Some(http) = at(handler, &["httpGet"]) {
        let port = local_port(http, container)?;
        let headers = items(http, &["httpHeaders"])
            .iter()
            .map(|header| (text(header, &["name"]).to_owned(), text(header, &["value"]).to_owned()))
            .collect();
        let tls = text(http, &["scheme"]) == "HTTPS";
        return Some(Action::Http { port, path: request_path(text(http, &["path"])), tls, headers });
    }
    if let Some(tcp) = at(handler, &["tcpSocket"]) {
        // Of hooks the kubelet runs none with `tcpSocket`: it says so and fails.
        return if purpose.is_hook() {
            None
        } else {
            Some(Action::Tcp { port: local_port(tcp, container)? })
        };
    }
    let grpc = at(handler, &["grpc"])?;
    let service = text(grpc, &["service"]).to_owned();
    Some(Action::Grpc { port: port_number(at(grpc, &["port"])?)?, service })
}

/// The port of the pod's own address. A name is one of the same container's ports.
fn local_port(handler: &Value, container: &Value) -> Option<u16> {
    if !text(handler, &["host"]).is_empty() {
        return None;
    }
    let port = at(handler, &["port"])?;
    let Some(name) = port.as_str() else { return port_number(port) };
    let named = items(container, &["ports"]).iter().find(|port| text(port, &["name"]) == name);
    match named {
        Some(named) => port_number(at(named, &["containerPort"])?),
        None => name.parse().ok().filter(|port| *port > 0),
    }
}

fn port_number(port: &Value) -> Option<u16> {
    port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

/// Path and query as the kubelet would send them.
fn request_path(declared: &str) -> String {
    let sent = declared.split('#').next().unwrap_or_default();
    if sent.starts_with('/') { sent.to_owned() } else { format!("/{sent}") }
}

/// The same probe or hook, asked of the sidecar: what says when and how often is kept.
fn redirected(handler: &Value, index: usize) -> Value {
    let mut fields: Map<String, Value> = handler.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !["httpGet", "tcpSocket", "grpc"].contains(&name.as_str()));
    let path = format!("{PATH}{index}");
    fields.insert("httpGet".to_owned(), json!({"path": path, "port": ports::PROBES, "scheme": "HTTP"}));
    Value::Object(fields)
}
