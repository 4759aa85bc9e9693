//! Reading the corpus.

#![expect(clippy::expect_used, reason = "test code: a failure is the report")]

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bailiwick_policy::Timestamp;
use serde::Deserialize;

use super::{Expect, Vector, VectorCall};

const PAGE: &str = "docs/policy-semantics.md";
const FOLDER: &str = "tests/vectors";
const OPENS: &str = "```yaml vector";
const CLOSES: &str = "```";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVector {
    name: String,
    world: String,
    calls: Vec<RawCall>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawCall {
    call: String,
    expect: Expect,
    rule: Option<String>,
    would_be: Option<Expect>,
    host: Option<String>,
    content_type: Option<String>,
    ip: Option<IpAddr>,
    now: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The whole corpus, in the order of files and places.
///
/// # Panics
/// When a file cannot be read, a vector has another form, or two have the same name.
#[must_use]
pub fn load() -> Vec<Vector> {
    let page = fs::read_to_string(root().join(PAGE)).expect("the page of the semantics");
    let mut vectors: Vec<Vector> = blocks(&page)
        .iter()
        .map(|block| {
            let raw = serde_saphyr::from_str(block);
            vector(PAGE, raw.unwrap_or_else(|error| panic!("{PAGE}: {error}\n{block}")))
        })
        .collect();
    assert!(!vectors.is_empty(), "{PAGE} has no block `{OPENS}`");
    for path in files() {
        let file = format!("{FOLDER}/{}", path.file_name().expect("a file has a name").to_string_lossy());
        let text = fs::read_to_string(&path).expect("a readable file of vectors");
        let raw: Result<Vec<RawVector>, _> = serde_saphyr::from_str(&text);
        let raw = raw.unwrap_or_else(|error| panic!("{file}: {error}"));
        vectors.extend(raw.into_iter().map(|raw| vector(&file, raw)));
    }
    let mut names = BTreeSet::new();
    for vector in &vectors {
        assert!(names.insert(&vector.name), "{}: two vectors are named `{}`", vector.file, vector.name);
    }
    vectors
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(FOLDER)).expect("the folder of vectors");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

/// The blocks of a page that are vectors.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while lines.any(|line| line == OPENS) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != CLOSES).collect();
        blocks.push(block.join("\n") + "\n");
    }
    blocks
}

fn vector(file: &str, raw: RawVector) -> Vector {
    let place = format!("{file}: {}", raw.name);
    assert!(!raw.calls.is_empty(), "{place}: it makes no call");
    let calls = raw.calls.into_iter().map(|call| vector_call(&place, call)).collect();
    Vector { name: raw.name, file: file.to_owned(), world: raw.world, calls }
}

fn vector_call(place: &str, raw: RawCall) -> VectorCall {
    let words: Vec<&str> = raw.call.split_whitespace().collect();
    let [from, method, to, path] = words.as_slice() else {
        panic!("{place}: `{}` is not FROM METHOD TO PATH", raw.call);
    };
    let now = raw.now.map(|text| {
        let parsed = text.parse::<jiff::Timestamp>();
        Timestamp(parsed.unwrap_or_else(|error| panic!("{place}: `{text}`: {error}")).as_second())
    });
    VectorCall {
        from: (*from).to_owned(),
        method: (*method).to_owned(),
        to: (*to).to_owned(),
        path: (*path).to_owned(),
        host: raw.host,
        content_type: raw.content_type,
        ip: raw.ip,
        now,
        expect: raw.expect,
        rule: raw.rule,
        would_be: raw.would_be,
    }
}
