//! `metadata`: what identifies an object.

use std::sync::Arc;

use bailiwick_compile::{ObjectKey, ObjectKind, SourceLocation};
use bailiwick_identity::{Namespace, WorkloadName};

use super::check::unknown_fields;
use super::reader::{At, Reader};
use crate::codes;
use crate::document::Value;

/// `ObjectMeta` of Kubernetes.
const FIELDS: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "generation",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "selfLink",
    "managedFields",
];

/// Who the object is.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    pub(crate) key: ObjectKey,
    pub(crate) generation: i64,
    pub(crate) location: SourceLocation,
}

/// Reads the metadata. `None` if the object cannot be identified, which has been told; problems that leave it
/// identified stay with the reader.
pub(crate) fn read(reader: &mut Reader, root: &At<'_>, kind: ObjectKind) -> Option<Metadata> {
    let metadata = reader.required(root, "metadata")?;
    if metadata.node.mapping().is_none() {
        reader.wrong_type(&metadata, "an object");
        return None;
    }
    let sound =
        !ambiguous(reader, root, &["metadata"]) && !ambiguous(reader, &metadata, &["name", "namespace"]);
    let name = name(reader, &metadata);
    let namespace = if kind.namespaced() { namespace(reader, &metadata, kind) } else { Some(String::new()) };
    let (name, namespace) = (name?, namespace?);
    if !sound {
        return None;
    }
    let key = ObjectKey { kind, namespace, name: name.0 };
    reader.object = Some(key.clone());
    unknown_fields(reader, &metadata, &FIELDS);
    if !kind.namespaced()
        && let Some(at) = metadata.field("namespace")
        && !matches!(at.node.text(), Some(""))
    {
        let message = format!("a {kind} has no namespace");
        let help = Some("remove `metadata.namespace`".to_owned());
        reader.tell(codes::NAMESPACE_UNEXPECTED, (&at.path, at.name_span()), message, help);
    }
    let location = SourceLocation { file: Arc::clone(&reader.file), span: name.1 };
    Some(Metadata { key, generation: generation(&metadata), location })
}

/// True if one of the fields occurs twice: then nobody knows which object this is.
fn ambiguous(reader: &mut Reader, at: &At<'_>, names: &[&str]) -> bool {
    let repeated = at.node.mapping().map(|mapping| mapping.repeated.as_slice()).unwrap_or_default();
    let mut found = false;
    for twice in repeated.iter().filter(|twice| names.contains(&twice.key.as_str())) {
        found = true;
        let path = at.path.field(&twice.key);
        let help = Some("keep one: nobody can tell which object this is".to_owned());
        reader.tell(codes::REPEATED_FIELD, (&path, twice.again), format!("`{path}` occurs twice"), help);
    }
    found
}

fn name(reader: &mut Reader, metadata: &At<'_>) -> Option<(String, Option<(usize, usize)>)> {
    let Some(at) = metadata.field("name") else {
        let help = Some("add `metadata.name`".to_owned());
        let place = (&metadata.path.field("name"), metadata.name_span());
        reader.tell(codes::OBJECT_NAME, place, "the object has no name".to_owned(), help);
        return None;
    };
    let name: WorkloadName = reader.parsed(&at, (253, codes::OBJECT_NAME), str::parse)?;
    Some((name.as_str().to_owned(), at.node.span))
}

fn namespace(reader: &mut Reader, metadata: &At<'_>, kind: ObjectKind) -> Option<String> {
    let Some(at) = metadata.field("namespace") else {
        let help = Some("add `metadata.namespace`: a folder has no current namespace".to_owned());
        let place = (&metadata.path.field("namespace"), metadata.name_span());
        reader.tell(codes::NAMESPACE_MISSING, place, format!("the {kind} does not say its namespace"), help);
        return None;
    };
    let namespace: Namespace = reader.parsed(&at, (63, codes::NAME), str::parse)?;
    Some(namespace.as_str().to_owned())
}

/// The API server counts it; in a folder it is usually absent, and what is no number there says nothing.
fn generation(metadata: &At<'_>) -> i64 {
    match metadata.node.get("generation").map(|node| &node.value) {
        Some(Value::Number(text)) => text.parse().unwrap_or(0),
        Some(
            Value::Null
            | Value::Bool(_)
            | Value::Text(_)
            | Value::Ambiguous(_)
            | Value::Sequence(_)
            | Value::Mapping(_),
        )
        | None => 0,
    }
}
