//! Targets: which workloads an object is about.

use bailiwick_compile::{Target, TargetKind};
use bailiwick_identity::{Port, ServiceAccount};

use super::reader::{At, Reader};
use super::reference::object_name;
use super::selector::selector;
use crate::codes;
use crate::document::Value;

/// The targets of a namespaced object.
pub(crate) fn targets(reader: &mut Reader, at: &At<'_>) -> Option<Vec<Target>> {
    reader.each(at, 64, target)
}

/// The targets of a ClusterPolicy: pods only.
pub(crate) fn pod_targets(reader: &mut Reader, at: &At<'_>) -> Option<Vec<Target>> {
    reader.each(at, 64, |reader, at| {
        let object = reader.object(at)?;
        let kind = reader.required(&object, "kind").and_then(|at| {
            let named = matches!(at.node.text(), Some("Service" | "ServiceAccount"));
            if named {
                let message = "a ClusterPolicy selects only pods";
                reader.not_here(&at, message, "write `kind: Pod` with a `selector`, or use a Policy");
                return None;
            }
            reader.word(&at, &[("Pod", Kind::Pod)])
        });
        let selector = reader.required(&object, "selector").and_then(|at| selector(reader, &at));
        let ports = optional_ports(reader, &object);
        kind?;
        Some(Target { kind: TargetKind::Pod(selector?), ports: ports? })
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Pod,
    Service,
    ServiceAccount,
}

fn target(reader: &mut Reader, at: &At<'_>) -> Option<Target> {
    let object = reader.object(at)?;
    let words = [("Pod", Kind::Pod), ("Service", Kind::Service), ("ServiceAccount", Kind::ServiceAccount)];
    let kind = reader.required(&object, "kind").and_then(|at| reader.word(&at, &words));
    let kind = kind.and_then(|kind| which(reader, &object, kind));
    let ports = optional_ports(reader, &object);
    Some(Target { kind: kind?, ports: ports? })
}

fn which(reader: &mut Reader, object: &At<'_>, kind: Kind) -> Option<TargetKind> {
    match kind {
        Kind::Pod => {
            if let Some(at) = object.field("name") {
                reader.not_here(&at, "`name` does not go with `kind: Pod`", "select pods by `selector`");
            }
            let at = reader.required(object, "selector")?;
            selector(reader, &at).map(TargetKind::Pod)
        }
        Kind::Service | Kind::ServiceAccount => {
            if let Some(at) = object.field("selector") {
                let message = "`selector` goes only with `kind: Pod`";
                reader.not_here(&at, message, "select Services and ServiceAccounts by `name`");
            }
            if let Kind::Service = kind {
                return object_name(reader, object).map(TargetKind::Service);
            }
            let at = reader.required(object, "name")?;
            let name: ServiceAccount = reader.parsed(&at, (253, codes::NAME), str::parse)?;
            Some(TargetKind::ServiceAccount(name))
        }
    }
}

fn optional_ports(reader: &mut Reader, object: &At<'_>) -> Option<Option<Vec<Port>>> {
    match object.field("ports") {
        Some(at) => ports(reader, &at).map(Some),
        None => Some(None),
    }
}

/// A set of ports.
pub(crate) fn ports(reader: &mut Reader, at: &At<'_>) -> Option<Vec<Port>> {
    reader.set(at, 64, port)
}

/// One port.
pub(crate) fn port(reader: &mut Reader, at: &At<'_>) -> Option<Port> {
    let Value::Number(text) = &at.node.value else {
        reader.wrong_type(at, "a number");
        return None;
    };
    match text.parse::<Port>() {
        Ok(port) => Some(port),
        Err(_) => {
            let help = Some("use a number from 1 to 65535".to_owned());
            reader.problem(codes::PORT, at, format!("`{text}` is not a port"), help);
            None
        }
    }
}
