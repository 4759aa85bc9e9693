//! A message with the line that it is about, a caret under the place, and what to do.

use bailiwick_compile::{Diagnostic, Severity};

/// Renders one message. `text` is the file that it points into, if that is at hand.
pub(crate) fn frame(diagnostic: &Diagnostic, text: Option<&str>) -> String {
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut out = format!("{word}[{}]: {}\n", diagnostic.code, diagnostic.message);
    let place = Place::of(diagnostic, text);
    let margin = place.as_ref().map_or(1, |place| place.line.to_string().len());
    let blank = " ".repeat(margin);
    match &place {
        Some(place) => place.push(&mut out, &diagnostic.location.file, &blank),
        None => out.push_str(&format!("{blank}--> {}\n", diagnostic.location.file)),
    }
    if let Some(object) = &diagnostic.object {
        let field = diagnostic.field.as_str();
        let at = if field.is_empty() { String::new() } else { format!(", at `{field}`") };
        out.push_str(&format!("{blank} = in {object}{at}\n"));
    }
    if let Some(help) = &diagnostic.help {
        out.push_str(&format!("{blank} = help: {help}\n"));
    }
    out
}

/// A place in a text. Line and column count from 1, the column in characters.
pub(super) struct Place<'a> {
    pub(super) line: usize,
    pub(super) column: usize,
    width: usize,
    text: &'a str,
}

impl<'a> Place<'a> {
    /// The place that a message is about.
    pub(super) fn of(diagnostic: &Diagnostic, text: Option<&'a str>) -> Option<Self> {
        let (start, end) = diagnostic.location.span?;
        Self::find(text?, start, end)
    }

    fn find(text: &'a str, start: usize, end: usize) -> Option<Self> {
        let before = text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(line_start..)?.lines().next().unwrap_or_default();
        let lead = text.get(line_start..start)?;
        let marked = text.get(start..end.max(start)).unwrap_or_default().lines().next().unwrap_or_default();
        Some(Self {
            line: before.matches('\n').count() + 1,
            column: lead.chars().count() + 1,
            width: marked.trim_end().chars().count().max(1),
            text: line,
        })
    }

    fn push(&self, out: &mut String, file: &str, blank: &str) {
        let Self { line, column, width, text } = self;
        // A tab is one column of text and many of a screen.
        let text = text.replace('\t', " ");
        let (before, caret) = (" ".repeat(column - 1), "^".repeat(*width));
        out.push_str(&format!(
            "{blank}--> {file}:{line}:{column}\n{blank} |\n{line} | {text}\n{blank} | {before}{caret}\n"
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bailiwick_compile::{Code, FieldPath, SourceLocation};

    use super::*;

    #[test]
    fn a_frame_shows_the_line_the_caret_and_the_help() {
        let text = "spec:\n  cidr: 10.0.0.1/8\n";
        let start = text.find("10.0").unwrap();
        let diagnostic = Diagnostic {
            code: Code(42),
            severity: Severity::Error,
            object: None,
            field: FieldPath::root(),
            location: SourceLocation { file: Arc::from("a.yaml"), span: Some((start, start + 10)) },
            message: "`10.0.0.1/8` has host bits set".to_owned(),
            help: Some("did you mean `10.0.0.0/8`?".to_owned()),
        };
        let expected = "error[BW0042]: `10.0.0.1/8` has host bits set\n --> a.yaml:2:9\n  |\n2 |   cidr: 10.0.0.1/8\n  |         ^^^^^^^^^^\n  = help: did you mean `10.0.0.0/8`?\n";
        assert_eq!(frame(&diagnostic, Some(text)), expected);
    }

    #[test]
    fn a_place_past_the_end_is_no_panic() {
        let diagnostic = Diagnostic {
            code: Code(1),
            severity: Severity::Warning,
            object: None,
            field: FieldPath::root(),
            location: SourceLocation { file: Arc::from("a.yaml"), span: Some((900, 901)) },
            message: "gone".to_owned(),
            help: None,
        };
        assert_eq!(frame(&diagnostic, Some("x")), "warning[BW0001]: gone\n --> a.yaml\n");
    }
}
