use std::fs;

use super::{StateError, create_once, ensure_private_folder, replace};

#[test]
fn what_was_created_is_never_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    assert!(create_once(&path, "first").unwrap());
    assert!(!create_once(&path, "second").unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_replaced_file_is_whole_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.pem");
    for content in ["first", "second and longer", ""] {
        replace(&path, content, 0o644).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn errors_name_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = ensure_private_folder(&file.join("state")).unwrap_err();
    assert!(matches!(refused, StateError::Folder { .. }));
    assert!(refused.to_string().contains("file/state"), "{refused}");
    let refused = replace(&folder.path().join("missing/bundle.pem"), "", 0o644).unwrap_err();
    assert!(matches!(refused, StateError::Write { .. }), "{refused}");
}
