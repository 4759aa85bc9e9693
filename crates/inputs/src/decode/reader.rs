//! Reads values of one object and collects every mistake, each with its field and place.
//!
//! Every `read` method answers `None` exactly when it has told a problem, so a decoder that lacks a value never has to
//! tell why again.

use std::collections::HashSet;
use std::sync::Arc;

use bailiwick_compile::{Code, Diagnostic, FieldPath, ObjectKey, Severity, SourceLocation};

use crate::codes;
use crate::document::{Node, Span, Value};
use crate::suggest::did_you_mean;

/// The most problems of one object that are told: a hostile object must not fill the memory with messages.
const MAXIMUM_PROBLEMS: usize = 200;

/// A node with its path, and the place of its name for when the value has none.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a Node,
    pub(crate) path: FieldPath,
    pub(crate) name_span: Option<Span>,
}

impl<'a> At<'a> {
    pub(crate) const fn root(node: &'a Node) -> Self {
        Self { node, path: FieldPath::root(), name_span: None }
    }

    /// A field of this object, if it is there; `null` is there.
    pub(crate) fn field(&self, name: &str) -> Option<Self> {
        let entry = self.node.entry(name)?;
        Some(Self { node: &entry.value, path: self.path.field(name), name_span: entry.key_span })
    }

    /// The place of the value, or of its name where the value is left out.
    pub(crate) fn span(&self) -> Option<Span> {
        match self.node.span {
            Some((start, end)) if start == end => self.name_span.or(self.node.span),
            span => span,
        }
    }

    /// The place of the field's name, or of the value where it has none.
    pub(crate) const fn name_span(&self) -> Option<Span> {
        if self.name_span.is_some() { self.name_span } else { self.node.span }
    }
}

/// Collects what is wrong with one object.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) file: Arc<str>,
    pub(crate) object: Option<ObjectKey>,
    problems: Vec<Diagnostic>,
    untold: usize,
    suggested: Vec<(FieldPath, &'static str)>,
}

impl Reader {
    pub(crate) const fn new(file: Arc<str>, object: Option<ObjectKey>) -> Self {
        Self { file, object, problems: Vec::new(), untold: 0, suggested: Vec::new() }
    }

    /// Remembers that an unknown field of an object is probably this one, so that it is not told as missing too.
    pub(crate) fn suggest(&mut self, object: &FieldPath, name: &'static str) {
        self.suggested.push((object.clone(), name));
    }

    /// True if one of these fields was probably meant by an unknown one.
    pub(crate) fn was_suggested(&self, object: &FieldPath, names: &[&str]) -> bool {
        self.suggested.iter().any(|(path, name)| path == object && names.contains(name))
    }

    /// True if nothing is wrong at or below a field of `spec`, nor with `spec` as a whole.
    pub(crate) fn sound(&self, path: &str) -> bool {
        let touches = |problem: &Diagnostic| {
            let field = problem.field.as_str();
            matches!(field, "" | "spec")
                || field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        // FAIL-CLOSED: an untold problem may be anywhere.
        self.untold == 0 && !self.problems.iter().any(touches)
    }

    /// True if an unknown field stands directly in an object.
    pub(crate) fn has_unknown_field(&self, object: &FieldPath) -> bool {
        let unknown = |problem: &Diagnostic| {
            problem.code == codes::UNKNOWN_FIELD
                && problem
                    .field
                    .as_str()
                    .strip_prefix(object.as_str())
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|name| !name.contains(['.', '[']))
        };
        self.untold > 0 || self.problems.iter().any(unknown)
    }

    /// Every problem, by place.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        // The order of checks is no order for people. Stable: problems of one place stay as found.
        self.problems.sort_by_key(|problem| problem.location.span);
        if self.untold > 0 {
            let message = format!("{} more mistakes in this object are not listed", self.untold);
            let location = SourceLocation { file: self.file, span: None };
            let severity = Severity::Error;
            let (code, field, object) = (codes::MORE, FieldPath::root(), self.object);
            self.problems.push(Diagnostic { code, severity, object, field, location, message, help: None });
        }
        self.problems
    }

    /// Tells a problem at a place.
    pub(crate) fn tell(&mut self, code: Code, place: (&FieldPath, Option<Span>), message: String, help: Option<String>) {
        if self.problems.len() >= MAXIMUM_PROBLEMS {
            self.untold += 1;
            return;
        }
        self.problems.push(Diagnostic {
            code,
            severity: Severity::Error,
            object: self.object.clone(),
            field: place.0.clone(),
            location: SourceLocation { file: Arc::clone(&self.file), span: place.1 },
            message,
            help,
        });
    }

    /// Tells a problem of a value.
    pub(crate) fn problem(&mut self, code: Code, at: &At<'_>, message: String, help: Option<String>) {
        self.tell(code, (&at.path, at.span()), message, help);
    }

    /// True if suggestions are still worth computing.
    pub(crate) const fn listens(&self) -> bool {
        self.problems.len() < MAXIMUM_PROBLEMS
    }

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
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Ambiguous(_)
                    | Value::Sequence(_) | Value::Mapping(_) => None,
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
            self.problem(codes::EMPTY_OBJECT, at, format!("`{}` is empty", at.path), Some(
                "say what is meant: nothing empty means all".to_owned(),
            ));
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
            let help = Some("add an item, or remove the field if it is optional: nothing empty means all".to_owned());
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
        self.tell(codes::MISSING_FIELD, place, format!("`{name}` is missing in `{owner}`"), Some(format!("add `{name}`")));
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
        self.tell(codes::NOT_ALLOWED_HERE, (&at.path, at.name_span()), message.to_owned(), Some(help.to_owned()));
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

/// Parts `what is wrong: what to do`; a colon inside of the user's text parts nothing.
fn split_help(full: String) -> (String, Option<String>) {
    match full.rsplit_once(": ") {
        Some((message, help)) if message.matches('`').count() % 2 == 0 => (message.to_owned(), Some(help.to_owned())),
        Some(_) | None => (full, None),
    }
}

/// A text short enough for a message.
pub(crate) fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(79).chain(['…']).collect() }
}
