//! What Helm does with a release: its test, an upgrade that changes a definition, an uninstall that is refused.

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{Scene, helm, kubectl_text, shell, system_namespace};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/bailiwick");

/// `helm COMMAND bailiwick …` in the release's namespace.
fn release(command: &str, arguments: &[&str]) -> Result<bailiwick_e2e::Run> {
    let namespace = system_namespace();
    helm(&[&[command, "bailiwick"], arguments, &["--namespace", &namespace]].concat())
}

/// A field of `helm status`.
fn of_status(pointer: &str) -> Result<serde_json::Value> {
    let status: serde_json::Value = serde_json::from_str(&release("status", &["-o", "json"])?.ok()?)?;
    status.pointer(pointer).cloned().with_context(|| format!("`{pointer}` is missing in {status}"))
}

fn upgrade(chart: &str) -> Result<()> {
    release("upgrade", &[chart, "--reset-then-reuse-values", "--wait", "--timeout", "180s"])?.ok()?;
    Ok(())
}

#[test]
fn the_release_tests_itself_with_one_allowed_and_one_refused_call() -> Result<()> {
    let run = release("test", &["--timeout", "180s"])?;
    let told = run.stdout.clone() + &run.stderr;
    run.ok()?;
    for part in ["/allowed", "200 ", "/refused", "403 ", "2 calls, 0 not as expected"] {
        ensure!(told.contains(part), "`{part}` is missing in: {told}");
    }
    Ok(())
}

#[test]
fn an_upgrade_brings_changed_definitions_and_leaves_what_the_operator_writes() -> Result<()> {
    let copied = shell(&format!(
        "folder=$(mktemp -d); cp -a {CHART}/. \"$folder\"; \
         sed -i 's/name: Age$/name: Since/' \"$folder\"/files/crds/bailiwick.dev_bwroles.yaml; echo \"$folder\""
    ))?
    .ok()?;
    let columns = || {
        let path = "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}";
        kubectl_text(&["get", "crd", "bwroles.bailiwick.dev", "-o", path])
    };
    let believed = || {
        let path = "jsonpath={.webhooks[0].clientConfig.caBundle}";
        kubectl_text(&["get", "mutatingwebhookconfiguration", "bailiwick-injector", "-o", path])
    };
    let before = believed()?;
    ensure!(!before.is_empty(), "the operator has not written whom to believe");
    upgrade(copied.trim())?;
    let (changed, after) = (columns()?, believed()?);
    upgrade(CHART)?;
    shell(&format!("rm -rf {}", copied.trim()))?.ok()?;
    ensure!(changed.contains("Since"), "{changed}");
    ensure!(after == before, "Helm changed the field that the operator writes");
    ensure!(columns()?.contains("Age"), "the second upgrade changed nothing");
    Ok(())
}

#[test]
fn an_uninstall_is_refused_while_a_namespace_is_enrolled() -> Result<()> {
    let scene = Scene::enrolled("uninstall")?;
    let revision = of_status("/version")?.to_string();
    let told = release("uninstall", &[])?.refused()?;
    // Before anything can fail: the other tests need the release.
    let put_back = release("rollback", &[&revision, "--wait", "--timeout", "180s"])?;
    ensure!(told.contains("namespaces are enrolled") && told.contains(scene.namespace()), "{told}");
    put_back.ok()?;
    let status = of_status("/info/status")?;
    ensure!(status == "deployed", "{status}");
    kubectl_text(&["get", "mutatingwebhookconfiguration", "bailiwick-injector", "-o", "name"])?;
    Ok(())
}
