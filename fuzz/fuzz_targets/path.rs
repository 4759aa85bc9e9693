//! Any text as a request path: its canonical form is its own canonical form, and hides no separator and no dot segment behind an
//! escape.
#![no_main]

use bailiwick_policy::CanonicalPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &str| {
    let Ok(path) = CanonicalPath::parse(raw) else { return };
    let canonical = path.as_str();
    assert_eq!(CanonicalPath::parse(canonical).as_ref(), Ok(&path), "canonical form is a fixed point");
    assert!(canonical.is_ascii() && canonical.starts_with('/'));
    let lower = canonical.to_ascii_lowercase();
    for hidden in ["//", "%2f", "%5c", "%2e", "\\", ";", "#"] {
        assert!(!lower.contains(hidden), "`{hidden}` is left in `{canonical}`");
    }
    assert!(path.segments().all(|segment| segment != "." && segment != ".."));
});
