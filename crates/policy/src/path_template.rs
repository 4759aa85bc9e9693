//! Path templates of permissions: `/orders/{id}`, `/static/**`.

use std::fmt;
use std::sync::Arc;

use crate::{CanonicalPath, PathError};

/// Bounds on one template, so that a walk over it is bounded too.
const MAXIMUM_LENGTH: usize = 1024;
const MAXIMUM_SEGMENTS: usize = 64;

/// Names that a condition could not read as a variable: CEL's reserved words and literals.
const CEL_WORDS: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A path template. It matches whole paths only; there is no precedence between templates: all that match count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    text: Arc<str>,
    segments: Vec<Segment>,
    rest: bool,
    /// The one path that matches, if there are neither variables nor `**`.
    exact: Option<Box<str>>,
}

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// These canonical bytes. An empty one is the segment after a trailing slash.
    Literal(Box<str>),
    /// `{name}` or `*`: one whole, non-empty segment.
    Variable(Option<Box<str>>),
}

/// Why a text is not a path template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathTemplateError {
    /// Over 1024 bytes or 64 segments.
    #[error("a path template has at most 1024 bytes and 64 segments")]
    TooLong,
    /// The template would be refused as a path, so it could never match.
    #[error("`{text}` could never match: {source}")]
    Path {
        /// The text that was given.
        text: String,
        /// What is wrong with it as a path.
        source: PathError,
    },
    /// `*`, `**` or braces inside a segment.
    #[error("`{segment}` in `{text}` is not a segment: `*`, `**` and `{{name}}` stand for whole segments")]
    Partial {
        /// The text that was given.
        text: String,
        /// The segment.
        segment: String,
    },
    /// `**` before the last segment.
    #[error("`**` in `{text}` must be the last segment")]
    RestNotLast {
        /// The text that was given.
        text: String,
    },
    /// A variable's name is malformed, reserved or used twice.
    #[error(
        "`{name}` in `{text}` cannot name a variable: use `[a-z][a-z0-9_]*`, once in a template, and no CEL word"
    )]
    Variable {
        /// The text that was given.
        text: String,
        /// The name.
        name: String,
    },
}

impl PathTemplate {
    /// Parses a template. Literal segments are brought into canonical form like a path.
    ///
    /// # Errors
    /// When it is malformed or could never match a canonical path.
    pub fn parse(text: &str) -> Result<Self, PathTemplateError> {
        if text.len() > MAXIMUM_LENGTH || text.split('/').count() > MAXIMUM_SEGMENTS + 1 {
            return Err(PathTemplateError::TooLong);
        }
        let as_path = |source| PathTemplateError::Path { text: text.to_owned(), source };
        let body = text.strip_prefix('/').ok_or_else(|| as_path(PathError::NoSlash))?;
        let mut template = Self { text: Arc::from(text), segments: Vec::new(), rest: false, exact: None };
        let last = body.split('/').count() - 1;
        for (index, segment) in body.split('/').enumerate() {
            if segment.is_empty() && index != last {
                return Err(as_path(PathError::EmptySegment));
            }
            template.push(text, segment, index == last)?;
        }
        template.exact = template.only_path();
        Ok(template)
    }

    fn push(&mut self, text: &str, segment: &str, last: bool) -> Result<(), PathTemplateError> {
        if segment == "**" {
            if !last {
                return Err(PathTemplateError::RestNotLast { text: text.to_owned() });
            }
            self.rest = true;
            return Ok(());
        }
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let parsed = match name {
            _ if segment == "*" => Segment::Variable(None),
            Some(name) => self.variable(text, name)?,
            None if segment.contains(['*', '{', '}']) => {
                return Err(PathTemplateError::Partial {
                    text: text.to_owned(),
                    segment: segment.to_owned(),
                });
            }
            None => literal(text, segment)?,
        };
        self.segments.push(parsed);
        Ok(())
    }

    fn variable(&self, text: &str, name: &str) -> Result<Segment, PathTemplateError> {
        let mut bytes = name.bytes();
        let sound = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let taken = self
            .segments
            .iter()
            .any(|segment| matches!(segment, Segment::Variable(Some(other)) if other.as_ref() == name));
        if !sound || taken || CEL_WORDS.contains(&name) {
            return Err(PathTemplateError::Variable { text: text.to_owned(), name: name.to_owned() });
        }
        Ok(Segment::Variable(Some(name.into())))
    }

    /// The template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments, without a final `**`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// True if the template ends with `**`: the path itself, with a trailing slash, and everything below.
    #[must_use]
    pub const fn rest(&self) -> bool {
        self.rest
    }

    /// The one canonical path that matches, if the template has neither variables nor `**`.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        self.exact.as_deref()
    }

    fn only_path(&self) -> Option<Box<str>> {
        let mut path = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => path.extend(["/", text]),
                Segment::Variable(_) => return None,
            }
        }
        (!self.rest).then(|| path.into())
    }

    /// True if a path matches. The index of a snapshot gives the same answer faster; a property test compares them.
    #[must_use]
    pub fn matches(&self, path: &CanonicalPath<'_>) -> bool {
        if let Some(exact) = &self.exact {
            return exact.as_ref() == path.as_str();
        }
        let mut found = path.segments();
        let all = self.segments.iter().all(|wanted| match (wanted, found.next()) {
            (_, None) => false,
            (Segment::Literal(literal), Some(segment)) => literal.as_ref() == segment,
            (Segment::Variable(_), Some(segment)) => !segment.is_empty(),
        });
        all && (self.rest || found.next().is_none())
    }
}

fn literal(text: &str, segment: &str) -> Result<Segment, PathTemplateError> {
    let rooted = format!("/{segment}");
    let path = CanonicalPath::parse(&rooted)
        .map_err(|source| PathTemplateError::Path { text: text.to_owned(), source })?;
    Ok(Segment::Literal(path.segments().next().unwrap_or_default().into()))
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(template: &str, path: &str) -> bool {
        PathTemplate::parse(template).unwrap().matches(&CanonicalPath::parse(path).unwrap())
    }

    #[test]
    fn a_variable_is_one_whole_segment() {
        assert!(matches("/orders/{id}", "/orders/1") && matches("/orders/*", "/orders/1"));
        for other in ["/orders", "/orders/", "/orders/1/", "/orders/1/items", "/Orders/1", "/ordersx/1"] {
            assert!(!matches("/orders/{id}", other), "{other}");
        }
    }

    /// A11: the rest begins at a segment's end.
    #[test]
    fn the_rest_is_the_path_itself_and_all_below() {
        for below in ["/api", "/api/", "/api/x", "/api/x/y/"] {
            assert!(matches("/api/**", below), "{below}");
            assert!(matches("/**", below), "{below}");
        }
        assert!(!matches("/api/**", "/apix") && !matches("/api/**", "/"));
    }

    /// A7, A10: a trailing slash and another case are another path.
    #[test]
    fn literals_are_canonical_bytes() {
        assert!(matches("/%7Euser/%2b", "/~user/%2B"));
        assert!(!matches("/a", "/a/") && !matches("/a/", "/a") && !matches("/a", "/A"));
        assert!(matches("/a/", "/a/") && matches("/", "/"));
        assert_eq!(PathTemplate::parse("/%7Eu").unwrap().exact(), Some("/~u"));
        assert_eq!(PathTemplate::parse("/a/**").unwrap().exact(), None);
    }

    #[test]
    fn what_could_never_match_is_refused() {
        let refused = |text: &str| PathTemplate::parse(text).unwrap_err();
        for path in
            ["orders", "", "//a", "/a//b", "/a/../b", "/a%2Fb", "/a;b", "/a?b", "/a#b", "/a b", "/%zz"]
        {
            assert!(matches!(refused(path), PathTemplateError::Path { .. }), "{path}");
        }
        for partial in ["/a*", "/{a}b", "/a{b}", "/***", "/{a", "/a**"] {
            assert!(matches!(refused(partial), PathTemplateError::Partial { .. }), "{partial}");
        }
        assert!(matches!(refused("/**/a"), PathTemplateError::RestNotLast { .. }));
        for variable in ["/{}", "/{A}", "/{1a}", "/{in}", "/{a}/{a}", "/{a-b}"] {
            assert!(matches!(refused(variable), PathTemplateError::Variable { .. }), "{variable}");
        }
        assert_eq!(refused(&"/a".repeat(66)), PathTemplateError::TooLong);
        assert_eq!(refused(&format!("/{}", "a".repeat(1024))), PathTemplateError::TooLong);
        assert!(PathTemplate::parse(&"/a".repeat(64)).is_ok());
    }
}
