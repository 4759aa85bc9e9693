//! The demonstration as a user runs it: every call as expected, an edit that is enforced, and nothing left behind.
//! The operator, the sidecar and the service must be built: `cargo build --bins`.
#![expect(clippy::unwrap_used, reason = "test code: a failure is the report")]

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The demonstration, in a temporary folder that the test can look at afterwards.
fn demo(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", folder.path())
        .env("BAILIWICK_SIDECAR_THREADS", "nonsense");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finished(child: Child) -> (ExitStatus, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status, String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Neither a file nor a process of a demonstration is left.
fn assert_nothing_is_left(folder: &TempDir) {
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files are left");
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    let own = folder.path().to_str().unwrap();
    for process in processes.filter_map(Result::ok) {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(own), "a process is left: {:?}", process.path());
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn two_at_once_show_every_call_as_expected_and_leave_nothing() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let children = folders.each_ref().map(|folder| demo(folder, &["-o", "json"]).spawn().unwrap());
    for child in children {
        let (status, stdout, stderr) = finished(child);
        assert!(status.success(), "{stderr}");
        let report: Value = serde_json::from_str(&stdout).expect("one JSON object and nothing else");
        let calls = report["calls"].as_array().unwrap();
        assert!(calls.len() >= 14);
        for call in calls {
            let word = |field: &str| call[field].as_str().filter(|text| !text.is_empty()).unwrap();
            assert_eq!(word("decision"), word("expected"), "{call}");
            assert!(["allow", "deny", "unauthenticated"].contains(&word("decision")), "{call}");
            for field in ["from", "to", "protocol", "method", "path", "status", "rule"] {
                word(field);
            }
        }
        let reload = &report["reload"];
        assert_eq!((&reload["acknowledged"], &reload["of"]), (&Value::from(4), &Value::from(4)));
        assert!(reload["millis"].is_u64());
        assert_eq!(reload["cut"].as_array().unwrap().len(), 3, "{reload}");
        assert_eq!(reload["kept"].as_array().unwrap().len(), 2, "{reload}");
    }
    folders.iter().for_each(assert_nothing_is_left);
}

#[test]
fn people_see_rows_reasons_and_what_would_allow() {
    let folder = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = finished(demo(&folder, &[]).spawn().unwrap());
    assert!(status.success(), "{stdout}{stderr}");
    assert!(!stdout.contains('\u{1b}'), "no color where nobody looks");
    for part in [
        "spiffe://cluster.local/ns/shop/sa/web, its certificate is good for",
        "the method is DELETE",
        "- {name: allow-web, effect: Allow",
        "alert certificate_expired",
        "PERMISSION_DENIED",
        "would be deny",
        "-  - name: web-live",
        "acknowledged by 4 of 4 sidecars",
        "each decided as expected",
    ] {
        assert!(stdout.contains(part), "`{part}` is missing in:\n{stdout}");
    }
    assert_nothing_is_left(&folder);
}

#[test]
fn ctrl_c_leaves_nothing_at_any_moment() {
    for (after, name) in [(30, "INT"), (150, "INT"), (300, "TERM"), (600, "HUP")] {
        let folder = tempfile::tempdir().unwrap();
        let child = demo(&folder, &["--keep"]).spawn().unwrap();
        // The signal is caught from the moment when the folder is there; before that there is nothing to leave.
        wait_until(|| std::fs::read_dir(folder.path()).unwrap().count() == 1);
        std::thread::sleep(Duration::from_millis(after));
        signal(&child, name);
        finished(child);
        assert_nothing_is_left(&folder);
    }
}

#[test]
fn kept_it_runs_until_it_is_asked_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("..").join(format!("{}.log", folder.path().file_name().unwrap().display()));
    let mut command = demo(&folder, &["--keep"]);
    let child = command.stdout(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    wait_until(|| read(&log).contains("curl -i http://"));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "it still runs");
    signal(&child, "INT");
    let (status, _, stderr) = finished(child);
    std::fs::remove_file(&log).unwrap();
    assert!(status.success(), "{stderr}");
    assert_nothing_is_left(&folder);
}

#[test]
fn without_its_programs_it_says_how_to_build_them() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    let (status, stdout, stderr) = finished(demo(&folder, &["--binaries", empty]).spawn().unwrap());
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("bailiwick-sidecar") && stderr.contains("cargo build --bins"), "{stderr}");
    assert_nothing_is_left(&folder);
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn wait_until(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}
