//! Facts from ordinary manifests: namespaces, workloads, services.
//!
//! Lenient about what is not read (any GitOps folder works as it is), strict about what is: a value that the API server
//! would refuse is an error, since policies select by these facts. `null` is an omitted field, as in the API server.

mod opaque;
mod pod;
mod service;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_compile::{Diagnostic, FieldPath, Service, SourceLocation, Workload, WorkloadKind};
use bailiwick_identity::{Namespace, WorkloadName};
use bailiwick_policy::WorkloadKey;

use crate::codes;
use crate::decode::{At, ManifestKind, Reader};
use crate::document::{FaultKind, Node, Span, faults};

/// The label that the API server sets on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One fact.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    /// A namespace and its labels.
    Namespace { name: Namespace, labels: BTreeMap<String, String>, location: SourceLocation },
    /// A workload, and what is to be said of it.
    Workload { key: WorkloadKey, workload: Workload, remarks: Vec<Diagnostic> },
    /// A service.
    Service { key: (Namespace, String), service: Service },
    /// A service account, of which only the namespace matters.
    ServiceAccount { namespace: Namespace },
}

/// Reads a manifest.
///
/// # Errors
/// With every mistake in what is read.
pub(crate) fn read(file: &Arc<str>, kind: ManifestKind, root: &Node) -> Result<Fact, Vec<Diagnostic>> {
    let mut reader = Reader::new(Arc::clone(file), None);
    let at = At::root(root);
    let fact = fact(&mut reader, &at, kind);
    for fault in faults(root, &FieldPath::root()) {
        if let FaultKind::Repeated(_) = fault.kind {
            let message = format!("`{}` occurs twice", fault.path);
            let help = Some("keep one: the API server refuses both".to_owned());
            reader.tell(codes::REPEATED_FIELD, (&fault.path, fault.span), message, help);
        }
    }
    let problems = reader.finish();
    match fact {
        Some(fact) if problems.is_empty() => Ok(fact),
        Some(_) | None => Err(problems),
    }
}

/// The labels of a namespace as the API server would complete them.
pub(crate) fn complete_labels(
    name: &Namespace,
    mut labels: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    labels.insert(NAME_LABEL.to_owned(), name.as_str().to_owned());
    labels
}

fn fact(reader: &mut Reader, root: &At<'_>, kind: ManifestKind) -> Option<Fact> {
    let Some(metadata) = present(root, "metadata") else {
        reader.missing(root, "metadata");
        return None;
    };
    let workload_kind = match kind {
        ManifestKind::Namespace => {
            let (name, span) = name(reader, &metadata)?;
            let at = metadata.field("name")?;
            let name: Namespace = reader.parsed(&at, (63, codes::MANIFEST), |_| name.parse())?;
            let labels = labels(reader, &metadata)?;
            return Some(Fact::Namespace { name, labels, location: location(reader, span) });
        }
        ManifestKind::ServiceAccount => {
            return Some(Fact::ServiceAccount { namespace: namespace(reader, &metadata)? });
        }
        ManifestKind::Service => {
            let (name, span) = name(reader, &metadata)?;
            let namespace = namespace(reader, &metadata)?;
            let service = service::read(reader, root, location(reader, span))?;
            return Some(Fact::Service { key: (namespace, name), service });
        }
        ManifestKind::Pod => WorkloadKind::Pod,
        ManifestKind::Deployment => WorkloadKind::Deployment,
        ManifestKind::StatefulSet => WorkloadKind::StatefulSet,
        ManifestKind::DaemonSet => WorkloadKind::DaemonSet,
        ManifestKind::Job => WorkloadKind::Job,
        ManifestKind::CronJob => WorkloadKind::CronJob,
    };
    let (name, span) = name(reader, &metadata)?;
    let namespace = namespace(reader, &metadata)?;
    let name: WorkloadName = name.parse().ok()?;
    let (workload, remarks) = pod::read(reader, root, workload_kind, location(reader, span))?;
    Some(Fact::Workload { key: WorkloadKey { namespace, name }, workload, remarks })
}

fn location(reader: &Reader, span: Option<Span>) -> SourceLocation {
    SourceLocation { file: Arc::clone(&reader.file), span }
}

/// A field that is there and not `null`.
fn present<'a>(object: &At<'a>, name: &str) -> Option<At<'a>> {
    object.field(name).filter(|at| !at.node.is_null())
}

fn name(reader: &mut Reader, metadata: &At<'_>) -> Option<(String, Option<Span>)> {
    let Some(at) = present(metadata, "name") else {
        let place = (&metadata.path.field("name"), metadata.name_span());
        let help = Some("add `metadata.name`".to_owned());
        reader.tell(codes::OBJECT_NAME, place, "the manifest has no name".to_owned(), help);
        return None;
    };
    let name: WorkloadName = reader.parsed(&at, (253, codes::MANIFEST), str::parse)?;
    Some((name.as_str().to_owned(), at.node.span))
}

fn namespace(reader: &mut Reader, metadata: &At<'_>) -> Option<Namespace> {
    let Some(at) = present(metadata, "namespace") else {
        let place = (&metadata.path.field("namespace"), metadata.name_span());
        let help = Some("add `metadata.namespace`: a folder has no current namespace".to_owned());
        let message = "the manifest does not say its namespace".to_owned();
        reader.tell(codes::MANIFEST_NAMESPACE, place, message, help);
        return None;
    };
    reader.parsed(&at, (63, codes::MANIFEST), str::parse)
}

/// `labels` of a metadata object.
fn labels(reader: &mut Reader, metadata: &At<'_>) -> Option<BTreeMap<String, String>> {
    match present(metadata, "labels") {
        Some(at) => text_map(reader, &at),
        None => Some(BTreeMap::new()),
    }
}

/// A map of texts to texts. Empty texts are values.
fn text_map(reader: &mut Reader, at: &At<'_>) -> Option<BTreeMap<String, String>> {
    let Some(mapping) = at.node.mapping() else {
        reader.wrong_type(at, "an object");
        return None;
    };
    let mut map = BTreeMap::new();
    let mut sound = true;
    for entry in &mapping.entries {
        let value = At { node: &entry.value, path: at.path.field(&entry.key), name_span: entry.key_span };
        if entry.key_ambiguous {
            let message = format!("the name `{}` is not a text in every version of YAML", entry.key);
            reader.tell(
                codes::AMBIGUOUS,
                (&value.path, entry.key_span),
                message,
                Some("quote it".to_owned()),
            );
            sound = false;
        }
        if let Some(text) = value.node.text() {
            map.insert(entry.key.clone(), text.to_owned());
        } else {
            reader.wrong_type(&value, "a text");
            sound = false;
        }
    }
    sound.then_some(map)
}

/// The items of a list that may be empty.
fn items<'a>(reader: &mut Reader, object: &At<'a>, name: &str) -> Option<Vec<At<'a>>> {
    let Some(at) = present(object, name) else { return Some(Vec::new()) };
    let Some(nodes) = at.node.sequence() else {
        reader.wrong_type(&at, "a list");
        return None;
    };
    let item = |(index, node)| At { node, path: at.path.index(index), name_span: None };
    Some(nodes.iter().enumerate().map(item).collect())
}

/// A text that may be omitted.
fn optional_text(reader: &mut Reader, object: &At<'_>, name: &str) -> Option<Option<String>> {
    match present(object, name) {
        Some(at) => reader.text(&at, 317).map(|text| Some(text.to_owned())),
        None => Some(None),
    }
}

/// True if a port is of TCP, which an omitted protocol is.
fn is_tcp(reader: &mut Reader, port: &At<'_>) -> Option<bool> {
    match present(port, "protocol") {
        Some(at) => reader.word(&at, &[("TCP", true), ("UDP", false), ("SCTP", false)]),
        None => Some(true),
    }
}
