//! A document as a tree of nodes, each with its place.
//!
//! ```text
//!  file --split--> documents' texts --yaml--> Node tree (spans)    \
//!  serde_json::Value (API server) --json--> Node tree (no spans)   --> decode
//! ```

mod faults;
mod json;
mod split;
mod yaml;

#[cfg(test)]
mod tests;

pub(crate) use faults::{FaultKind, faults};
pub(crate) use json::from_json;
pub(crate) use split::{Chunk, split};
pub(crate) use yaml::{ParseProblem, ParseProblemKind, parse};

/// The first byte and the byte after the last, in the file.
pub(crate) type Span = (usize, usize);

/// The most bytes of one document: what the API server would store at all.
pub(crate) const MAXIMUM_DOCUMENT: usize = 1024 * 1024;
/// The most bytes of one file.
pub(crate) const MAXIMUM_FILE: usize = 16 * 1024 * 1024;
/// The most nodes of one document, copies made by aliases included.
pub(crate) const MAXIMUM_NODES: usize = 200_000;
/// The deepest nesting. Schemas of other kinds nest deeply; ours need 12 levels.
pub(crate) const MAXIMUM_DEPTH: usize = 128;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The value.
    pub(crate) value: Value,
    /// Its place; `None` where there is no text. Empty (start = end) for a value that is left out.
    pub(crate) span: Option<Span>,
    /// True if the node has a YAML tag. Tags are refused where the node is read.
    pub(crate) tagged: bool,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A text.
    Text(String),
    /// An unquoted text that YAML 1.1, which Kubernetes reads, takes for something else than YAML 1.2 does: `yes`,
    /// `off`, `0777`, `1_000`. FAIL-CLOSED: nowhere is it read as either.
    Ambiguous(String),
    /// A list.
    Sequence(Vec<Node>),
    /// An object.
    Mapping(Mapping),
}

/// An object: its fields in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Mapping {
    /// The fields, each name once: of a repeated one, the first.
    pub(crate) entries: Vec<Entry>,
    /// Names that occur again.
    pub(crate) repeated: Vec<Repeated>,
}

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) key: String,
    /// The place of the name.
    pub(crate) key_span: Option<Span>,
    /// True if the name is unquoted and not a text in every version of YAML.
    pub(crate) key_ambiguous: bool,
    /// Its value.
    pub(crate) value: Node,
}

/// A name that occurs again in one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Repeated {
    /// The name.
    pub(crate) key: String,
    /// Where it occurs first.
    pub(crate) first: Option<Span>,
    /// Where it occurs again.
    pub(crate) again: Option<Span>,
}

impl Node {
    /// A node without a tag.
    pub(crate) const fn new(value: Value, span: Option<Span>) -> Self {
        Self { value, span, tagged: false }
    }

    /// The value of a field, if this is an object that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// A field, if this is an object that has it.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.mapping()?.entries.iter().find(|entry| entry.key == name)
    }

    /// The fields, if this is an object.
    pub(crate) const fn mapping(&self) -> Option<&Mapping> {
        if let Value::Mapping(mapping) = &self.value { Some(mapping) } else { None }
    }

    /// The items, if this is a list.
    pub(crate) fn sequence(&self) -> Option<&[Self]> {
        if let Value::Sequence(items) = &self.value { Some(items) } else { None }
    }

    /// The text, if this is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// True if there is no value.
    pub(crate) const fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What the value is, for messages, with the user's text where it is short.
    pub(crate) fn describe(&self) -> String {
        let quoted = |what: &str, text: &str| {
            if text.chars().count() <= 64 { format!("the {what} `{text}`") } else { format!("a long {what}") }
        };
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => format!("the truth value `{value}`"),
            Value::Number(text) => quoted("number", text),
            Value::Text(text) => quoted("text", text),
            Value::Ambiguous(text) => quoted("unquoted word", text),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "an object".to_owned(),
        }
    }
}
