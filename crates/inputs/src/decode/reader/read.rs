//! Reads values: each method answers `None` exactly when a problem has been told.

use std::collections::HashSet;

use bailiwick_compile::Code;

use super::{At, Reader, shorten};
use crate::codes;
use crate::document::{Span, Value};
use bailiwick_compile::did_you_mean;

impl Reader {
    /// Tells that the value is not what is expected there.
    pub(crate) fn wrong_type(&mut self, at: &At<'_>, expected: &str) {
        let name = &at.path;
        match &at.node.value {
            Value::Null => {
                let help = Some(format!("remove it or write {expected}"));
                self.problem(codes::NULL, at, format!("`{name}` is null"), help);
            }
            Value::Ambiguous(text) => {
                let message = format!("`{text}` is not {expected} in every version of YAML");
                let help = Some(format!("quote it if a text is meant: \"{text}\""));
                self.problem(codes::AMBIGUOUS, at, message, help);
            }
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Sequence(_) | Value::Mapping(_) => {
                let message = format!("expected {expected}, found {}", at.node.describe());
                let help = match &at.node.value {
                    Value::Bool(value) if expected == "a text" => Some(format!("quote it: \"{value}\"")),
                    Value::Number(text) if expected == "a text" => Some(format!("quote it: \"{text}\"")),
                    Value::Text(text) if expected == "a number" && text.parse::<f64>().is_ok() => {
                        Some("remove the quotes".to_owned())
                    }
                    Value::Text(_) | Value::Number(_) | Value::Bool(_) if expected == "a list" => {
                        Some("write it as a list, `[…]`".to_owned())
                    }
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::Text(_)
                    | Value::Ambiguous(_)
                    | Value::Sequence(_)
                    | Value::Mapping(_) => None,
                };
                self.problem(codes::WRONG_TYPE, at, message, help);
            }
        }
    }

    /// The object, which must have at least one field.
    pub(crate) fn object<'a>(&mut self, at: &At<'a>) -> Option<At<'a>> {
        let Some(mapping) = at.node.mapping() else {
            self.wrong_type(at, "an object");
            return None;
        };
        if mapping.entries.is_empty() {
            self.problem(
                codes::EMPTY_OBJECT,
                at,
                format!("`{}` is empty", at.path),
                Some("say what is meant: nothing empty means all".to_owned()),
            );
            return None;
        }
        Some(at.clone())
    }

    /// An object that must be `{}`. Its unknown fields are told by the check of the shape.
    pub(crate) fn nothing(&mut self, at: &At<'_>) -> Option<()> {
        if at.node.mapping().is_none() {
            self.wrong_type(at, "`{}`");
            return None;
        }
        Some(())
    }

    /// The items of a list, which must have at least one and at most `maximum`.
    pub(crate) fn list<'a>(&mut self, at: &At<'a>, maximum: usize) -> Option<Vec<At<'a>>> {
        let Some(items) = at.node.sequence() else {
            self.wrong_type(at, "a list");
            return None;
        };
        if items.is_empty() {
            let help = Some(
                "add an item, or remove the field if it is optional: nothing empty means all".to_owned(),
            );
            self.problem(codes::EMPTY_LIST, at, format!("`{}` is an empty list", at.path), help);
            return None;
        }
        if items.len() > maximum {
            let message = format!("`{}` has {} items, at most {maximum} are allowed", at.path, items.len());
            self.problem(codes::TOO_MANY, at, message, Some("split the object".to_owned()));
            return None;
        }
        let item = |(index, node)| At { node, path: at.path.index(index), name_span: None };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A text of 1 to `maximum` characters.
    pub(crate) fn text<'a>(&mut self, at: &At<'a>, maximum: usize) -> Option<&'a str> {
        let Some(text) = at.node.text() else {
            self.wrong_type(at, "a text");
            return None;
        };
        // The schema's `maxLength` counts characters.
        let length = text.chars().count();
        if length == 0 {
            self.problem(codes::TEXT_LENGTH, at, format!("`{}` is empty", at.path), None);
            return None;
        }
        if length > maximum {
            let message = format!("`{}` has {length} characters, at most {maximum} are allowed", at.path);
            self.problem(codes::TEXT_LENGTH, at, message, None);
            return None;
        }
        Some(text)
    }

    /// A text that a parser accepts.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &mut self,
        at: &At<'_>,
        (maximum, code): (usize, Code),
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(at, maximum)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                // Parsers say what to do after a colon; people look for it in the help.
                let (message, help) = split_help(error.to_string());
                let help = help.or_else(|| usual_help(code));
                self.problem(code, at, message, help);
                None
            }
        }
    }

    /// A list of different texts, each read by `item`.
    pub(crate) fn set<'a, T>(
        &mut self,
        at: &At<'a>,
        maximum: usize,
        mut item: impl FnMut(&mut Self, &At<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut seen = HashSet::new();
        let mut values = Some(Vec::new());
        for at in self.list(at, maximum)? {
            let scalar = match &at.node.value {
                Value::Text(text) | Value::Number(text) | Value::Ambiguous(text) => Some(text.as_str()),
                Value::Null | Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) => None,
            };
            if let Some(text) = scalar
                && !seen.insert(text)
            {
                let help = Some("remove one".to_owned());
                self.problem(codes::DUPLICATE_ITEM, &at, format!("`{text}` occurs twice"), help);
            }
            gather(&mut values, item(self, &at));
        }
        values
    }

    /// A list of objects, each read by `item`.
    pub(crate) fn each<'a, T>(
        &mut self,
        at: &At<'a>,
        maximum: usize,
        mut item: impl FnMut(&mut Self, &At<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut values = Some(Vec::new());
        for at in self.list(at, maximum)? {
            gather(&mut values, item(self, &at));
        }
        values
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, at: &At<'_>, words: &[(&'static str, T)]) -> Option<T> {
        let Some(text) = at.node.text() else {
            self.wrong_type(at, "a text");
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let all: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let help = match did_you_mean(words.iter().map(|(word, _)| *word), text) {
            Some(near) => format!("did you mean `{near}`? The values are {}", all.join(", ")),
            None => format!("the values are {}", all.join(", ")),
        };
        let message = format!("`{}` is not a value of `{}`", shorten(text), at.path);
        self.problem(codes::UNKNOWN_VALUE, at, message, Some(help));
        None
    }

    /// A field that must be there.
    pub(crate) fn required<'a>(&mut self, object: &At<'a>, name: &str) -> Option<At<'a>> {
        let found = object.field(name);
        if found.is_none() {
            self.missing(object, name);
        }
        found
    }

    /// Tells that a field is missing, at the place of the object.
    pub(crate) fn missing(&mut self, object: &At<'_>, name: &str) {
        if self.was_suggested(&object.path, &[name]) {
            return;
        }
        let place = (&object.path.field(name), head(object));
        let owner = if object.path.as_str().is_empty() { "the object" } else { object.path.as_str() };
        self.tell(
            codes::MISSING_FIELD,
            place,
            format!("`{name}` is missing in `{owner}`"),
            Some(format!("add `{name}`")),
        );
    }

    /// The one field of several that is there.
    pub(crate) fn exactly_one<'a>(
        &mut self,
        object: &At<'a>,
        names: &[&'static str],
    ) -> Option<(&'static str, At<'a>)> {
        let mut found = names.iter().filter_map(|name| Some((*name, object.field(name)?)));
        let (first, second) = (found.next(), found.next());
        let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        match (first, second) {
            (Some(only), None) => Some(only),
            (Some((one, _)), Some((other, at))) => {
                let message = format!("`{one}` and `{other}` exclude each other");
                let help = Some(format!("keep exactly one of {}", all.join(", ")));
                self.tell(codes::EXACTLY_ONE, (&at.path, at.name_span()), message, help);
                None
            }
            (None, _) => {
                if self.was_suggested(&object.path, names) {
                    return None;
                }
                let help = Some(format!("add exactly one of {}", all.join(", ")));
                let message = format!("`{}` has none of {}", object.path, all.join(", "));
                self.tell(codes::EXACTLY_ONE, (&object.path, head(object)), message, help);
                None
            }
        }
    }

    /// Tells that a field has no meaning beside the others.
    pub(crate) fn not_here(&mut self, at: &At<'_>, message: &str, help: &str) {
        self.tell(
            codes::NOT_ALLOWED_HERE,
            (&at.path, at.name_span()),
            message.to_owned(),
            Some(help.to_owned()),
        );
    }
}

/// Adds a value, or remembers that one is missing: a list of which an item broke is broken.
fn gather<T>(values: &mut Option<Vec<T>>, value: Option<T>) {
    match (values.as_mut(), value) {
        (Some(values), Some(value)) => values.push(value),
        (_, None) => *values = None,
        (None, Some(_)) => {}
    }
}

/// The place that stands for a whole object: its name, or its first field.
fn head(object: &At<'_>) -> Option<Span> {
    let first = || object.node.mapping()?.entries.first()?.key_span;
    object.name_span.or_else(first).or(object.node.span)
}

/// What to do where the parser only says what is wrong.
fn usual_help(code: Code) -> Option<String> {
    let help = match code {
        codes::PATH_TEMPLATE => "write a path as in `/orders/{id}` or `/static/**`",
        codes::HOST => "write a host as in `orders.shop` or `*.example.com`",
        codes::TRUST_DOMAIN => "write a domain as in `cluster.local`",
        _ => return None,
    };
    Some(help.to_owned())
}

/// Parts `what is wrong: what to do`; a colon inside of the user's text parts nothing.
fn split_help(full: String) -> (String, Option<String>) {
    match full.rsplit_once(": ") {
        Some((message, help)) if message.matches('`').count() % 2 == 0 => {
            (message.to_owned(), Some(help.to_owned()))
        }
        Some(_) | None => (full, None),
    }
}
