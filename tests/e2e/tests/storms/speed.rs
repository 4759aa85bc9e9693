//! How long an edit takes. Nothing here is asserted but that it happens: figures are printed.

use std::time::Instant;

use anyhow::Result;
use bailiwick_e2e::{Scene, Server, settled};

#[test]
fn from_apply_to_enforced_on_both_nodes() -> Result<()> {
    settled()?;
    let scene = Scene::enrolled("speed")?;
    scene.server(&Server::new("orders").replicas(2))?;
    scene.ready()?;
    let policy = |number: usize| {
        format!(
            "
apiVersion: bailiwick.dev/v1alpha1
kind: Policy
metadata: {{name: orders}}
spec:
  rules:
  - name: web-reads
    effect: Allow
    subjects: [{{serviceAccount: {{name: web}}}}]
    permissions: [{{http: {{methods: [GET], paths: ['/orders/{number}']}}}}]
"
        )
    };
    scene.enforce(&policy(1000))?;
    let rounds = std::env::var("BAILIWICK_E2E_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let mut seconds = Vec::with_capacity(rounds);
    for number in 0..rounds {
        let start = Instant::now();
        scene.apply(&policy(number))?;
        // A condition of the generation before would be no proof: the wait is for the new one.
        let generation = scene.kubectl(&["get", "bwp", "orders", "-o", "jsonpath={.metadata.generation}"])?;
        let path = format!("jsonpath={{.status.observedGeneration}}={generation}");
        scene.kubectl(&["wait", &format!("--for={path}"), "bwp/orders", "--timeout=20s"])?;
        scene.enforced("bwp/orders")?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let at = |part: usize| seconds.get(part).copied().unwrap_or_default();
    println!(
        "kubectl apply to enforced, kubectl's own time included, {rounds} times: median {:.3} s, worst {:.3} s",
        at(rounds / 2),
        at(rounds.saturating_sub(1))
    );
    Ok(())
}
