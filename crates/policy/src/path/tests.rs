use super::*;

fn canonical(raw: &str) -> Result<String, PathError> {
    CanonicalPath::parse(raw).map(|path| path.as_str().to_owned())
}

/// A1: dot segments, in every disguise.
#[test]
fn dot_segments_are_refused() {
    for raw in
        ["/info/../private", "/info/./x", "/info/%2e%2e/private", "/info/.%2E/private", "/..", "/.", "/a/%2e"]
    {
        assert_eq!(canonical(raw), Err(PathError::DotSegment), "{raw}");
    }
    assert_eq!(canonical("/a/...").as_deref(), Ok("/a/..."));
}

/// A2, A3: empty segments and separators in disguise.
#[test]
fn hidden_separators_are_refused() {
    for raw in ["//admin", "//evil.com/admin", "/a//b", "/a//"] {
        assert_eq!(canonical(raw), Err(PathError::EmptySegment), "{raw}");
    }
    for raw in ["/a%2F..%2Fadmin", "/a%2fb", "/a%5c..%5cadmin", "/a\\..\\admin", "/a%5C"] {
        assert_eq!(canonical(raw), Err(PathError::HiddenSeparator), "{raw}");
    }
    for raw in ["", "*", "admin", "http://a/b"] {
        assert_eq!(canonical(raw), Err(PathError::NoSlash), "{raw}");
    }
}

/// A4, A5, A7: what some backends cut off.
#[test]
fn fragments_parameters_and_queries_are_no_part_of_a_path() {
    assert_eq!(canonical("/admin#x"), Err(PathError::Fragment));
    assert_eq!(canonical("/app/admin%23").as_deref(), Ok("/app/admin%23"));
    for raw in ["/admin;x=y/act;z", "/;a/admin", "/public;/../admin"] {
        assert_eq!(canonical(raw), Err(PathError::Semicolon), "{raw}");
    }
    assert_eq!(canonical("/p?x=1"), Err(PathError::Query));
}

/// A8: decoded once only.
#[test]
fn escapes_are_decoded_once() {
    assert_eq!(canonical("/%252e%252e/admin").as_deref(), Ok("/%252e%252e/admin"));
    assert_eq!(canonical("/%25%32%46").as_deref(), Ok("/%252F"));
    assert_eq!(canonical("/%61%2d%2E%5f%7e%2b").as_deref(), Ok("/a-._~%2B"));
}

/// A9: controls, bytes that are not ASCII, broken escapes.
#[test]
fn bytes_without_one_reading_are_refused() {
    for raw in ["/a%00b", "/a%0d%0aX:y", "/a\nb", "/a b", "/a\u{7f}", "/%7f", "/%c2%85", "/a\tb"] {
        assert_eq!(canonical(raw), Err(PathError::Control), "{raw:?}");
    }
    for raw in ["/%zz", "/%", "/%1", "/a%g0", "/%+1"] {
        assert_eq!(canonical(raw), Err(PathError::BadEscape), "{raw}");
    }
    assert_eq!(canonical("/é"), Err(PathError::NotAscii));
    for raw in ["/%c0%af", "/%ff", "/%ed%a0%80", "/%c3"] {
        assert_eq!(canonical(raw), Err(PathError::NotUtf8), "{raw}");
    }
    assert_eq!(canonical("/%c3%a9").as_deref(), Ok("/%C3%A9"));
}

/// A12: every escape of one byte has exactly one outcome.
#[test]
fn every_escaped_byte_is_decoded_kept_or_refused() {
    let (mut decoded, mut kept, mut refused) = (0, 0, 0);
    for byte in 0..=0xff_u8 {
        for raw in [format!("/a%{byte:02x}b"), format!("/a%{byte:02X}b")] {
            match canonical(&raw) {
                Ok(path) if path.len() == 4 => decoded += 1,
                Ok(path) => {
                    assert_eq!(path, format!("/a%{byte:02X}b"));
                    kept += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    // 66 unreserved bytes are decoded; controls, `/`, `\` and whatever is not UTF-8 alone are refused.
    assert_eq!((decoded, kept, refused), (2 * 66, 2 * (95 - 66 - 2), 2 * (33 + 2 + 128)));
}

#[test]
fn a_path_in_canonical_form_is_borrowed() {
    assert!(matches!(CanonicalPath::parse("/a/b~c"), Ok(CanonicalPath(Cow::Borrowed(_)))));
    assert!(matches!(CanonicalPath::parse("/a/%2B"), Ok(CanonicalPath(Cow::Owned(_)))));
}

#[test]
fn a_query_is_checked_and_kept() {
    assert_eq!(CanonicalPath::check_query("a=/../%2F;b//&c=%zz?"), Ok(()));
    assert_eq!(CanonicalPath::check_query("a=#b"), Err(PathError::Fragment));
    assert_eq!(CanonicalPath::check_query("a=\r\nX"), Err(PathError::Control));
    assert_eq!(CanonicalPath::check_query("a=é"), Err(PathError::NotAscii));
}
