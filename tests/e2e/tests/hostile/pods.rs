//! Pods that try to escape injection or inbound capture: the admission refuses each, and says why.

use anyhow::{Context as _, Result, ensure};
use bailiwick_e2e::{Scene, tools_image};

/// One document a case: ordinary pods whose annotation `tests/expect` holds a word of the refusal.
const CASES: &str = include_str!("../../../hostile/pods.yaml");

#[test]
fn every_pod_that_would_escape_is_refused() -> Result<()> {
    let scene = Scene::enrolled("escape")?;
    let mut cases = 0;
    for document in CASES.split("\n---").filter(|document| document.contains("kind: Pod")) {
        let expected = document
            .lines()
            .find_map(|line| line.trim().strip_prefix("# expect: "))
            .with_context(|| format!("a case without `# expect:`:\n{document}"))?;
        let said = scene.try_apply(&document.replace("IMAGE", &tools_image()))?.refused()?;
        ensure!(said.contains(expected), "expected `{expected}`, got: {said}\nfor:\n{document}");
        cases += 1;
    }
    println!("{cases} pods refused");
    ensure!(cases >= 30, "only {cases} cases");
    Ok(())
}
