//! YAML events to trees, within bounds.
//!
//! YAML 1.2 core schema, with what Kubernetes (YAML 1.1) would read differently marked [`Value::Ambiguous`]. Anchors,
//! aliases and merge keys (`<<`) work as in `kubectl`; copies count against the bound on nodes (billion laughs).

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StructureStyle};

use super::{
    Chunk, Entry, MAXIMUM_DEPTH, MAXIMUM_DOCUMENT, MAXIMUM_NODES, Mapping, Node, Repeated, Span, Value,
};

/// Why a document has no tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseProblem {
    /// What is wrong.
    pub(crate) kind: ParseProblemKind,
    /// The place, in the file.
    pub(crate) span: Span,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParseProblemKind {
    /// Over the bound on bytes.
    TooLarge,
    /// Over the bound on nodes or depth.
    TooComplex(&'static str),
    /// Not YAML, in the parser's words.
    Malformed(String),
}

/// The trees of a chunk (one, or more where `...` ends a document), and the problem that ended the reading.
pub(crate) fn parse(chunk: Chunk<'_>) -> (Vec<Node>, Option<ParseProblem>) {
    let whole = (chunk.offset, chunk.offset + first_line_length(chunk.text));
    if chunk.text.len() > MAXIMUM_DOCUMENT {
        return (Vec::new(), Some(ParseProblem { kind: ParseProblemKind::TooLarge, span: whole }));
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAXIMUM_DEPTH,
        block_nesting_limit: MAXIMUM_DEPTH,
    };
    let mut builder = Builder { offset: chunk.offset, ..Builder::default() };
    for event in Parser::new_from_str_with_options(chunk.text, options) {
        let outcome = match event {
            Ok((event, span)) => {
                let bytes = span.byte_range().unwrap_or(0..0);
                builder.event(event, (bytes.start + chunk.offset, bytes.end + chunk.offset))
            }
            Err(error) => Err(scan_problem(&error, chunk)),
        };
        if let Err(problem) = outcome {
            return (builder.documents, Some(problem));
        }
    }
    (builder.documents, None)
}

fn first_line_length(text: &str) -> usize {
    text.lines().next().unwrap_or_default().len()
}

fn scan_problem(error: &ScanError, chunk: Chunk<'_>) -> ParseProblem {
    let at = error.marker().byte_offset().unwrap_or(0).min(chunk.text.len());
    // The scanner often notices at the end of the text: the last line that says something is the better place.
    let at =
        if at >= chunk.text.trim_end().len() { chunk.text.trim_end().len().saturating_sub(1) } else { at };
    let width = chunk.text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    let span = (chunk.offset + at, chunk.offset + at + width);
    ParseProblem { kind: ParseProblemKind::Malformed(error.info()), span }
}

#[derive(Default)]
struct Builder {
    offset: usize,
    documents: Vec<Node>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

struct Frame {
    anchor: usize,
    start: Span,
    flow: bool,
    tagged: bool,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { mapping: Mapping, names: HashSet<String>, key: Option<Key>, merges: Vec<(Span, Node)> },
}

struct Key {
    text: String,
    span: Span,
    ambiguous: bool,
    merge: bool,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), ParseProblem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let value =
                    if plain && tag.is_none() { resolve(&text) } else { Value::Text(text.into_owned()) };
                let merge = plain && matches!(&value, Value::Text(text) if text == "<<");
                let node = Node { value, span: Some(span), tagged: tag.is_some() };
                self.complete(node, anchor, merge)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.open(Content::Sequence(Vec::new()), (style, anchor, tag.is_some()), span)
            }
            Event::MappingStart(style, anchor, tag) => {
                let content = Content::Mapping {
                    mapping: Mapping::default(),
                    names: HashSet::new(),
                    key: None,
                    merges: Vec::new(),
                };
                self.open(content, (style, anchor, tag.is_some()), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    return Err(malformed("an alias inside of what its anchor names", span));
                };
                let node = node.clone();
                self.count(weigh(&node), span)?;
                self.complete(node, 0, false)
            }
            Event::UnresolvedAlias(name) => Err(malformed(&format!("unknown anchor `{name}`"), span)),
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.nodes = 0;
                Ok(())
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::Comment(..) => Ok(()),
            // FAIL-CLOSED: an event of a later version of the parser would lose structure if it were skipped.
            _ => Err(malformed("a construct that is not supported", span)),
        }
    }

    fn open(
        &mut self,
        content: Content,
        (style, anchor, tagged): (StructureStyle, usize, bool),
        span: Span,
    ) -> Result<(), ParseProblem> {
        if self.stack.len() >= MAXIMUM_DEPTH {
            return Err(ParseProblem { kind: ParseProblemKind::TooComplex("nested too deeply"), span });
        }
        let flow = style == StructureStyle::Flow;
        self.stack.push(Frame { anchor, start: span, flow, tagged, content });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), ParseProblem> {
        let Some(frame) = self.stack.pop() else { return Err(malformed("an end without a start", end)) };
        let (value, last) = match frame.content {
            Content::Sequence(items) => {
                let last = items.last().and_then(|item| item.span);
                (Value::Sequence(items), last)
            }
            Content::Mapping { mut mapping, names, key: _, merges } => {
                let last = mapping.entries.last().and_then(|entry| entry.value.span);
                self.merge(&mut mapping, names, merges)?;
                (Value::Mapping(mapping), last)
            }
        };
        // A block ends where its last value does: its end event lies behind the blanks and comments after it. Last
        // values that were copied by an alias lie anywhere.
        let to = if frame.flow { end.1 } else { last.map_or(frame.start.1, |last| last.1) };
        let span = (frame.start.0, to.max(frame.start.1));
        let node = Node { value, span: Some(span), tagged: frame.tagged };
        self.complete(node, frame.anchor, false)
    }

    fn complete(&mut self, node: Node, anchor: usize, merge: bool) -> Result<(), ParseProblem> {
        let span = node.span.unwrap_or((self.offset, self.offset));
        self.count(1, span)?;
        if anchor != 0 {
            self.count(weigh(&node), span)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            None => self.documents.push(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { mapping, names, key, merges }) => match key.take() {
                None => *key = Some(as_key(node, span, merge)?),
                Some(name) if name.merge => merges.push((name.span, node)),
                Some(name) => insert(mapping, names, name, node),
            },
        }
        Ok(())
    }

    /// Adds what `<<` names; a field that is written out wins, then the earlier of several sources.
    fn merge(
        &mut self,
        mapping: &mut Mapping,
        mut names: HashSet<String>,
        merges: Vec<(Span, Node)>,
    ) -> Result<(), ParseProblem> {
        for (span, node) in merges {
            let sources = match node.value {
                Value::Sequence(items) => items,
                value @ (Value::Mapping(_)
                | Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Text(_)
                | Value::Ambiguous(_)) => vec![Node::new(value, node.span)],
            };
            for source in sources {
                let Value::Mapping(source) = source.value else {
                    return Err(malformed("`<<` needs an object, or a list of objects", span));
                };
                self.count(source.entries.len(), span)?;
                mapping.repeated.extend(source.repeated);
                for entry in source.entries {
                    if names.insert(entry.key.clone()) {
                        mapping.entries.push(entry);
                    }
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), ParseProblem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAXIMUM_NODES {
            return Err(ParseProblem { kind: ParseProblemKind::TooComplex("too many values"), span });
        }
        Ok(())
    }
}

fn as_key(node: Node, span: Span, merge: bool) -> Result<Key, ParseProblem> {
    let (text, ambiguous) = match node.value {
        Value::Text(text) => (text, false),
        // Kubernetes makes texts of these; which one depends on the version of YAML.
        Value::Number(text) | Value::Ambiguous(text) => (text, true),
        Value::Bool(value) => (value.to_string(), true),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => {
            return Err(malformed("a field's name must be a text", span));
        }
    };
    Ok(Key { text, span, ambiguous: ambiguous || node.tagged, merge })
}

fn insert(mapping: &mut Mapping, names: &mut HashSet<String>, key: Key, value: Node) {
    if !names.insert(key.text.clone()) {
        // Looking for the first place is linear, and all but the first few repetitions are not told.
        let first = (mapping.repeated.len() < 64)
            .then(|| mapping.entries.iter().find(|entry| entry.key == key.text))
            .flatten()
            .and_then(|entry| entry.key_span);
        mapping.repeated.push(Repeated { key: key.text, first, again: Some(key.span) });
        return;
    }
    let Key { text, span, ambiguous, merge: _ } = key;
    mapping.entries.push(Entry { key: text, key_span: Some(span), key_ambiguous: ambiguous, value });
}

fn weigh(node: &Node) -> usize {
    1 + match &node.value {
        Value::Sequence(items) => items.iter().map(weigh).sum(),
        Value::Mapping(mapping) => mapping.entries.iter().map(|entry| weigh(&entry.value)).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Ambiguous(_) => 0,
    }
}

fn malformed(message: &str, span: Span) -> ParseProblem {
    ParseProblem { kind: ParseProblemKind::Malformed(message.to_owned()), span }
}

/// The value of an unquoted scalar: YAML 1.2.2, section 10.3.2, minus what YAML 1.1 reads differently.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | ".nan" | ".NaN" | ".NAN" => {
            return Value::Number(text.to_owned());
        }
        _ => {}
    }
    let words = ["yes", "no", "on", "off", "y", "n"];
    if text.len() <= 3 && words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Value::Ambiguous(text.to_owned());
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Value::Text(text.to_owned());
    }
    number(text, unsigned)
}

fn number(text: &str, unsigned: &str) -> Value {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(unsigned) && !(unsigned.len() > 1 && unsigned.starts_with('0')) {
        return Value::Number(text.to_owned());
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let decimal = (digits(whole) || digits(fraction))
        && (whole.is_empty() || digits(whole))
        && (fraction.is_empty() || digits(fraction))
        && exponent.is_none_or(digits);
    let float = mantissa.contains('.') || exponent.is_some();
    if decimal && float {
        return Value::Number(text.to_owned());
    }
    // `0777` is 511 in YAML 1.1 and 777 in YAML 1.2, `1_000` a number or a text, `0x1F` and `0o17` read as either.
    let odd_number = unsigned.starts_with(|first: char| first.is_ascii_digit())
        && (digits(&unsigned.replace('_', ""))
            || ["0x", "0o", "0b"].iter().any(|prefix| {
                unsigned
                    .strip_prefix(prefix)
                    .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
            }));
    if odd_number { Value::Ambiguous(text.to_owned()) } else { Value::Text(text.to_owned()) }
}
