//! What messages about an object need of it.

use std::collections::BTreeMap;

use crate::{Code, Diagnostic, FieldPath, FieldSpans, Object, ObjectKey, Severity, SourceLocation};

/// An object without its spec.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) key: &'a ObjectKey,
    pub(crate) generation: i64,
    location: &'a SourceLocation,
    fields: &'a FieldSpans,
}

impl<'a> Head<'a> {
    pub(crate) const fn of<S>(object: &'a Object<S>) -> Self {
        Self {
            key: &object.key,
            generation: object.generation,
            location: &object.location,
            fields: &object.fields,
        }
    }

    pub(crate) fn has_field(&self, field: &FieldPath) -> bool {
        self.fields.contains_key(field)
    }

    /// The place of a field; of the nearest field around it, or of the object, if its own is not known.
    pub(crate) fn location_of(&self, field: &FieldPath) -> SourceLocation {
        let mut wanted = Some(field.clone());
        while let Some(path) = wanted {
            if let Some(span) = self.fields.get(&path) {
                return SourceLocation { file: self.location.file.clone(), span: Some(*span) };
            }
            wanted = path.parent();
        }
        self.location.clone()
    }

    pub(crate) fn error(&self, code: Code, field: &FieldPath, message: String) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            object: Some(self.key.clone()),
            location: self.location_of(field),
            field: field.clone(),
            message,
            help: None,
        }
    }

    pub(crate) fn warning(&self, code: Code, field: &FieldPath, message: String) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.error(code, field, message) }
    }
}

/// A message with what to do.
pub(crate) fn with_help(mut diagnostic: Diagnostic, help: impl Into<String>) -> Diagnostic {
    diagnostic.help = Some(help.into());
    diagnostic
}

/// A field of a spec, `spec.<name>`.
pub(crate) fn spec_field(name: &str) -> FieldPath {
    FieldPath::root().field("spec").field(name)
}

/// Objects by key. More than one of a key is a mistake; those are sorted, so that input order changes nothing.
pub(crate) fn by_key<S: std::fmt::Debug>(objects: &[Object<S>]) -> BTreeMap<&ObjectKey, Vec<&Object<S>>> {
    let mut groups: BTreeMap<&ObjectKey, Vec<&Object<S>>> = BTreeMap::new();
    for object in objects {
        groups.entry(&object.key).or_default().push(object);
    }
    for group in groups.values_mut().filter(|group| group.len() > 1) {
        group.sort_by_cached_key(|object| {
            (object.location.clone(), object.generation, format!("{:?}", object.spec))
        });
    }
    groups
}

/// The message on each valid one of several objects of one key.
pub(crate) fn duplicate(head: &Head<'_>, others: usize) -> Diagnostic {
    let field = FieldPath::root().field("metadata").field("name");
    let message = format!("`{}` is defined {} times, so none of them counts", head.key, others + 1);
    with_help(head.error(crate::codes::DUPLICATE, &field, message), "remove all but one")
}

/// One sentence for every mistake of an object: the first, and how many more there are.
pub(crate) fn sentence(problems: &[Diagnostic]) -> String {
    let Some(first) = problems.first() else { return "the object does not compile".to_owned() };
    let place = if first.field.as_str().is_empty() { String::new() } else { format!("`{}`: ", first.field) };
    let more = match problems.len() {
        0 | 1 => String::new(),
        2 => "; and 1 more mistake".to_owned(),
        many => format!("; and {} more mistakes", many - 1),
    };
    format!("{place}{}{more}", first.message)
}
