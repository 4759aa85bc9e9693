//! The last step from a derived schema to what the API server is given.

use schemars::Schema;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Value, json};

/// Of a spec: `null` is an error, and every object keeps unknown fields.
pub(crate) fn structural_spec(schema: &mut Schema) {
    Structural { keep_unknown: true }.transform(schema);
}

/// Of a status: only the operator writes it, so the API server may prune.
pub(crate) fn structural_status(schema: &mut Schema) {
    Structural { keep_unknown: false }.transform(schema);
}

struct Structural {
    keep_unknown: bool,
}

impl Transform for Structural {
    fn transform(&mut self, schema: &mut Schema) {
        refuse_null(schema);
        transform_subschemas(self, schema);
        join_lines(schema);
        drop_foreign_format(schema);
        // FAIL-CLOSED: the API server prunes unknown fields before anyone sees them; a pruned `targets` or `when` would
        // select more than was written. Kept, it reaches the strict decoder, which refuses the object.
        if self.keep_unknown && schema.get("type").and_then(Value::as_str) == Some("object") {
            schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
        }
    }
}

/// An optional field may be left out, but not be `null`: schemars' `Option<T>` allows both.
fn refuse_null(schema: &mut Schema) {
    if let Some(only) = only_non_null(schema) {
        schema.remove("anyOf");
        for (key, value) in only {
            // What stands beside `anyOf` is of the field, what is inside is of its type: the field's text wins.
            if schema.get(&key).is_none() {
                schema.insert(key, value);
            }
        }
    }
    if let Some(Value::Array(types)) = schema.get("type")
        && let Some(kind) = types.iter().find(|kind| *kind != "null").cloned()
    {
        schema.insert("type".to_owned(), kind);
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    schema.remove("nullable");
}

fn only_non_null(schema: &Schema) -> Option<serde_json::Map<String, Value>> {
    match schema.get("anyOf")?.as_array()?.as_slice() {
        [Value::Object(only), null] if null.get("type").and_then(Value::as_str) == Some("null") => {
            Some(only.clone())
        }
        [..] => None,
    }
}

/// Source lines are wrapped for editors; `kubectl explain` wraps for the terminal. Paragraphs stay.
fn join_lines(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs: Vec<String> = text
            .split("\n\n")
            .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        *text = paragraphs.join("\n\n");
    }
}

/// The API server knows `int32` and `int64` and warns about `uint16`; the bounds say the same.
fn drop_foreign_format(schema: &mut Schema) {
    let foreign =
        schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint"));
    if foreign {
        schema.remove("format");
    }
}
