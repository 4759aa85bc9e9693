//! The binary as a process: how it starts, and that it can be killed at any moment.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Checked<T> = Result<T, Box<dyn Error>>;

/// Without a folder the cluster is meant.
const SOURCE_MISSING: &str =
    if cfg!(feature = "cluster") { "POD_NAMESPACE: is not set" } else { "source: is required" };

const WORKLOAD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {containers: [{name: app, image: app}]}\n";

fn operator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick-operator"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start(folder: &Path) -> Checked<Child> {
    drop(fs::remove_file(folder.join("ready.json")));
    let mut command = operator();
    for (flag, name) in [("--source", "source"), ("--state", "state"), ("--ready-file", "ready.json")] {
        command.arg(flag).arg(folder.join(name));
    }
    for flag in ["--identity-listen", "--configuration-listen", "--admin-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    Ok(command.spawn()?)
}

fn wait_until_ready(folder: &Path) -> Checked<()> {
    let start = Instant::now();
    while !folder.join("ready.json").exists() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err("the operator is not ready after 20 s".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// (epoch, mark, root); an operator that was killed before it wrote them has none.
fn identity(folder: &Path) -> Checked<Option<(String, u64, String)>> {
    let state = folder.join("state");
    if !state.join("mark").exists() {
        return Ok(None);
    }
    let text = |name: &str| fs::read_to_string(state.join(name));
    Ok(Some((text("epoch")?, text("mark")?.trim().parse()?, text("root.pem")?)))
}

#[test]
fn killed_at_any_moment_it_comes_back_as_the_same_and_never_goes_back() -> Checked<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    fs::create_dir(folder.join("source"))?;
    fs::write(folder.join("source/web.yaml"), WORKLOAD)?;
    let mut last: Option<(String, u64, String)> = None;
    for round in 0..24_u64 {
        let mut child = start(folder)?;
        // From before its first write to after it serves.
        std::thread::sleep(Duration::from_millis(round * 3));
        child.kill()?;
        child.wait()?;
        let now = identity(folder)?;
        if let (Some((epoch, mark, root)), Some((new_epoch, new_mark, new_root))) = (&last, &now) {
            assert_eq!((epoch, root), (new_epoch, new_root), "round {round}");
            assert!(new_mark >= mark, "round {round}: {new_mark} after {mark}");
        }
        assert!(last.is_none() || now.is_some(), "round {round}: the state is gone");
        last = now;
    }
    let mut child = start(folder)?;
    wait_until_ready(folder)?;
    assert!(folder.join("state/tokens/shop.web.token").exists());
    let left: Vec<_> = fs::read_dir(folder.join("state/tokens"))?.collect::<Result<_, _>>()?;
    assert_eq!(left.len(), 1, "nothing of the killed ones is left among the tokens");
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[test]
fn sigterm_ends_it_with_success_at_once() -> Checked<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    fs::create_dir(folder.join("source"))?;
    let mut child = start(folder)?;
    wait_until_ready(folder)?;
    let begun = Instant::now();
    Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status()?;
    assert!(child.wait()?.success());
    assert!(begun.elapsed() < Duration::from_secs(2));
    Ok(())
}

#[test]
fn wrong_settings_end_it_with_3_and_every_mistake() -> Checked<()> {
    let output = operator()
        .args(["--admin-listen", "nowhere"])
        .env("BAILIWICK_OPERATOR_STAET", "x")
        .stderr(Stdio::piped())
        .output()?;
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr)?;
    for part in [SOURCE_MISSING, "adminListen: `nowhere`", "BAILIWICK_OPERATOR_STAET"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    assert_eq!(operator().arg("--sorce").status()?.code(), Some(3));
    assert_eq!(operator().arg("--version").status()?.code(), Some(0));
    Ok(())
}
