use proptest::prelude::*;

use super::*;

fn one(text: &str) -> Node {
    let chunks = split(text);
    assert_eq!(chunks.len(), 1, "{chunks:?}");
    let (mut documents, problem) = parse(chunks[0]);
    assert_eq!(problem, None, "{text}");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn problem(text: &str) -> ParseProblem {
    let chunks = split(text);
    parse(chunks[0]).1.unwrap_or_else(|| panic!("parsed: {text}"))
}

fn slice<'a>(text: &'a str, node: &Node) -> &'a str {
    let (start, end) = node.span.unwrap();
    text.get(start..end).unwrap()
}

#[test]
fn documents_are_cut_at_separators_and_keep_their_places() {
    let text = "a: 1\n---\nb: 2\r\n--- # comment\n# only a comment\n---\n---\nc: |\n  ---\n  x\n---x: 1\n";
    let starts: Vec<&str> = split(text).iter().map(|chunk| chunk.text).collect();
    assert_eq!(starts, ["a: 1\n", "---\nb: 2\r\n", "---\nc: |\n  ---\n  x\n---x: 1\n"]);
    for chunk in split(text) {
        assert_eq!(text.get(chunk.offset..chunk.offset + chunk.text.len()).unwrap(), chunk.text);
    }
}

#[test]
fn places_are_bytes_of_the_file_with_bom_crlf_and_wide_letters() {
    let text = "\u{feff}# größe\r\na: 1\r\n---\r\n# ünï\r\nname: wörld\r\nlist:\r\n  - {x: \"ÿ\"}\r\n";
    let chunks = split(text);
    assert_eq!(chunks.len(), 2);
    let node = parse(chunks[1]).0.remove(0);
    assert_eq!(slice(text, node.get("name").unwrap()), "wörld");
    let entry = node.entry("list").unwrap();
    assert_eq!(text.get(entry.key_span.unwrap().0..entry.key_span.unwrap().1).unwrap(), "list");
    let item = &entry.value.sequence().unwrap()[0];
    assert_eq!(slice(text, item), "{x: \"ÿ\"}");
    assert_eq!(slice(text, item.get("x").unwrap()), "\"ÿ\"");
    assert_eq!(slice(text, &entry.value), "- {x: \"ÿ\"}");
}

#[test]
fn scalars_follow_the_core_schema_and_mark_what_versions_read_differently() {
    let cases: [(&str, Value); 22] = [
        ("null", Value::Null),
        ("~", Value::Null),
        ("true", Value::Bool(true)),
        ("FALSE", Value::Bool(false)),
        ("8080", Value::Number("8080".into())),
        ("-1", Value::Number("-1".into())),
        ("1.5", Value::Number("1.5".into())),
        ("1e3", Value::Number("1e3".into())),
        ("yes", Value::Ambiguous("yes".into())),
        ("No", Value::Ambiguous("No".into())),
        ("ON", Value::Ambiguous("ON".into())),
        ("off", Value::Ambiguous("off".into())),
        ("y", Value::Ambiguous("y".into())),
        ("0777", Value::Ambiguous("0777".into())),
        ("1_000", Value::Ambiguous("1_000".into())),
        ("0x1F", Value::Ambiguous("0x1F".into())),
        ("10.0.0.0/8", Value::Text("10.0.0.0/8".into())),
        ("2026-12-31T00:00:00Z", Value::Text("2026-12-31T00:00:00Z".into())),
        ("1.2.3", Value::Text("1.2.3".into())),
        ("'yes'", Value::Text("yes".into())),
        ("\"8080\"", Value::Text("8080".into())),
        ("nope", Value::Text("nope".into())),
    ];
    for (text, expected) in cases {
        let node = one(&format!("v: {text}\n"));
        assert_eq!(node.get("v").unwrap().value, expected, "{text}");
    }
}

#[test]
fn repeated_names_tags_and_ambiguous_names_are_found() {
    let node = one("a: {b: 1, b: 2}\nc: !!str x\non: 3\n");
    let mut found: Vec<String> = faults(&node, &bailiwick_compile::FieldPath::root())
        .iter()
        .map(|fault| fault.path.to_string())
        .collect();
    found.sort();
    assert_eq!(found, ["a.b", "c", "on"]);
    assert_eq!(node.get("a").unwrap().get("b").unwrap().value, Value::Number("1".into()));
}

#[test]
fn aliases_and_merge_keys_are_expanded_within_bounds() {
    let node = one("base: &b {x: 1, y: 2}\nuse: {<<: *b, x: 9}\ncopy: *b\n");
    let used = node.get("use").unwrap();
    assert_eq!(used.get("x").unwrap().value, Value::Number("9".into()));
    assert_eq!(used.get("y").unwrap().value, Value::Number("2".into()));
    assert_eq!(node.get("copy"), node.get("base"));
    // A quoted `<<` is a name like any other.
    assert!(one("a: {\"<<\": {x: 1}}\n").get("a").unwrap().get("<<").is_some());
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let item = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(", ")));
    }
    assert!(matches!(problem(&laughs).kind, ParseProblemKind::TooComplex(_)));
    assert!(matches!(problem("a: &a [*a]\n").kind, ParseProblemKind::Malformed(_)));
}

#[test]
fn bounds_hold() {
    assert_eq!(
        problem(&format!("a: \"{}\"\n", "x".repeat(MAXIMUM_DOCUMENT))).kind,
        ParseProblemKind::TooLarge
    );
    assert!(matches!(
        problem(&"[".repeat(5000)).kind,
        ParseProblemKind::TooComplex(_) | ParseProblemKind::Malformed(_)
    ));
    assert!(matches!(
        problem(&"- ".repeat(5000)).kind,
        ParseProblemKind::TooComplex(_) | ParseProblemKind::Malformed(_)
    ));
    let many = format!("[{}]", "1,".repeat(MAXIMUM_NODES));
    assert!(matches!(problem(&many).kind, ParseProblemKind::TooComplex(_)));
}

#[test]
fn json_is_read_with_places() {
    let text = "{\n\t\"kind\": \"Role\",\n\t\"ports\": [1, null, true]\n}\n";
    let node = one(text);
    assert_eq!(slice(text, node.get("kind").unwrap()), "\"Role\"");
    assert_eq!(node.get("ports").unwrap().sequence().unwrap().len(), 3);
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    let tree = from_json(&json);
    assert_eq!(tree.get("kind").unwrap().value, node.get("kind").unwrap().value);
    assert_eq!(tree.get("kind").unwrap().span, None);
}

#[test]
fn a_deep_json_value_is_cut_off() {
    let mut value = serde_json::json!(1);
    for _ in 0..500 {
        value = serde_json::json!([value]);
    }
    let mut node = &from_json(&value);
    let mut depth = 0;
    while let Some([inner]) = node.sequence() {
        node = inner;
        depth += 1;
    }
    assert_eq!(depth, MAXIMUM_DEPTH);
    assert!(matches!(node.value, Value::Ambiguous(_)));
}

proptest! {
    #[test]
    fn no_text_panics_and_places_lie_in_it(text in "[-a-c:{}\\[\\]&*!|>'\"#%<, \n\r\tÿ\u{feff}.0]{0,200}") {
        for chunk in split(&text) {
            let (documents, problem) = parse(chunk);
            for (start, end) in documents.iter().filter_map(|node| node.span).chain(problem.map(|problem| problem.span)) {
                prop_assert!(text.get(start..end).is_some(), "{start}..{end} of {text:?}");
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        for chunk in split(&text) {
            let _documents = parse(chunk);
        }
    }
}
