//! References by name.

use bailiwick_compile::Reference;
use bailiwick_identity::{Namespace, ServiceAccount, WorkloadName};

use super::reader::{At, Reader};
use crate::codes;

/// Whose rules are read: a ClusterPolicy must name a namespace wherever it names an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A Policy or Role: an omitted namespace is its own.
    Namespaced,
    /// A ClusterPolicy.
    Cluster,
}

/// A Role by name.
pub(crate) fn role(reader: &mut Reader, at: &At<'_>, scope: Scope) -> Option<Reference> {
    let object = reader.object(at)?;
    let name = object_name(reader, &object);
    let namespace = namespace(reader, &object, scope);
    Some(Reference { name: name?, namespace: namespace? })
}

/// A service account by name.
pub(crate) fn service_account(
    reader: &mut Reader,
    at: &At<'_>,
    scope: Scope,
) -> Option<(Option<Namespace>, ServiceAccount)> {
    let object = reader.object(at)?;
    let name = reader
        .required(&object, "name")
        .and_then(|at| reader.parsed::<ServiceAccount, _>(&at, (253, codes::NAME), str::parse));
    let namespace = namespace(reader, &object, scope);
    Some((namespace?, name?))
}

/// `name`: the name of an object.
pub(crate) fn object_name(reader: &mut Reader, object: &At<'_>) -> Option<String> {
    let at = reader.required(object, "name")?;
    let name: WorkloadName = reader.parsed(&at, (253, codes::NAME), str::parse)?;
    Some(name.as_str().to_owned())
}

/// The name of a namespace.
pub(crate) fn namespace_name(reader: &mut Reader, at: &At<'_>) -> Option<Namespace> {
    reader.parsed(at, (63, codes::NAME), str::parse)
}

fn namespace(reader: &mut Reader, object: &At<'_>, scope: Scope) -> Option<Option<Namespace>> {
    match object.field("namespace") {
        Some(at) => namespace_name(reader, &at).map(Some),
        None if scope == Scope::Namespaced => Some(None),
        None => {
            let span = object.node.get("name").and_then(|name| name.span).or(object.span());
            let place = (&object.path.field("namespace"), span);
            let message = format!("`{}` needs a namespace: a ClusterPolicy has none of its own", object.path);
            reader.tell(codes::NAMESPACE_REQUIRED, place, message, Some("add `namespace`".to_owned()));
            None
        }
    }
}
