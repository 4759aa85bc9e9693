//! The walls between the crates and the budgets of their files, checked on the real tree of the workspace.
//!
//! ```text
//! identity ─┬─ policy ─── compile ─┬─ inputs ─┬─ operator (binary)     runtime: binaries only
//!           │     │                │   api ───┤                        testkit: tests only
//!           │     └─ wire ─────┐   └──────────┴─ cli (binary)          demo (binary): alone
//!           ├─ authn ──────────┼─ agent ── sidecar (binary)
//!           └─ ca ──── operator, cli, testkit            bench (binary): starts the others as processes
//! pod ──── capture ── sidecar;  pod ──── injector ── operator;  pod ── cli
//! ```
//!
//! A new crate or arrow is a decision: change [`ARROWS`], the drawing in ARCHITECTURE.md and, if it alters what a wall keeps apart,
//! write an ADR.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Checked<T> = Result<T, Box<dyn Error>>;

/// Which of our crates each of our crates may depend on directly, outside its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("identity", &[]),
    ("policy", &["identity"]),
    ("compile", &["identity", "policy"]),
    ("inputs", &["identity", "policy", "compile"]),
    ("api", &[]),
    ("wire", &["identity", "policy"]),
    ("authn", &["identity"]),
    ("ca", &["identity"]),
    ("agent", &["identity", "policy", "wire", "authn"]),
    ("runtime", &[]),
    ("pod", &[]),
    ("capture", &["pod"]),
    ("injector", &["compile", "inputs", "pod"]),
    ("sidecar", &["identity", "policy", "wire", "authn", "agent", "runtime", "pod", "capture"]),
    (
        "operator",
        &[
            "identity", "policy", "compile", "inputs", "api", "wire", "authn", "ca", "runtime", "pod",
            "injector",
        ],
    ),
    ("cli", &["identity", "policy", "compile", "inputs", "api", "authn", "ca", "pod"]),
    ("demo", &[]),
    ("bench", &["identity", "ca"]),
    ("testkit", &["identity", "policy", "compile", "inputs", "wire", "authn", "ca", "agent"]),
];

/// Crates that end in a process. Nothing may depend on them.
const BINARIES: &[&str] = &["sidecar", "operator", "cli", "demo", "bench"];

/// Crates that compute and do nothing else.
const PURE: &[&str] = &["identity", "policy", "compile", "wire", "pod", "injector"];

/// What brings an async runtime, a socket, TLS or a cluster into a tree.
const IMPURE: &[&str] = &["tokio", "hyper", "rustls", "kube", "k8s-openapi", "tonic", "socket2"];

/// What the data plane must not be able to see.
const CONTROL_PLANE: &[&str] = &[
    "kube",
    "kube-core",
    "k8s-openapi",
    "schemars",
    "cel",
    "kube-cel",
    "axum",
    "bailiwick-api",
    "bailiwick-inputs",
    "bailiwick-compile",
];

/// The only production files that may call what clippy.toml bans, which is how a peer or a subject is minted.
const MINTING: &[&str] = &["crates/authn/src/accept", "crates/authn/src/request", "crates/testkit/src/"];

/// Names that the traits of other crates dictate.
const FOREIGN_NAMES: &[&str] = &["offer_client_auth", "client_auth_mandatory", "client_auth_root_subjects"];

const FILE_LINES: usize = 400;
const MAIN_LINES: usize = 40;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names of the packages in a crate's tree of normal dependencies, itself among them.
fn tree(name: &str, arguments: &[&str]) -> Checked<BTreeSet<String>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--package"])
        .arg(format!("bailiwick-{name}"))
        .args(arguments)
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo tree of `{name}`: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

fn crates_on_disk() -> Checked<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root().join("crates"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> Checked<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Every production file of the workspace, as (path from the root, its text): neither tests nor generated code.
fn production_files() -> Checked<Vec<(String, String)>> {
    let mut paths = Vec::new();
    for name in crates_on_disk()? {
        rust_files(&root().join("crates").join(name).join("src"), &mut paths)?;
    }
    let mut files = Vec::new();
    for path in paths {
        let shown = path.strip_prefix(root())?.to_string_lossy().replace('\\', "/");
        let is_test =
            shown.ends_with("/tests.rs") || shown.ends_with("_tests.rs") || shown.contains("/tests/");
        if !is_test && !shown.contains("/src/proto/") {
            files.push((shown, fs::read_to_string(&path)?));
        }
    }
    Ok(files)
}

/// The lines of a file without its inline test modules. Relies on rustfmt: such a module ends with a brace in the first column.
fn production_lines(source: &str) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            kept.push(line);
            continue;
        }
        let opens = lines.by_ref().find(|line| line.ends_with(['{', '}', ';']));
        if opens.is_some_and(|line| line.ends_with('{')) {
            let _closing_brace = lines.by_ref().find(|line| *line == "}");
        }
    }
    kept
}

/// Is one of the words of an identifier plain `auth`? Both `the_auth` and `TheAuth` are; `authn`, `authority` are not.
fn says_plain_auth(identifier: &str) -> bool {
    let mut spaced = String::new();
    for letter in identifier.chars() {
        if letter.is_uppercase() || !letter.is_alphanumeric() {
            spaced.push(' ');
        }
        spaced.extend(letter.to_lowercase().filter(|letter| letter.is_alphanumeric()));
    }
    spaced.split_whitespace().any(|word| word == "auth")
}

/// The names that a line of code defines: after a keyword, or before a colon.
fn defined_names(line: &str) -> Vec<&str> {
    const KEYWORDS: &[&str] =
        &["fn", "struct", "enum", "trait", "mod", "const", "static", "type", "let", "mut"];
    let mut names = Vec::new();
    let mut previous = "";
    for word in line.split_whitespace() {
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let name = word.split(|letter| !is_name(letter)).next().unwrap_or("");
        if KEYWORDS.contains(&previous) || word.strip_suffix(':').is_some_and(|bare| bare == name) {
            names.push(name);
        }
        previous = word;
    }
    names
}

/// What a test found, a line each. A failed test shows its error by `Debug`, so that is where the lines are.
struct Findings(String);

impl std::fmt::Debug for Findings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Findings {}

fn report(findings: &[String]) -> Checked<()> {
    if findings.is_empty() { Ok(()) } else { Err(Findings(format!("\n  {}", findings.join("\n  "))).into()) }
}

#[test]
fn arrows_are_those_of_the_drawing() -> Checked<()> {
    let mut findings = Vec::new();
    let drawn: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for name in crates_on_disk()?.symmetric_difference(&drawn) {
        findings.push(format!(
            "crates/{name} and the table ARROWS of this test disagree: one of them does not have it"
        ));
    }
    for (name, allowed) in
        ARROWS.iter().filter(|(name, _)| crates_on_disk().is_ok_and(|disk| disk.contains(*name)))
    {
        for dependency in tree(name, &["--depth", "1", "--all-features"])? {
            let Some(ours) = dependency.strip_prefix("bailiwick-") else { continue };
            if ours != *name && !allowed.contains(&ours) {
                findings.push(format!("`{name}` must not depend on `{ours}`"));
            }
        }
    }
    report(&findings)
}

#[test]
fn nothing_depends_on_a_binary_crate() {
    for (name, allowed) in ARROWS {
        for binary in BINARIES {
            assert!(
                !allowed.contains(binary),
                "the table lets `{name}` depend on the binary crate `{binary}`"
            );
        }
    }
}

#[test]
fn pure_crates_hold_no_runtime_no_tls_and_no_cluster() -> Checked<()> {
    let mut findings = Vec::new();
    for name in PURE {
        let held = tree(name, &["--no-default-features"])?;
        findings.extend(
            IMPURE.iter().filter(|bad| held.contains(**bad)).map(|bad| format!("`{name}` holds `{bad}`")),
        );
    }
    report(&findings)
}

#[test]
fn the_sidecar_cannot_see_the_control_plane() -> Checked<()> {
    let held = tree("sidecar", &["--all-features"])?;
    let seen = CONTROL_PLANE.iter().filter(|bad| held.contains(**bad));
    report(&seen.map(|bad| format!("the sidecar's tree holds `{bad}`")).collect::<Vec<_>>())
}

#[test]
fn the_operator_holds_no_kubernetes_client_without_its_feature() -> Checked<()> {
    let held = tree("operator", &[])?;
    let seen = ["kube", "kube-client", "k8s-openapi"].into_iter().filter(|bad| held.contains(*bad));
    report(
        &seen
            .map(|bad| format!("without the feature `cluster` the operator holds `{bad}`"))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn authentication_and_authorization_never_see_each_other() -> Checked<()> {
    let mut findings = Vec::new();
    for (one, other) in [("authn", "bailiwick-policy"), ("policy", "bailiwick-authn")] {
        if tree(one, &["--all-features"])?.contains(other) {
            findings.push(format!("`{one}` sees `{other}`"));
        }
    }
    report(&findings)
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() -> Checked<()> {
    let mut findings = Vec::new();
    for name in crates_on_disk()? {
        let manifest = fs::read_to_string(root().join("crates").join(&name).join("Cargo.toml"))?;
        if !manifest.contains("[lints]\nworkspace = true") {
            findings.push(format!("crates/{name}/Cargo.toml lacks `[lints] workspace = true`"));
        }
    }
    report(&findings)
}

/// Clippy reads only the nearest clippy.toml, so one in a crate silently drops the bans of the root's.
#[test]
fn a_crates_own_clippy_file_repeats_every_ban() -> Checked<()> {
    let banned = |text: &str| -> BTreeSet<String> {
        let paths = text.lines().filter_map(|line| line.split("path = \"").nth(1));
        paths.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let everywhere = banned(&fs::read_to_string(root().join("clippy.toml"))?);
    assert!(!everywhere.is_empty(), "no ban was found in clippy.toml: has its form changed?");
    let mut findings = Vec::new();
    for name in crates_on_disk()? {
        let own = root().join("crates").join(&name).join("clippy.toml");
        if own.is_file() {
            let repeated = banned(&fs::read_to_string(own)?);
            let lost = everywhere.difference(&repeated);
            findings.extend(
                lost.map(|path| format!("crates/{name}/clippy.toml does not repeat the ban of `{path}`")),
            );
        }
    }
    report(&findings)
}

#[test]
fn peers_and_subjects_are_minted_in_the_named_files_only() -> Checked<()> {
    let mut findings = Vec::new();
    for (path, text) in production_files()? {
        let lifts = production_lines(&text).iter().any(|line| line.contains("disallowed_methods"));
        if lifts && !MINTING.iter().any(|start| path.starts_with(start)) {
            findings.push(format!("{path} lifts the ban of clippy.toml"));
        }
    }
    report(&findings)
}

#[test]
fn files_stay_within_their_budgets() -> Checked<()> {
    let mut findings = Vec::new();
    for (path, text) in production_files()? {
        let limit = if path.ends_with("/src/main.rs") { MAIN_LINES } else { FILE_LINES };
        let length = production_lines(&text).len();
        if length > limit {
            findings.push(format!("{path} has {length} production lines; at most {limit}: split it by job"));
        }
    }
    report(&findings)
}

#[test]
fn nothing_is_called_plain_auth() -> Checked<()> {
    let mut findings = Vec::new();
    for (path, text) in production_files()? {
        let inside = path.split_once("/src/").map_or(path.as_str(), |(_, inside)| inside);
        if inside.split('/').any(|part| says_plain_auth(part.trim_end_matches(".rs"))) {
            findings.push(format!(
                "{path}: say authentication or authorization (authn, authz), never plain auth"
            ));
        }
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            let ours = |name: &&str| says_plain_auth(name) && !FOREIGN_NAMES.contains(name);
            for name in defined_names(line).into_iter().filter(ours) {
                findings
                    .push(format!("{path}:{}: `{name}` is plain auth: which of the two is it?", index + 1));
            }
        }
    }
    report(&findings)
}

#[test]
fn the_readers_of_this_test_read_right() {
    let source = "use a;\n#[cfg(test)]\n#[expect(\n    x,\n    reason = \"y\"\n)]\nmod tests {\n    fn t() {}\n}\nfn b() {}\n";
    assert_eq!(production_lines(source), ["use a;", "fn b() {}"]);
    assert_eq!(production_lines("#[cfg(test)]\nmod tests;\nfn b() {}\n"), ["fn b() {}"]);
    assert!(says_plain_auth("auth") && says_plain_auth("AuthConfig") && says_plain_auth("request_auth"));
    assert!(!says_plain_auth("authn") && !says_plain_auth("Authentication") && !says_plain_auth("authority"));
    assert_eq!(defined_names("    pub fn serve(port: Port) {"), ["serve"]);
    assert_eq!(defined_names("    auth: Config,"), ["auth"]);
}
