//! The program as scripts see it: what it prints, where, and its exit code.
#![expect(clippy::unwrap_used, reason = "test code: a failure is the report")]

use std::path::Path;
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bailiwick(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bailiwick")).current_dir(root()).args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const SHOP: &str = "../../examples/shop";
const MISTAKES: &str = "tests/mistakes";

/// Each mistake of the folder: its code, its place, a word of its message.
const TWELVE: [(&str, &str, &str); 12] = [
    ("BW0020", "policies.yaml:5:3", "did you mean `targets`"),
    ("BW0201", "policies.yaml:14:", "did you mean `order-reader`"),
    ("BW0041", "policies.yaml:25:", "/orders/**/items"),
    ("BW0043", "policies.yaml:35:", "10.0.0.0/8"),
    ("BW0045", "policies.yaml:47:", "65536"),
    ("BW0046", "policies.yaml:57:", "spiffe://*/ns/shop/sa/web"),
    ("BW0024", "policies.yaml:67:", "empty"),
    ("BW0029", "policies.yaml:76:", "same"),
    ("BW0032", "policies.yaml:83:", "did you mean `Allow`"),
    ("BW0203", "roles.yaml:5:", "inherits itself"),
    ("BW0010", "kind.yaml:2:", "did you mean `Policy`"),
    ("BW0005", "broken.yaml:", "YAML"),
];

#[test]
fn twelve_mistakes_are_twelve_frames_and_exit_3() {
    let output = bailiwick(&["validate", "-f", MISTAKES]);
    let text = stdout(&output);
    assert_eq!(code(&output), 3, "{text}");
    let frames: Vec<&str> = text.split("\n\n").filter(|frame| frame.starts_with("error[")).collect();
    for (code, place, word) in TWELVE {
        let frame = frames.iter().find(|frame| frame.starts_with(&format!("error[{code}]"))).unwrap_or(&"");
        assert!(frame.contains(&format!("--> {place}")), "{code} {place}:\n{text}");
        assert!(frame.contains(word), "{code} {word}:\n{text}");
        assert!(frame.contains("| ") && frame.contains('^'), "{code} has no caret:\n{text}");
        assert!(frame.contains("= help: "), "{code} has no help:\n{text}");
    }
    assert_eq!(frames.len(), TWELVE.len(), "{text}");
    assert!(text.contains("\n12 errors, "), "{text}");
}

#[test]
fn mistakes_are_told_to_programs_too() {
    let output = bailiwick(&["validate", "-f", MISTAKES, "-o", "json"]);
    assert_eq!(code(&output), 3);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["ok"].as_bool(), report["errors"].as_u64()), (Some(false), Some(12)));
    let first = &report["diagnostics"][0];
    assert!(first["code"].as_str().unwrap().starts_with("BW") && first["line"].is_u64(), "{first}");
}

#[test]
fn a_sound_folder_is_ok() {
    for folder in [SHOP, "../../examples/shop-cluster"] {
        let output = bailiwick(&["validate", "-f", folder]);
        assert_eq!(code(&output), 0, "{folder}: {}", stdout(&output));
        assert!(stdout(&output).starts_with("OK: "), "{folder}: {}", stdout(&output));
    }
    assert_eq!(code(&bailiwick(&["validate", "-f", "no-such-folder"])), 3);
}

#[test]
fn can_ends_with_what_would_become_of_the_call() {
    let can = |from: &str, path: &str| bailiwick(&["can", from, "GET", "shop/orders", path, "-f", SHOP]);
    let allowed = can("shop/web", "/orders/1");
    assert_eq!(code(&allowed), 0, "{}", stdout(&allowed));
    assert!(stdout(&allowed).starts_with("ALLOW  "), "{}", stdout(&allowed));
    let denied = can("shop/web", "/orders/secret");
    assert_eq!(code(&denied), 2);
    assert!(stdout(&denied).contains("Policy shop/orders no-secrets"), "{}", stdout(&denied));
    let unproven = can("anonymous", "/orders/1");
    assert_eq!(code(&unproven), 2);
    assert!(stdout(&unproven).starts_with("UNAUTHENTICATED (401)"), "{}", stdout(&unproven));
    assert_eq!(code(&can("shop/web", "/orders/../1")), 2);
    let unknown = can("shop/wbe", "/orders/1");
    assert_eq!(code(&unknown), 3);
    assert!(stderr(&unknown).contains("did you mean `shop/web`?"), "{}", stderr(&unknown));
    assert_eq!(stdout(&unknown), "");
}

#[test]
fn can_answers_over_a_broken_folder_as_the_operator_would() {
    let output = bailiwick(&["can", "shop/orders", "GET", "shop/orders", "/", "-f", MISTAKES, "-o", "json"]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["verdict"], "deny");
    assert_eq!(answer["diagnostics"].as_array().unwrap().len(), 12);
    let text = bailiwick(&["can", "shop/orders", "GET", "shop/orders", "/", "-f", MISTAKES]);
    assert!(stdout(&text).starts_with("DENY (403)"), "{}", stdout(&text));
    assert!(stderr(&text).contains("error[BW0005]"), "{}", stderr(&text));
}

#[test]
fn what_is_wrong_with_the_arguments_is_exit_3() {
    for arguments in [
        &["can"][..],
        &["can", "a", "b", "c"],
        &["frobnicate"],
        &["validate", "--live"],
        &["version", "-o", "short"],
        &[],
    ] {
        assert_eq!(code(&bailiwick(arguments)), 3, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["can", "--help"], &["--version"]] {
        assert_eq!(code(&bailiwick(arguments)), 0, "{arguments:?}");
    }
    let gone = bailiwick(&["can", "a/b", "GET", "a/b", "/", "-f", "no-such-folder"]);
    assert_eq!(code(&gone), 3);
    assert!(stderr(&gone).contains("`no-such-folder` is not there"), "{}", stderr(&gone));
}

#[test]
fn crds_are_the_committed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let output = bailiwick(&["crds", "--write", folder.path().to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let mut count = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let committed = root().join("../../crds").join(path.file_name().unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), std::fs::read_to_string(committed).unwrap());
        count += 1;
    }
    assert_eq!(count, 7);
}

/// Where nothing listens.
fn no_cluster() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
        contexts: [{name: c, context: {cluster: c, user: u}}]\n\
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n";
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn without_a_cluster_every_command_says_so_and_ends_with_1() {
    let (_folder, kubeconfig) = no_cluster();
    let commands: [&[&str]; 4] =
        [&["status"], &["why", "5f-d2a"], &["validate"], &["can", "shop/web", "GET", "shop/orders", "/"]];
    for command in commands {
        let output = bailiwick(&[command, &["--kubeconfig", &kubeconfig]].concat());
        assert_eq!(code(&output), 1, "{command:?}");
        assert!(stderr(&output).contains("the API server does not answer"), "{}", stderr(&output));
    }
    let check = bailiwick(&["check", "--pre", "--kubeconfig", &kubeconfig]);
    assert_eq!(code(&check), 1);
    let text = stdout(&check);
    assert!(text.contains("kubernetes-api\n  × http://127.0.0.1:1/ does not answer"), "{text}");
    assert!(text.contains("docs/troubleshooting.md#kubeconfig"), "{text}");
    let json = bailiwick(&["check", "--kubeconfig", "/no/such/file", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((code(&json), report["ok"].as_bool(), report["failures"].as_u64()), (1, Some(false), Some(1)));
    let bad = bailiwick(&["why", "not an id", "--kubeconfig", &kubeconfig]);
    assert_eq!(code(&bad), 3);
}

#[test]
fn the_small_commands_answer() {
    let version: serde_json::Value =
        serde_json::from_slice(&bailiwick(&["version", "-o", "json"]).stdout).unwrap();
    assert_eq!(version["apiVersion"], "bailiwick.dev/v1alpha1");
    assert!(stdout(&bailiwick(&["completions", "bash"])).contains("bailiwick"));
    let status = bailiwick(&["status", "--operator", "http://127.0.0.1:1"]);
    assert_eq!(code(&status), 1);
    assert!(stderr(&status).contains("no operator answers at `http://127.0.0.1:1`"), "{}", stderr(&status));
}

#[cfg(unix)]
#[test]
fn kubectl_finds_it_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-bailiwick");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bailiwick"), &plugin).unwrap();
    let output = Command::new(plugin).args(["can", "--help"]).output().unwrap();
    assert!(stdout(&output).contains("Usage: kubectl bailiwick can"), "{}", stdout(&output));
}
