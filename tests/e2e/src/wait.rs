//! Waiting for what comes, and watching that something stays.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{kubectl_text, system_namespace};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Tries until it succeeds; gives the last failure if it does not in time.
///
/// # Errors
/// If it did not succeed in time.
pub fn eventually<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(found) => return Ok(found),
            Err(error) if start.elapsed() >= within => {
                return Err(error).with_context(|| format!("not within {} s: {what}", within.as_secs_f32()));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Looks again and again; it must hold each time.
///
/// # Errors
/// As soon as it does not hold.
pub fn holds_for(what: &str, time: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        if !look()? {
            bail!("after {} s no longer: {what}", start.elapsed().as_secs_f32());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Waits until what earlier faults did is over: every node is Ready, names resolve again, and the operator is complete.
///
/// # Errors
/// If that takes more than two minutes.
pub fn settled() -> Result<()> {
    eventually("the cluster has settled", Duration::from_secs(120), || {
        let ready = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}";
        let nodes = kubectl_text(&["get", "nodes", "-o", ready])?;
        ensure!(nodes.split_whitespace().all(|status| status == "True"), "nodes: {nodes}");
        let counts = "jsonpath={.spec.replicas}/{.status.availableReplicas}";
        for (namespace, name) in
            [("kube-system", "coredns"), (system_namespace().as_str(), "bailiwick-operator")]
        {
            let found = kubectl_text(&[
                "-n",
                namespace,
                "get",
                "deployment",
                name,
                "--ignore-not-found",
                "-o",
                counts,
            ])?;
            let complete = found.split_once('/').is_none_or(|(wanted, available)| wanted == available);
            ensure!(complete, "{name}: {found}");
        }
        Ok(())
    })
}
