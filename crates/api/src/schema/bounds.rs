//! Bounds of lists, maps and numbers. Nothing is unbounded: an object is read by the API server, held by every replica
//! and compiled, so its size is part of the contract.

use schemars::Schema;
use serde_json::{Value, json};

/// A list whose order or repetition means something, or whose entries have no key. Server-side apply owns it as a whole.
pub(crate) fn list(maximum: u32, item: impl FnMut(&mut Schema)) -> impl FnMut(&mut Schema) {
    array(maximum, json!("atomic"), item)
}

/// A list of different scalars.
pub(crate) fn set(maximum: u32, item: impl FnMut(&mut Schema)) -> impl FnMut(&mut Schema) {
    array(maximum, json!("set"), item)
}

/// A list of objects with a key: each key at most once, each entry owned by itself.
pub(crate) fn map(maximum: u32, key: &'static str) -> impl FnMut(&mut Schema) {
    let mut array = array(maximum, json!("map"), |_| {});
    move |schema| {
        array(schema);
        schema.insert("x-kubernetes-list-map-keys".to_owned(), json!([key]));
    }
}

fn array(maximum: u32, kind: Value, mut item: impl FnMut(&mut Schema)) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("minItems".to_owned(), json!(1));
        schema.insert("maxItems".to_owned(), json!(maximum));
        schema.insert("x-kubernetes-list-type".to_owned(), kind.clone());
        if let Some(items) = schema.get_mut("items").and_then(|items| <&mut Schema>::try_from(items).ok()) {
            item(items);
        }
    }
}

/// A free-form map of label names to label values.
pub(crate) fn labels(schema: &mut Schema) {
    schema.insert("minProperties".to_owned(), json!(1));
    schema.insert("maxProperties".to_owned(), json!(64));
    let value = schema.get_mut("additionalProperties").and_then(|value| <&mut Schema>::try_from(value).ok());
    if let Some(value) = value {
        super::label_value(value);
    }
}

/// A whole number within bounds, both included.
pub(crate) fn number(minimum: u32, maximum: u32) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("minimum".to_owned(), json!(minimum));
        schema.insert("maximum".to_owned(), json!(maximum));
    }
}

/// A string, a truth value or a number. A structural schema cannot say that (a node has one type or none), so the node
/// has none and the strict decoder refuses the rest.
pub(crate) fn claim_value(schema: &mut Schema) {
    schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
    schema.insert("maxLength".to_owned(), json!(1024));
    schema.insert("maxItems".to_owned(), json!(0));
    schema.insert("maxProperties".to_owned(), json!(0));
}
