//! Reads values of one object and collects every mistake, each with its field and place.
//!
//! Every `read` method answers `None` exactly when it has told a problem, so a decoder that lacks a value never has to
//! tell why again.

mod read;

use std::sync::Arc;

use bailiwick_compile::{Code, Diagnostic, FieldPath, ObjectKey, Severity, SourceLocation};

use crate::codes;
use crate::document::{Node, Span};

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
                || field
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
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
    pub(crate) fn tell(
        &mut self,
        code: Code,
        place: (&FieldPath, Option<Span>),
        message: String,
        help: Option<String>,
    ) {
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
}

/// A text short enough for a message.
pub(crate) fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(79).chain(['…']).collect() }
}
