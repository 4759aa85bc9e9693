//! Checks that need only a tree and a shape: unknown fields, fields of later versions, repeated names, tags.

use bailiwick_compile::FieldPath;

use super::reader::{At, Reader, shorten};
use super::shape::{Content, Shape};
use crate::codes;
use crate::document::{FaultKind, Node, faults as find_faults};
use bailiwick_compile::did_you_mean;

/// Fields of every object.
const ROOT_FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Tells repeated names, tags and ambiguous names, wherever they are. `metadata.annotations` and `status` are no
/// part of what an object says, but a reader that took the second of two would see another object: they count too.
pub(crate) fn faults(reader: &mut Reader, root: &Node) {
    for fault in find_faults(root, &FieldPath::root()) {
        let path = &fault.path;
        let (code, message, help) = match fault.kind {
            FaultKind::Repeated(first) => {
                let first = first.map(|(start, end)| format!(", first at bytes {start} to {end}"));
                let message = format!("`{path}` occurs twice{}", first.unwrap_or_default());
                (codes::REPEATED_FIELD, message, "keep one: readers disagree on which of them counts")
            }
            FaultKind::Tagged => (
                codes::TAG,
                format!("`{path}` has a YAML tag"),
                "remove the tag; quote the value if it is a text",
            ),
            FaultKind::AmbiguousKey => {
                let message = format!("the name of `{path}` is not a text in every version of YAML");
                (codes::AMBIGUOUS, message, "quote the name")
            }
        };
        reader.tell(code, (path, fault.span), message, Some(help.to_owned()));
    }
}

/// Tells unknown fields beside `spec`.
pub(crate) fn root_fields(reader: &mut Reader, root: &At<'_>) {
    unknown_fields(reader, root, &ROOT_FIELDS);
}

/// Tells the fields of an object that are not among the known ones.
pub(crate) fn unknown_fields(reader: &mut Reader, at: &At<'_>, known: &[&'static str]) {
    let Some(mapping) = at.node.mapping() else { return };
    for entry in &mapping.entries {
        if known.contains(&entry.key.as_str()) {
            continue;
        }
        let near = if reader.listens() { did_you_mean(known.iter().copied(), &entry.key) } else { None };
        if let Some(near) = near {
            reader.suggest(&at.path, near);
        }
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "write `{}`: it has no fields".to_owned(),
            None => format!("the fields are {}", list_names(known)),
        };
        let owner = if at.path.as_str().is_empty() { "the object" } else { at.path.as_str() };
        let message = format!("unknown field `{}` in `{owner}`", shorten(&entry.key));
        let place = (&at.path.field(&shorten(&entry.key)), entry.key_span.or(at.node.span));
        reader.tell(codes::UNKNOWN_FIELD, place, message, Some(help));
    }
}

fn list_names(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Tells unknown fields and fields of later versions, down to the leaves. A value of the wrong type is told by the
/// decoder that reads it.
pub(crate) fn shape(reader: &mut Reader, at: &At<'_>, shape: &'static Shape) {
    let names: Vec<&'static str> = shape.0.iter().map(|field| field.name).collect();
    unknown_fields(reader, at, &names);
    for field in shape.0 {
        let Some(value) = at.field(field.name) else { continue };
        if !field.supported {
            not_yet(reader, &value, field.name);
        }
        match field.content {
            Content::Leaf => {}
            Content::Object(inner) => self::shape(reader, &value, inner),
            Content::List(inner) => {
                for (index, node) in value.node.sequence().unwrap_or_default().iter().enumerate() {
                    if !reader.listens() {
                        return;
                    }
                    self::shape(reader, &At { node, path: value.path.index(index), name_span: None }, inner);
                }
            }
        }
    }
}

fn not_yet(reader: &mut Reader, at: &At<'_>, name: &str) {
    let message = format!("`{name}` is not supported in this version");
    let help = "remove it: ignoring it would change who gets in, so the whole object is invalid";
    reader.tell(codes::NOT_YET_SUPPORTED, (&at.path, at.name_span()), message, Some(help.to_owned()));
}
