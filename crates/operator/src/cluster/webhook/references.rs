//! What an accepted object refers to and is not there: a warning for whoever writes it, and no reason to refuse it.

use bailiwick_compile::{Diagnostic, ObjectKind, compile};
use bailiwick_inputs::{ApiObject, world_of};
use serde_json::Value;

use crate::cluster::stores::Stores;

/// More are not compiled while somebody waits: then the status alone says it.
const MOST_OBJECTS: usize = 2_000;

/// What the object names and is missing or broken, as far as the reflectors know.
pub(super) fn unresolved(stores: &Stores, object: &Value) -> Vec<Diagnostic> {
    let text = |field: &str| object.pointer(&format!("/metadata/{field}")).and_then(Value::as_str);
    let (name, namespace) = (text("name").unwrap_or_default(), text("namespace").unwrap_or_default());
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    // The new version stands for the old one.
    let other = |of: ObjectKind, at: &crate::cluster::stores::Name| {
        of.as_str() != kind || at.name != name || at.namespace != namespace
    };
    let mut objects = vec![ApiObject::decode(object)];
    if let Some(roles) = stores.of_kind(ObjectKind::Role) {
        let roles = roles.list().into_iter().filter(|(at, _)| other(ObjectKind::Role, at));
        objects.extend(roles.map(|(_, item)| item.content.decoded.clone()));
    }
    let services = stores.services.list().into_iter().filter(|(at, _)| at.namespace == namespace);
    objects.extend(services.map(|(_, item)| item.content.decoded.object.clone()));
    if objects.len() > MOST_OBJECTS {
        return Vec::new();
    }
    let (world, _) = world_of(&objects);
    compile(&world)
        .objects
        .into_iter()
        .filter(|(key, _)| key.kind.as_str() == kind && key.name == name && key.namespace == namespace)
        .filter_map(|(_, outcome)| outcome.resolved_refs.err())
        .flatten()
        .collect()
}
