//! The corpus, through the engines that need no socket.

use bailiwick_testkit::vectors::{engine, load, run};

#[test]
fn every_vector_holds_in_the_evaluator() {
    run(&load(), |_, call, asked| engine::policy(asked)?.in_full(call));
}

#[test]
fn every_vector_holds_behind_the_wire_format() {
    run(&load(), |_, call, asked| engine::wire(asked)?.in_full(call));
}

#[test]
fn the_corpus_is_read_whole() {
    let vectors = load();
    let from_the_page = vectors.iter().filter(|vector| vector.file == "docs/policy-semantics.md").count();
    assert!(from_the_page >= 8, "{from_the_page} vectors in the page");
    assert!(vectors.len() > from_the_page, "tests/vectors has none");
}
