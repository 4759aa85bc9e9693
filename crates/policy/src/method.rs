//! HTTP methods that a backend may fold to upper case.

/// The IANA registry of HTTP methods (RFC 9110, section 16.1), without the reserved `*` and `PRI`.
const REGISTERED: [&str; 39] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// The registered HTTP methods.
#[must_use]
pub const fn registered_methods() -> &'static [&'static str] {
    &REGISTERED
}

/// The registered method that `method` is another case variant of. Backends disagree on whether `get` is GET, so such
/// a request has two readings, and a permission that names one could never match.
#[must_use]
pub fn registered_variant(method: &str) -> Option<&'static str> {
    // The common methods are recognised without looking at the table.
    if matches!(method, "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS" | "PATCH") {
        return None;
    }
    REGISTERED.iter().copied().find(|known| *known != method && known.eq_ignore_ascii_case(method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_case_of_a_registered_method_is_a_variant() {
        assert_eq!(registered_variant("get"), Some("GET"));
        assert_eq!(registered_variant("pOST"), Some("POST"));
        for own in ["GET", "PURGE", "purge", "PROPFIND"] {
            assert_eq!(registered_variant(own), None, "{own}");
        }
    }
}
