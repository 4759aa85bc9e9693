use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime};

use bailiwick_identity::{TrustDomain, issuer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Authority, ROOT_FILE, RootError};
use crate::{IssueError, StateError};

fn domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn open(folder: &Path) -> Result<Authority, RootError> {
    Authority::open(folder, &domain(), SystemTime::now())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_restarted_process_has_the_same_root() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("deep/state");
    let first = open(&state).unwrap();
    let second = open(&state).unwrap();
    assert_eq!(first.root_der(), second.root_der());
    assert_eq!(first.bundle(), second.bundle());
}

#[test]
fn only_this_user_can_read_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    open(&state).unwrap();
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join(ROOT_FILE)), 0o600);
    // Nothing else stays behind.
    assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
}

#[test]
fn a_root_states_what_a_root_should() {
    let now = SystemTime::now();
    let authority = Authority::ephemeral(&domain(), now).unwrap();
    let stated = issuer(authority.root_der()).unwrap();
    assert_eq!(stated.trust_domain(), Some(&domain()));
    let seconds = i64::try_from(now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    assert_eq!(stated.not_before(), seconds - 600);
    assert_eq!(stated.not_after(), seconds + 10 * 365 * 24 * 3600);

    let (_, root) = X509Certificate::from_der(authority.root_der()).unwrap();
    let constraints = root.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = root.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    root.verify_signature(None).unwrap();
}

#[test]
fn racing_processes_end_with_one_root() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let state = Arc::new(folder.path().join(round.to_string()));
        let start = Arc::new(Barrier::new(8));
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let (state, start) = (Arc::clone(&state), Arc::clone(&start));
                std::thread::spawn(move || {
                    start.wait();
                    open(&state).unwrap().root_der().clone()
                })
            })
            .collect();
        let mut roots: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
        roots.dedup();
        assert_eq!(roots.len(), 1);
        assert_eq!(&roots[0], open(&state).unwrap().root_der());
    }
}

#[test]
fn state_that_others_can_read_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    open(&state).unwrap();
    let file = state.join(ROOT_FILE);
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let refused = open(&state).unwrap_err();
    assert!(matches!(refused, RootError::State(StateError::Permissions { found: 0o640, .. })), "{refused}");
    assert!(refused.to_string().contains(&format!("chmod 600 {}", file.display())), "{refused}");

    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
    let refused = open(&state).unwrap_err();
    assert!(matches!(refused, RootError::State(StateError::Permissions { found: 0o755, .. })), "{refused}");
}

#[test]
fn a_broken_file_is_refused_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    open(&state).unwrap();
    let file = state.join(ROOT_FILE);
    let good = fs::read_to_string(&file).unwrap();
    let (key, certificate) = good.split_once("-----BEGIN CERTIFICATE").unwrap();
    let certificate = format!("-----BEGIN CERTIFICATE{certificate}");
    let huge = "x".repeat(70_000);
    for bad in ["", "garbage", key, certificate.as_str(), &format!("{good}{certificate}"), huge.as_str()] {
        fs::write(&file, bad).unwrap();
        let refused = open(&state).unwrap_err();
        assert!(refused.to_string().contains(&file.display().to_string()), "{refused}");
        assert_eq!(fs::read_to_string(&file).unwrap(), bad);
    }
    fs::write(&file, good).unwrap();
    open(&state).unwrap();
}

#[test]
fn a_key_of_another_root_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    open(&one).unwrap();
    open(&two).unwrap();
    let text = |state: &Path| fs::read_to_string(state.join(ROOT_FILE)).unwrap();
    let split = |text: String| {
        let (key, certificate) = text.split_once("-----BEGIN CERTIFICATE").unwrap();
        (key.to_owned(), format!("-----BEGIN CERTIFICATE{certificate}"))
    };
    let mixed = split(text(&one)).0 + &split(text(&two)).1;
    fs::write(one.join(ROOT_FILE), mixed).unwrap();
    assert!(matches!(open(&one).unwrap_err(), RootError::KeyMismatch { .. }));
}

#[test]
fn another_trust_domain_needs_another_folder() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    open(&state).unwrap();
    let refused = Authority::open(&state, &"other.example".parse().unwrap(), SystemTime::now()).unwrap_err();
    let message = refused.to_string();
    assert!(message.contains("`cluster.local`") && message.contains("`other.example`"), "{message}");
}

#[test]
fn an_expired_root_is_loaded_and_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let long_ago = SystemTime::now() - Duration::from_secs(11 * 365 * 24 * 3600);
    Authority::open(&state, &domain(), long_ago).unwrap();
    let authority = open(&state).unwrap();
    let id = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    let refused = authority.issue_own(&id, Duration::from_secs(60), SystemTime::now()).unwrap_err();
    assert!(matches!(refused, IssueError::RootNotValid { .. }), "{refused}");
}

#[test]
fn l4_the_key_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let printed = format!("{:?}", open(&state).unwrap());
    assert!(printed.contains("cluster.local") && !printed.contains("key"), "{printed}");
    // Nor does an error about the file hold a part of it.
    let file = state.join(ROOT_FILE);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("PRIVATE KEY", "SECRET KEY")).unwrap();
    let refused = open(&state).unwrap_err();
    let key = text.lines().nth(1).unwrap();
    assert!(!format!("{refused} {refused:?}").contains(key));
}
