//! Any bytes as a snapshot: two bytes of length, the header, then one chunk that stands for every digest it names. What is accepted
//! is canonical, becomes a snapshot or a clean refusal, and encodes to the bytes it came from.
#![no_main]

use std::sync::Arc;

use bailiwick_policy::Snapshot;
use bailiwick_wire::{
    ChunkCache, Digest, assemble, decode_bundle, decode_chunk, decode_header, encode, encode_bundle,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (head, chunk) = rest.split_at(length);
    if let Ok(bundle) = decode_bundle(chunk) {
        assert_eq!(encode_bundle(&bundle), chunk, "a bundle has one encoding");
    }
    let object = decode_chunk(chunk, &Digest::of(chunk)).ok().map(Arc::new);
    let Ok(header) = decode_header(head) else { return };
    let named: Vec<Digest> = header.digests().collect();
    let Ok(whole) = assemble(header, &|_| object.clone()) else { return };
    if named.iter().all(|digest| *digest == Digest::of(chunk)) {
        let again = encode(&whole.configuration, &mut ChunkCache::default());
        assert_eq!(again.id(), whole.id, "a configuration has one encoding");
        assert_eq!(again.header(&whole.position), head, "a header has one encoding");
    }
    // Refused or built, but never a panic.
    drop(Snapshot::build(whole.id, whole.configuration.snapshot));
});
