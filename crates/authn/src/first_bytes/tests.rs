use proptest::prelude::*;

use super::{FirstBytes, HTTP2_PREFACE, classify};

#[test]
fn http1_begins_with_a_token_and_a_space() {
    for text in
        ["GET /", "get /", "M-SEARCH * HTTP/1.1", "\r\nGET /", "\nGET /", "PRI * HTTP/1.1", "SET key value"]
    {
        assert_eq!(classify(text.as_bytes()), Some(FirstBytes::Http1), "{text}");
    }
    for text in ["\0\0", " \0", "GET\r\n", "\t\u{e4} ", "GET\0", "{\"a\":1}", "(x) ", "\u{e4} "] {
        assert_eq!(classify(text.as_bytes()), Some(FirstBytes::Other), "{text}");
    }
    assert_eq!(classify("A".repeat(31).as_bytes()), None);
    assert_eq!(classify("A".repeat(32).as_bytes()), Some(FirstBytes::Other));
}

/// Python's `http.server` takes each of these for `GET /admin`.
#[test]
fn i3_what_a_lenient_server_takes_for_http_is_never_tcp() {
    for text in
        ["GET\t/admin", " GET /admin", "\t GET /admin", "GET\x0b/admin", "GET\x0c/admin", "GET\x1f/admin"]
    {
        assert_eq!(classify(text.as_bytes()), Some(FirstBytes::Http1), "{text:?}");
    }
    assert_eq!(classify(b"GET\xa0/admin"), Some(FirstBytes::Http1));
    assert_eq!(classify(b"\x85GET /admin"), Some(FirstBytes::Http1));
    assert_eq!(classify(" ".repeat(32).as_bytes()), None, "what follows decides");
    assert_eq!(classify(" ".repeat(33).as_bytes()), Some(FirstBytes::Http1), "nobody hides behind blanks");
}

#[test]
fn the_http2_preface_is_waited_for() {
    for end in 0..HTTP2_PREFACE.len() {
        assert_eq!(classify(&HTTP2_PREFACE[..end]), None, "{end}");
    }
    assert_eq!(classify(HTTP2_PREFACE), Some(FirstBytes::Http2));
}

#[test]
fn broken_tls_is_not_the_meshs() {
    assert_eq!(classify(&[0x16]), None);
    assert_eq!(classify(&[0x16, 0x02]), Some(FirstBytes::Other));
    // An alert, and a handshake record whose message is no ClientHello.
    assert_eq!(classify(&[0x15, 3, 3, 0, 2, 2, 0]), Some(FirstBytes::Other));
    assert_eq!(classify(&[0x16, 3, 3, 0, 4, 2, 0, 0, 0]), Some(FirstBytes::OtherTls));
    // A record that says it is longer than any may be.
    assert_eq!(classify(&[0x16, 3, 1, 0xff, 0xff, 1]), Some(FirstBytes::OtherTls));
}

proptest! {
    /// More bytes never change an answer, so it does not matter how they were cut on the way.
    #[test]
    fn an_answer_is_final(text in "[ \t]{0,40}[A-Z]{0,6}[ \t]?[a-z/ \r\n]{0,20}", cut in any::<prop::sample::Index>()) {
        let bytes = text.as_bytes();
        let early = classify(&bytes[..cut.index(bytes.len() + 1)]);
        prop_assert!(early.is_none() || early == classify(bytes));
    }

    #[test]
    fn g17_random_records_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let record = [&[0x16, 0x03, 0x01][..], &bytes].concat();
        prop_assert_ne!(classify(&record), Some(FirstBytes::MeshTls));
        prop_assert_ne!(classify(&bytes), Some(FirstBytes::MeshTls));
    }
}
