//! Which fields of an object go together. Kubernetes needs a structural schema: one set of properties, and rules beside
//! it that only name them; so unions are structs of options with one of these rules.

use schemars::Schema;
use serde_json::{Value, json};

/// Exactly one field, and no other: for unions with nothing beside them.
pub(crate) fn one_field(schema: &mut Schema) {
    schema.insert("minProperties".to_owned(), json!(1));
    schema.insert("maxProperties".to_owned(), json!(1));
}

/// At least one field of any name.
pub(crate) fn not_empty(schema: &mut Schema) {
    schema.insert("minProperties".to_owned(), json!(1));
}

/// An object that says all it has to say by being there.
pub(crate) fn no_fields(schema: &mut Schema) {
    schema.insert("maxProperties".to_owned(), json!(0));
}

/// Exactly one of these fields, whatever stands beside them.
pub(crate) fn exactly_one(fields: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("oneOf".to_owned(), each_required(fields));
    }
}

/// At least one of these fields.
pub(crate) fn at_least_one(fields: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("anyOf".to_owned(), each_required(fields));
    }
}

/// This field stands alone or not at all.
pub(crate) fn exclusive(field: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| all_of(schema, json!({ "not": { "required": [field], "minProperties": 2 } }))
}

/// None of `fields` where the field `tag` has one of `values`.
pub(crate) fn never(
    tag: &'static str,
    values: &'static [&'static str],
    fields: &'static [&'static str],
) -> impl FnMut(&mut Schema) {
    move |schema| {
        let forbidden = json!({ "properties": { tag: { "enum": values } }, "anyOf": each_required(fields) });
        all_of(schema, json!({ "not": forbidden }));
    }
}

/// The field `field` where the field `tag` has one of `values`.
pub(crate) fn requires(
    tag: &'static str,
    values: &'static [&'static str],
    field: &'static str,
) -> impl FnMut(&mut Schema) {
    move |schema| {
        let forbidden = json!({ "properties": { tag: { "enum": values } }, "not": { "required": [field] } });
        all_of(schema, json!({ "not": forbidden }));
    }
}

/// Both fields or neither.
pub(crate) fn together(one: &'static str, other: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| {
        for (present, absent) in [(one, other), (other, one)] {
            all_of(schema, json!({ "not": { "required": [present], "not": { "required": [absent] } } }));
        }
    }
}

fn each_required(fields: &[&str]) -> Value {
    fields.iter().map(|field| json!({ "required": [field] })).collect()
}

fn all_of(schema: &mut Schema, rule: Value) {
    match schema.get_mut("allOf") {
        Some(Value::Array(rules)) => rules.push(rule),
        Some(_) | None => {
            schema.insert("allOf".to_owned(), json!([rule]));
        }
    }
}
