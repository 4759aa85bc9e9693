//! Pod templates: labels, service account, ports.

use std::collections::BTreeSet;

use bailiwick_compile::{ContainerPort, Diagnostic, SourceLocation, Workload, WorkloadKind};
use bailiwick_identity::ServiceAccount;

use super::{is_tcp, items, labels, opaque, optional_text, present};
use crate::codes;
use crate::decode::{At, Reader, port};

/// Reads the workload of a manifest that runs pods.
pub(super) fn read(
    reader: &mut Reader,
    root: &At<'_>,
    kind: WorkloadKind,
    location: SourceLocation,
) -> Option<(Workload, Vec<Diagnostic>)> {
    let path: &[&str] = match kind {
        WorkloadKind::Pod => &[],
        WorkloadKind::CronJob => &["spec", "jobTemplate", "spec", "template"],
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::Job => &["spec", "template"],
    };
    let mut template = root.clone();
    for step in path {
        template = required(reader, &template, step)?;
    }
    let metadata = present(&template, "metadata");
    let labels = match &metadata {
        Some(metadata) => labels(reader, metadata)?,
        None => std::collections::BTreeMap::new(),
    };
    let (opaque_ports, remarks) = opaque::read(reader, metadata.as_ref());
    let spec = required(reader, &template, "spec")?;
    let service_account = service_account(reader, &spec);
    let ports = ports(reader, &spec);
    let service_account = service_account?;
    Some((Workload { kind, labels, service_account, ports: ports?, opaque_ports, location }, remarks))
}

fn required<'a>(reader: &mut Reader, object: &At<'a>, name: &str) -> Option<At<'a>> {
    let found = present(object, name);
    if found.is_none() {
        reader.missing(object, name);
    }
    found
}

/// `serviceAccount` is the deprecated name of the field; the API server still reads it.
fn service_account(reader: &mut Reader, spec: &At<'_>) -> Option<ServiceAccount> {
    let field = ["serviceAccountName", "serviceAccount"]
        .into_iter()
        .filter_map(|name| present(spec, name))
        .find(|at| at.node.text() != Some(""));
    match field {
        Some(at) => reader.parsed(&at, (253, codes::MANIFEST), str::parse),
        None => "default".parse().ok(),
    }
}

fn ports(reader: &mut Reader, spec: &At<'_>) -> Option<Vec<ContainerPort>> {
    let mut containers = items(reader, spec, "containers")?;
    // Init containers that go on running (native sidecars) have ports that can be called.
    let keeps_running =
        |at: &At<'_>| at.node.get("restartPolicy").and_then(|node| node.text()) == Some("Always");
    containers.extend(items(reader, spec, "initContainers")?.into_iter().filter(keeps_running));
    let mut ports = Vec::new();
    let mut seen = BTreeSet::new();
    let mut sound = true;
    for container in containers {
        let Some(declared) = items(reader, &container, "ports") else {
            sound = false;
            continue;
        };
        for at in declared {
            match container_port(reader, &at) {
                Some(Some(port)) if seen.insert(port.port) => ports.push(port),
                Some(_) => {}
                None => sound = false,
            }
        }
    }
    sound.then_some(ports)
}

/// `Some(None)` is a port of another protocol.
fn container_port(reader: &mut Reader, at: &At<'_>) -> Option<Option<ContainerPort>> {
    let number = required(reader, at, "containerPort").and_then(|at| port(reader, &at));
    let name = optional_text(reader, at, "name");
    let tcp = is_tcp(reader, at)?;
    let found = ContainerPort { name: name?, port: number? };
    Some(tcp.then_some(found))
}
