//! One canonical path: what is matched is what is forwarded.
//!
//! RFC 3986 section 6.2.2 lets several spellings name one resource, and backends disagree on the rest. So: escapes of
//! unreserved bytes are decoded once, the hexadecimal digits of all others are upper-cased, and every spelling that
//! two parties could read differently is refused.

use std::borrow::Cow;
use std::fmt;

/// A path in canonical form, without the query. It starts with `/`, has no empty segment but a trailing one, no dot
/// segment, and no byte that needs care.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

/// Why a path has no single reading. Each is answered 400, whatever the policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    /// It does not start with `/`.
    #[error("the path does not start with `/`")]
    NoSlash,
    /// `//`: some backends merge it, some do not.
    #[error("the path has an empty segment (`//`)")]
    EmptySegment,
    /// `.` or `..` as a segment, also escaped.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%2F`, `%5C` or `\`: a separator in disguise.
    #[error("the path has an escaped slash or a backslash")]
    HiddenSeparator,
    /// `;`: some backends cut path parameters off.
    #[error("the path has a `;`")]
    Semicolon,
    /// `?`: the query is not part of a path, so a template with one could never match (A7).
    #[error("the path has a `?`: the query is not part of it")]
    Query,
    /// `#`, which never belongs into a request target.
    #[error("the target has a `#`")]
    Fragment,
    /// `%` without two hexadecimal digits.
    #[error("the path has a malformed escape")]
    BadEscape,
    /// A control byte, raw or escaped, or a blank.
    #[error("the target has a control character or a blank")]
    Control,
    /// A byte over 0x7F that is not escaped.
    #[error("the target has a raw byte that is not ASCII")]
    NotAscii,
    /// Escapes that do not decode to UTF-8.
    #[error("the path's escapes do not decode to UTF-8")]
    NotUtf8,
}

impl<'a> CanonicalPath<'a> {
    /// Brings a path into its canonical form; borrows it where it already is in that form.
    ///
    /// # Errors
    /// When the path has no single reading.
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        let bytes = raw.as_bytes();
        if bytes.first() != Some(&b'/') {
            return Err(PathError::NoSlash);
        }
        let mut escaped = false;
        let mut dotted = false;
        let mut previous = 0;
        for byte in bytes {
            escaped |= check_byte(*byte)?;
            match (previous, *byte) {
                (b'/', b'/') => return Err(PathError::EmptySegment),
                (b'/', b'.') => dotted = true,
                _ => {}
            }
            previous = *byte;
        }
        let path = if escaped { Cow::Owned(normalise(bytes)?) } else { Cow::Borrowed(raw) };
        // Only an escape or a dot that begins a segment can make a dot segment.
        if (escaped || dotted) && path.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(PathError::DotSegment);
        }
        Ok(Self(path))
    }

    /// The canonical bytes, which are the bytes that are forwarded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments: `/a/b` has `a`, `b`; `/a/` has `a` and an empty one; `/` has an empty one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }

    /// A path that borrows from nothing.
    #[must_use]
    pub fn into_owned(self) -> CanonicalPath<'static> {
        CanonicalPath(Cow::Owned(self.0.into_owned()))
    }

    /// Checks the query of a target: it is forwarded as received, so only what could break framing or logs is refused.
    ///
    /// # Errors
    /// On raw controls and blanks, raw bytes over 0x7F, and `#`.
    pub fn check_query(query: &str) -> Result<(), PathError> {
        query.bytes().try_for_each(|byte| match byte {
            b'#' => Err(PathError::Fragment),
            0..=0x20 | 0x7f => Err(PathError::Control),
            0x80..=0xff => Err(PathError::NotAscii),
            0x21..=0x7e => Ok(()),
        })
    }
}

impl fmt::Display for CanonicalPath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// True if the byte starts an escape.
const fn check_byte(byte: u8) -> Result<bool, PathError> {
    match byte {
        b'%' => Ok(true),
        b'\\' => Err(PathError::HiddenSeparator),
        b';' => Err(PathError::Semicolon),
        b'?' => Err(PathError::Query),
        b'#' => Err(PathError::Fragment),
        0..=0x20 | 0x7f => Err(PathError::Control),
        0x80..=0xff => Err(PathError::NotAscii),
        _ => Ok(false),
    }
}

fn normalise(bytes: &[u8]) -> Result<String, PathError> {
    let mut canonical = String::with_capacity(bytes.len());
    // The path with every escape decoded once, to see that it is UTF-8 without controls.
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            canonical.push(char::from(*byte));
            decoded.push(*byte);
            continue;
        }
        let value = match (rest.next().and_then(hex), rest.next().and_then(hex)) {
            (Some(high), Some(low)) => high << 4 | low,
            _ => return Err(PathError::BadEscape),
        };
        push_escape(&mut canonical, value)?;
        decoded.push(value);
    }
    let decoded = String::from_utf8(decoded).map_err(|_| PathError::NotUtf8)?;
    if decoded.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    Ok(canonical)
}

fn push_escape(canonical: &mut String, value: u8) -> Result<(), PathError> {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    match value {
        b'/' | b'\\' => return Err(PathError::HiddenSeparator),
        0..=0x1f | 0x7f => return Err(PathError::Control),
        _ if value.is_ascii_alphanumeric() || matches!(value, b'-' | b'.' | b'_' | b'~') => {
            canonical.push(char::from(value));
        }
        _ => {
            canonical.push('%');
            canonical.extend(DIGITS.get(usize::from(value >> 4)));
            canonical.extend(DIGITS.get(usize::from(value & 0x0f)));
        }
    }
    Ok(())
}

const fn hex(digit: &u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(*digit - b'0'),
        b'a'..=b'f' => Some(*digit - b'a' + 10),
        b'A'..=b'F' => Some(*digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
