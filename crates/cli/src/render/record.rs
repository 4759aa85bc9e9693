//! A message for programs.

use bailiwick_compile::{Diagnostic, Severity};
use serde::Serialize;

use super::frame::Place;

/// A message for programs. Lines and columns count from 1, columns in characters.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    code: String,
    severity: &'static str,
    message: String,
    help: Option<String>,
    object: Option<String>,
    field: Option<String>,
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    documentation: String,
}

impl Record {
    /// `text` is the file that the message points into, if that is at hand.
    pub(crate) fn new(diagnostic: &Diagnostic, text: Option<&str>) -> Self {
        let place = Place::of(diagnostic, text);
        let field = diagnostic.field.as_str();
        Self {
            code: diagnostic.code.to_string(),
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            object: diagnostic.object.as_ref().map(ToString::to_string),
            field: (!field.is_empty()).then(|| field.to_owned()),
            file: diagnostic.location.file.as_ref().to_owned(),
            line: place.as_ref().map(|place| place.line),
            column: place.as_ref().map(|place| place.column),
            documentation: format!("docs/messages.md#{}", diagnostic.code.to_string().to_lowercase()),
        }
    }
}
