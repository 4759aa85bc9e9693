//! Matchers against naive ones.

use bailiwick_policy::{CanonicalPath, HostPattern, Methods, PathTemplate, canonical_host};
use proptest::prelude::*;

use super::{build, evaluator};

/// A6: no byte of a path means anything to a template.
#[test]
fn every_printable_byte_in_a_segment_matches_as_the_naive_matcher_says() {
    let templates =
        ["/users/*", "/users/{id}", "/users/**", "/users/a*b", "/users/a-b", "/users/%41", "/**", "/*/*"];
    let templates: Vec<PathTemplate> =
        templates.iter().filter_map(|template| PathTemplate::parse(template).ok()).collect();
    assert_eq!(templates.len(), 7, "only `/users/a*b` is no template");
    let mut compared = 0;
    for byte in 0x21..=0x7e_u8 {
        let byte = char::from(byte);
        for path in [format!("/users/{byte}"), format!("/users/a{byte}b"), format!("/users{byte}")] {
            let Ok(path) = CanonicalPath::parse(&path) else { continue };
            for template in &templates {
                let expected = evaluator::template_matches(template.as_str(), path.as_str());
                assert_eq!(template.matches(&path), expected, "`{template}` and `{path}`");
                compared += 1;
            }
        }
    }
    // Refused as a path: `#`, `%` (no escape), `;`, `\`; and `/users/` + `/` has an empty segment.
    assert!(compared > 7 * 3 * 88, "only {compared} compared");
}

/// B1: every spelling of a host is one host.
#[test]
fn spellings_of_a_host_decide_alike() {
    let pattern: HostPattern = "httpbin.foo".parse().unwrap();
    for host in
        ["httpbin.foo", "Httpbin.Foo", "httpbin.foo.", "httpbin.foo:80", "HTTPBIN.FOO:443", "httpbin.foo.:80"]
    {
        assert!(pattern.matches(&canonical_host(host).unwrap()), "{host}");
    }
    for host in [
        "httpbin.foo..",
        "user@httpbin.foo",
        "httpbin.foo,evil",
        "httpbin.foo:x",
        "httpbin.foo/",
        "",
        " httpbin.foo",
    ] {
        assert!(canonical_host(host).is_err(), "{host}");
    }
    assert!("*.*.foo".parse::<HostPattern>().is_err());
    assert!("http*.foo".parse::<HostPattern>().is_err());
    assert!("httpbin.foo:80".parse::<HostPattern>().is_err());
    let upper: HostPattern = "HttpBin.Foo.".parse().unwrap();
    assert_eq!(upper, pattern);
}

/// B3: a method in another case is another method.
#[test]
fn methods_are_exact() {
    let methods = build::methods_of(&["GET", "PURGE"]);
    assert!(methods.contains("GET") && methods.contains("PURGE"));
    for other in ["get", "Get", "GET ", "HEAD", "PURG", "", "purge"] {
        assert!(!methods.contains(other), "{other}");
    }
    assert!(Methods::Any.contains("get"));
}

proptest! {
    #[test]
    fn a_canonical_path_is_its_own_canonical_form(raw in "/([a-c.~/]|%[0-9a-fA-F]{2}|[!-~]){0,24}") {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            let again = CanonicalPath::parse(path.as_str());
            prop_assert_eq!(again.as_ref().map(CanonicalPath::as_str), Ok(path.as_str()));
            prop_assert!(!path.as_str().contains("//"));
            prop_assert!(path.segments().all(|segment| segment != "." && segment != ".."));
        }
    }

    #[test]
    fn templates_match_as_the_naive_matcher_says(
        template in "/((a|b|%7e|%2b|\\*|\\{x\\})/){0,3}(a|b|\\*\\*|\\*|\\{y\\})?",
        path in "/((a|b|~|%2B|c)/){0,3}(a|b|c)?",
    ) {
        let (Ok(template), Ok(path)) = (PathTemplate::parse(&template), CanonicalPath::parse(&path)) else { return Ok(()) };
        prop_assert_eq!(template.matches(&path), evaluator::template_matches(template.as_str(), path.as_str()));
    }

    #[test]
    fn hosts_match_as_the_naive_matcher_says(pattern in "(\\*\\.)?[ab](\\.[ab]){0,2}", host in "[abx]{1,2}(\\.[ab]){0,3}") {
        let pattern: HostPattern = pattern.parse().unwrap();
        prop_assert_eq!(pattern.matches(&host), evaluator::host_matches(pattern.as_str(), &host));
    }
}
