use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use super::{bundle_pem, write_bundle_pem};
use crate::Authority;

#[test]
fn a_bundle_is_written_for_everyone_to_read() {
    let now = SystemTime::now();
    let authority = Authority::ephemeral(&"cluster.local".parse().unwrap(), now).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.pem");
    write_bundle_pem(&path, &authority.bundle()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, bundle_pem(&authority.bundle()));
    let blocks = pem::parse_many(&text).unwrap();
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].contents(), authority.root_der().as_ref());
    assert!(!text.contains("PRIVATE"));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o444, 0o444);
}
