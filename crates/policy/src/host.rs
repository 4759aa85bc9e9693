//! Hosts, in one canonical form.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a host or a host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Not a host with an optional port.
    #[error("`{text}` is not a host")]
    Malformed {
        /// The text that was given.
        text: String,
    },
    /// A wildcard anywhere but as the whole first label.
    #[error(
        "`{text}` is not a host pattern: `*` can only stand as the whole first label, as in `*.example.com`"
    )]
    Wildcard {
        /// The text that was given.
        text: String,
    },
    /// A port in a pattern: ports are selected by targets.
    #[error("`{text}` has a port: a host pattern has none")]
    Port {
        /// The text that was given.
        text: String,
    },
}

/// A host of a permission: exact, or `*.x` for one or more labels before `.x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    text: Arc<str>,
    suffix: bool,
}

impl HostPattern {
    /// The pattern in canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if a canonical host matches.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        if !self.suffix {
            return self.text.as_ref() == host;
        }
        // `*.x` keeps its dot, so `ax` never matches and at least one byte must stand before `.x`.
        self.text.strip_prefix('*').is_some_and(|suffix| {
            host.strip_suffix(suffix).is_some_and(|labels| !labels.is_empty() && !labels.starts_with('.'))
        })
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let suffix = text.starts_with("*.");
        let name = text.strip_prefix("*.").unwrap_or(text);
        if name.contains('*') || (suffix && name.starts_with('[')) {
            return Err(HostError::Wildcard { text: text.to_owned() });
        }
        let (host, port) = split_port(name).ok_or_else(|| HostError::Malformed { text: text.to_owned() })?;
        if port.is_some() {
            return Err(HostError::Port { text: text.to_owned() });
        }
        let host = canonical_name(host).ok_or_else(|| HostError::Malformed { text: text.to_owned() })?;
        let text = if suffix { Arc::from(format!("*.{host}")) } else { Arc::from(host.as_ref()) };
        Ok(Self { text, suffix })
    }
}

/// The canonical form of a `Host` or `:authority` value: lower-cased, one trailing dot and the port removed.
///
/// # Errors
/// When the value is not a host with an optional port: empty, with user information, a path, blanks, a comma, or any
/// byte that a host cannot hold.
pub fn canonical_host(authority: &str) -> Result<Cow<'_, str>, HostError> {
    let malformed = || HostError::Malformed { text: authority.to_owned() };
    let (host, port) = split_port(authority).ok_or_else(malformed)?;
    let port_is_sound =
        port.is_none_or(|port| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()));
    if !port_is_sound {
        return Err(malformed());
    }
    canonical_name(host).ok_or_else(malformed)
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let end = authority.find(']')?;
        let (host, rest) = authority.split_at_checked(end + 1)?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if rest.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

fn canonical_name(host: &str) -> Option<Cow<'_, str>> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address = address.parse::<std::net::Ipv6Addr>().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let sound = !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed);
    if !sound || host.split('.').any(str::is_empty) {
        return None;
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(Cow::Owned(host.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_one_or_more_labels() {
        let pattern: HostPattern = "*.Example.com.".parse().unwrap();
        assert_eq!(pattern.as_str(), "*.example.com");
        assert!(pattern.matches("a.example.com") && pattern.matches("a.b.example.com"));
        for other in ["example.com", ".example.com", "aexample.com", "a.example.com.evil", "*.example.org"] {
            assert!(!pattern.matches(other), "{other}");
        }
    }

    #[test]
    fn a_mistake_in_a_pattern_is_named() {
        let error = |text: &str| text.parse::<HostPattern>().unwrap_err();
        assert!(matches!(error("a.*.com"), HostError::Wildcard { .. }));
        assert!(matches!(error("*"), HostError::Wildcard { .. }));
        assert!(matches!(error("*.[::1]"), HostError::Wildcard { .. }));
        assert!(matches!(error("a.com:80"), HostError::Port { .. }));
        assert!(matches!(error("a..com"), HostError::Malformed { .. }));
    }

    #[test]
    fn addresses_have_one_form_too() {
        assert_eq!(canonical_host("[2001:DB8:0::1]:8080").unwrap(), "[2001:db8::1]");
        assert_eq!(canonical_host("10.0.0.1:80").unwrap(), "10.0.0.1");
        for wrong in ["[::1", "[::1]x", "::1", "[zz]", "a:b:c", "a:123456"] {
            assert!(canonical_host(wrong).is_err(), "{wrong}");
        }
    }
}
