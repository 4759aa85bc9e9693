//! The operator's replicas.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::fact::{Fact, Hint, count, listed};
use super::observe::{Installed, Observed};
use crate::cluster::{is_over, items, labels, path, text};

/// A lease that was not renewed for so long is nobody's.
const STALE: i64 = 30;

/// Replicas, leader, versions.
pub(super) fn facts(observed: &Observed, installed: &Installed) -> Vec<Fact> {
    let mut facts = vec![ready(observed, installed)];
    let live: Vec<&Value> = match &installed.operators {
        Ok(pods) => pods.iter().filter(|pod| !is_over(pod)).collect(),
        Err(why) => {
            facts.push(Fact::unseen("the operator's pods", why));
            return facts;
        }
    };
    if live.is_empty() {
        return facts;
    }
    facts.push(versions(installed, &live));
    facts.push(lease(observed, installed, &live));
    facts.extend(answers(installed));
    facts
}

fn ready(observed: &Observed, installed: &Installed) -> Fact {
    let namespace = &observed.operator_namespace;
    let deployment = match &installed.deployment {
        Ok(Some(deployment)) => deployment,
        Ok(None) => {
            let text = format!("there is no Deployment bailiwick-operator in {namespace}");
            let todo = "helm install bailiwick, or say where it is with --operator-namespace";
            return Fact::failure(text, todo, Hint::OperatorReady);
        }
        Err(why) => return Fact::unseen("the operator's Deployment", why),
    };
    let number = |pointer: &str| path(deployment, pointer).and_then(Value::as_u64).unwrap_or_default();
    let (wanted, ready) = (number("/spec/replicas"), number("/status/readyReplicas"));
    let text = format!("{ready} of {wanted} replicas are ready");
    let todo = format!(
        "kubectl -n {namespace} describe pods, and kubectl -n {namespace} logs deployment/bailiwick-operator"
    );
    if ready == 0 {
        Fact::failure(text, todo, Hint::OperatorReady)
    } else if ready < wanted {
        Fact::warning(text, todo, Hint::OperatorReady)
    } else if wanted < 2 {
        let text =
            "1 of 1 replicas is ready: while it restarts no certificate is issued and no pod is injected";
        Fact::warning(text, "set replicas to 2 or more", Hint::OperatorReady)
    } else {
        Fact::ok(text)
    }
}

/// The version of a replica: what it says itself, or the label that the chart gives its pod.
pub(super) fn version(installed: &Installed, pod: &Value) -> String {
    let told = installed.reports.answered.get(text(pod, "/metadata/name")).cloned().flatten();
    let labelled = || labels(pod).get("app.kubernetes.io/version").map(|version| (*version).to_owned());
    told.or_else(labelled).unwrap_or_else(|| "unknown".to_owned())
}

fn versions(installed: &Installed, live: &[&Value]) -> Fact {
    let own = env!("CARGO_PKG_VERSION");
    let found: BTreeSet<String> = live.iter().map(|pod| version(installed, pod)).collect();
    let found: Vec<String> = found.into_iter().collect();
    match found.as_slice() {
        [one] if one == own => Fact::ok(format!("all replicas are version {one}, as this command")),
        [one] => {
            let text = format!("the operator is version {one}, this command {own}");
            Fact::warning(text, "use the command of the operator's version", Hint::OperatorVersions)
        }
        several => {
            let text = format!("replicas of different versions: {}", listed(several));
            let todo = "kubectl -n bailiwick-system rollout status deployment/bailiwick-operator";
            Fact::warning(text, todo, Hint::OperatorVersions)
        }
    }
}

fn lease(observed: &Observed, installed: &Installed, live: &[&Value]) -> Fact {
    let todo = "look for `lease` in the operator's log; without a leader no status is written";
    let lease = match &installed.lease {
        Ok(Some(lease)) => lease,
        Ok(None) => {
            let text = "there is no Lease bailiwick-operator: no replica writes status";
            return Fact::failure(text, todo, Hint::OperatorLease);
        }
        Err(why) => return Fact::unseen("the operator's Lease", why),
    };
    let holder = text(lease, "/spec/holderIdentity");
    if holder.is_empty() {
        let text = "nobody holds the Lease bailiwick-operator: a new leader takes it within seconds";
        return Fact::failure(text, todo, Hint::OperatorLease);
    }
    if !live.iter().any(|pod| text(pod, "/metadata/name") == holder) {
        let text = format!("the Lease is held by `{holder}`, which is no replica that runs");
        return Fact::failure(text, todo, Hint::OperatorLease);
    }
    let renewed: Option<Timestamp> = text(lease, "/spec/renewTime").parse().ok();
    match renewed.map(|renewed| observed.now.as_second() - renewed.as_second()) {
        Some(age) if age <= STALE => {
            Fact::ok(format!("{holder} leads, and renewed its Lease {} s ago", age.max(0)))
        }
        Some(age) => Fact::failure(
            format!("{holder} has not renewed its Lease for {age} s"),
            todo,
            Hint::OperatorLease,
        ),
        None => Fact::failure(format!("the Lease of {holder} was never renewed"), todo, Hint::OperatorLease),
    }
}

fn answers(installed: &Installed) -> Vec<Fact> {
    let reports = &installed.reports;
    let mut facts = Vec::new();
    if !reports.answered.is_empty() {
        facts.push(Fact::ok(format!(
            "{} when asked by port-forward",
            match reports.answered.len() {
                1 => "1 replica answers".to_owned(),
                many => format!("{many} replicas answer"),
            }
        )));
    }
    for (replica, why) in &reports.unreached {
        let todo =
            "the sidecars that it serves are not in this report; may you `create pods/portforward` there?";
        facts.push(Fact::warning(format!("{replica} does not answer: {why}"), todo, Hint::OperatorAnswers));
    }
    for problem in &reports.problems {
        let todo = "kubectl get bwtrustdomains -o yaml, and the operator's log";
        facts.push(Fact::failure(format!("the operator says: {problem}"), todo, Hint::OperatorProblems));
    }
    let restarts: Vec<String> = installed
        .operators
        .iter()
        .flatten()
        .filter_map(|pod| {
            let restarts = items(pod, "/status/containerStatuses").iter();
            let count: u64 =
                restarts.filter_map(|one| path(one, "/restartCount").and_then(Value::as_u64)).sum();
            (count > 3).then(|| {
                format!(
                    "{} ({})",
                    text(pod, "/metadata/name"),
                    self::count(usize::try_from(count).unwrap_or(usize::MAX), "restart")
                )
            })
        })
        .collect();
    if !restarts.is_empty() {
        let todo = "kubectl -n bailiwick-system logs --previous POD";
        facts.push(Fact::warning(
            format!("replicas that restarted: {}", listed(&restarts)),
            todo,
            Hint::OperatorReady,
        ));
    }
    facts
}
