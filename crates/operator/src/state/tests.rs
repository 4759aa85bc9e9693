use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;

fn root(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

#[test]
fn a_restarted_operator_continues_above_every_mark_it_gave() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mut last = Position::default();
    for start in 0..3 {
        let state = StateFolder::open(&path).unwrap();
        let mut marks = state.marks(&root("a"), at(5_000 - start)).unwrap();
        for _ in 0..4 {
            let next = marks.advance().unwrap();
            assert!(last.is_older_than(&next) && !next.is_older_than(&last));
            assert!(next.version > last.version);
            last = next;
        }
    }
    assert_eq!(last.epoch, 5_000, "the epoch is that of the first start");
}

#[test]
fn a_new_root_or_a_lost_mark_begins_a_higher_epoch_even_when_the_clock_went_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = StateFolder::open(&path).unwrap().marks(&root("a"), at(9_000)).unwrap().advance().unwrap();
    let second = StateFolder::open(&path).unwrap().marks(&root("b"), at(10)).unwrap().advance().unwrap();
    assert!(!second.is_older_than(&first) && first.is_older_than(&second));
    fs::remove_file(path.join("mark")).unwrap();
    let third = StateFolder::open(&path).unwrap().marks(&root("b"), at(10)).unwrap();
    assert!(third.epoch() > second.epoch);
}

#[test]
fn two_operators_never_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let opened: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|_| scope.spawn(|| StateFolder::open(&path))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let refused = opened.iter().filter(|one| matches!(one, Err(StateFolderError::InUse { .. }))).count();
    assert_eq!(refused, 7);
    drop(opened);
    StateFolder::open(&path).unwrap();
}

#[test]
fn a_folder_that_others_can_enter_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    StateFolder::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    for mode in [0o710, 0o705, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = StateFolder::open(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }
}

#[test]
fn a_folder_of_another_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let user = fs::metadata(folder.path()).unwrap().uid();
    // Only root can give a folder away; for everyone else the root folder is another's.
    let given = std::os::unix::fs::chown(folder.path(), Some(user + 1), None).is_ok();
    let path = if given { folder.path() } else { Path::new("/") };
    let error = private_folder(path).unwrap_err();
    assert!(matches!(error, StateFolderError::Owner { .. }), "{error}");
}

#[test]
fn a_damaged_file_is_told_and_never_read_as_zero() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let state = StateFolder::open(&path).unwrap();
    state.marks(&root("a"), at(1)).unwrap();
    for (file, text) in [("mark", "-1"), ("mark", ""), ("epoch", "x y"), ("epoch", "")] {
        let good = fs::read(path.join(file)).unwrap();
        fs::write(path.join(file), text).unwrap();
        let error = state.marks(&root("a"), at(1)).unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
        fs::write(path.join(file), good).unwrap();
    }
}
