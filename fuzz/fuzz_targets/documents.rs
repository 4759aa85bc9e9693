//! Any bytes as a file of YAML: read, compiled and explained without a panic, the same way twice; what is invalid or unreadable never
//! lets a call through that an empty world would not.
#![no_main]

use bailiwick_compile::compile;
use bailiwick_policy::{Snapshot, SnapshotId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let reading = bailiwick_inputs::read_bytes("fuzz.yaml", bytes);
    let compiled = compile(&reading.world);
    let again = compile(&bailiwick_inputs::read_bytes("fuzz.yaml", bytes).world);
    assert_eq!(compiled.workloads, again.workloads, "reading and compiling depend on nothing else");
    for workload in compiled.workloads.values() {
        // Everything that compiles can be enforced.
        let built = Snapshot::build(SnapshotId::LOCAL, workload.snapshot.clone());
        assert!(built.is_ok(), "{:?}", built.err());
    }
});
