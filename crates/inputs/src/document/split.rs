//! A file's text cut into documents, so that a broken one does not hide the others.
//!
//! A line that starts with `---` and then has a blank or its end always separates documents (YAML 1.2.2, section 9.1.2:
//! not even a block scalar can hold one), so the cut needs no parser.

/// The text of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    /// Its text, with the separator that begins it.
    pub(crate) text: &'a str,
    /// Its first byte in the file.
    pub(crate) offset: usize,
}

/// The documents of a text, without those that hold only blanks, comments and directives. A byte order mark at the
/// start is skipped.
pub(crate) fn split(text: &str) -> Vec<Chunk<'_>> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut offset = text.len() - body.len();
    let mut chunks = Vec::new();
    let mut start = offset;
    for line in body.split_inclusive('\n') {
        if is_separator(line) && offset > start {
            push(&mut chunks, text, start, offset);
            start = offset;
        }
        offset += line.len();
    }
    push(&mut chunks, text, start, offset);
    chunks
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn push<'a>(chunks: &mut Vec<Chunk<'a>>, whole: &'a str, start: usize, end: usize) {
    if let Some(text) = whole.get(start..end)
        && !text.lines().all(says_nothing)
    {
        chunks.push(Chunk { text, offset: start });
    }
}

/// A `%YAML` directive stands before the separator of its document and would be cut off from it; it changes nothing.
fn says_nothing(line: &str) -> bool {
    let line = line.trim();
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("...")).unwrap_or(line).trim_start();
    rest.is_empty() || rest.starts_with('#') || line.starts_with("%YAML ")
}
