//! Any bytes as a leaf certificate: never a panic, and an identity that is read is one that can be written and read again.
#![no_main]

use bailiwick_identity::{SpiffeId, leaf_id};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    if let Ok(leaf) = leaf_id(der) {
        let again = leaf.id().to_string().parse::<SpiffeId>();
        assert_eq!(again.as_ref(), Ok(leaf.id()), "an identity has one spelling");
    }
});
