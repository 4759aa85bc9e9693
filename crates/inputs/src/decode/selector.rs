//! Label selectors.

use std::collections::BTreeMap;

use bailiwick_compile::{LabelSelector, Requirement, SelectorOperator};
use bailiwick_identity::WorkloadName;

use super::reader::{At, Reader, shorten};
use crate::codes;
use crate::document::Value;

/// A selector with at least one requirement.
pub(crate) fn selector(reader: &mut Reader, at: &At<'_>) -> Option<LabelSelector> {
    let object = reader.object(at)?;
    let labels = match object.field("matchLabels") {
        Some(at) => labels(reader, &at),
        None => Some(BTreeMap::new()),
    };
    let expressions = match object.field("matchExpressions") {
        Some(at) => reader.each(&at, 64, requirement),
        None => Some(Vec::new()),
    };
    let (labels, expressions) = (labels?, expressions?);
    if labels.is_empty() && expressions.is_empty() {
        // Only unknown fields: they are told, and what is left must not read as everything.
        reader.exactly_one(&object, &["matchLabels", "matchExpressions"]);
        return None;
    }
    Some(LabelSelector { labels, expressions })
}

fn labels(reader: &mut Reader, at: &At<'_>) -> Option<BTreeMap<String, String>> {
    let object = reader.object(at)?;
    let entries = &object.node.mapping()?.entries;
    if entries.len() > 64 {
        let message = format!("`{}` has {} labels, at most 64 are allowed", at.path, entries.len());
        reader.problem(codes::TOO_MANY, at, message, None);
        return None;
    }
    let mut labels = Some(BTreeMap::new());
    for entry in entries {
        let value = At { node: &entry.value, path: at.path.field(&entry.key), name_span: entry.key_span };
        let key_is_sound = is_key(&entry.key);
        if !key_is_sound {
            let place = (&value.path, entry.key_span.or(at.node.span));
            let message = format!("`{}` is not a label's name", shorten(&entry.key));
            reader.tell(codes::LABEL, place, message, Some(KEY_HELP.to_owned()));
        }
        let text = label_value(reader, &value).filter(|_| key_is_sound);
        match (labels.as_mut(), text) {
            (Some(labels), Some(text)) => {
                labels.insert(entry.key.clone(), text);
            }
            (_, None) => labels = None,
            (None, Some(_)) => {}
        }
    }
    labels
}

fn requirement(reader: &mut Reader, at: &At<'_>) -> Option<Requirement> {
    let object = reader.object(at)?;
    let key = reader.required(&object, "key").and_then(|at| key(reader, &at));
    let words = [
        ("In", Operator::In),
        ("NotIn", Operator::NotIn),
        ("Exists", Operator::Exists),
        ("DoesNotExist", Operator::DoesNotExist),
    ];
    let operator = reader.required(&object, "operator").and_then(|at| reader.word(&at, &words))?;
    let values = object.field("values");
    let operator = match (operator, values) {
        (Operator::In | Operator::NotIn, None) => {
            reader.missing(&object, "values");
            return None;
        }
        (Operator::In, Some(at)) => SelectorOperator::In(reader.set(&at, 64, label_value)?),
        (Operator::NotIn, Some(at)) => SelectorOperator::NotIn(reader.set(&at, 64, label_value)?),
        (Operator::Exists | Operator::DoesNotExist, Some(at)) => {
            reader.not_here(
                &at,
                "this operator takes no `values`",
                "remove `values`, or use `In` or `NotIn`",
            );
            return None;
        }
        (Operator::Exists, None) => SelectorOperator::Exists,
        (Operator::DoesNotExist, None) => SelectorOperator::DoesNotExist,
    };
    Some(Requirement { key: key?, operator })
}

#[derive(Clone, Copy)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

const KEY_HELP: &str = "use at most 63 letters, digits, `-`, `_` and `.`, optionally after a DNS name and `/`, as in `app.kubernetes.io/name`";

fn key(reader: &mut Reader, at: &At<'_>) -> Option<String> {
    let text = reader.text(at, 317)?;
    if !is_key(text) {
        let message = format!("`{}` is not a label's name", shorten(text));
        reader.problem(codes::LABEL, at, message, Some(KEY_HELP.to_owned()));
        return None;
    }
    Some(text.to_owned())
}

fn label_value(reader: &mut Reader, at: &At<'_>) -> Option<String> {
    // A label's value may be empty; `text` would refuse that.
    if let Value::Text(text) = &at.node.value
        && (text.is_empty() || is_name(text))
    {
        return Some(text.clone());
    }
    let text = reader.text(at, 63)?;
    let message = format!("`{}` is not a label's value", shorten(text));
    let help = "use at most 63 letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit";
    reader.problem(codes::LABEL, at, message, Some(help.to_owned()));
    None
}

/// A label's name (Kubernetes' qualified name).
fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => prefix.parse::<WorkloadName>().is_ok() && is_name(name),
        None => is_name(text),
    }
}

fn is_name(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    bytes.len() <= 63 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}
