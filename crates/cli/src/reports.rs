//! What the operator's replicas say of themselves, put together.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::cluster::{Answered, Reply, flag, items, labels, path, text};

/// The audits of a namespace, by their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct NamespaceMode {
    /// Unproven callers are let through.
    pub(crate) authentication_audit: bool,
    /// Refused calls are let through.
    pub(crate) authorization_audit: bool,
}

impl NamespaceMode {
    /// By the labels of a namespace.
    pub(crate) fn of(namespace: &Value) -> Self {
        let labels = labels(namespace);
        let audits = |label: &str| labels.get(label) == Some(&"audit");
        Self {
            authentication_audit: audits("bailiwick.dev/authentication"),
            authorization_audit: audits("bailiwick.dev/authorization"),
        }
    }

    /// In a word or two.
    pub(crate) const fn word(self) -> &'static str {
        match (self.authentication_audit, self.authorization_audit) {
            (false, false) => "enforce",
            (true, true) => "audit",
            (true, false) => "authentication audit",
            (false, true) => "authorization audit",
        }
    }
}

/// True if pods of a namespace are to have a sidecar.
pub(crate) fn enrolled(namespace: &Value, operator_namespace: &str) -> bool {
    let label = labels(namespace).get(bailiwick_pod::names::INJECT_LABEL).copied();
    let name = text(namespace, "/metadata/name");
    label == Some(bailiwick_pod::names::INJECT_ENABLED) && name != "kube-system" && name != operator_namespace
}

/// A sidecar as its replica of the operator knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sidecar {
    /// Which replica serves it.
    pub(crate) replica: String,
    pub(crate) version: String,
    /// Seconds since the Unix epoch.
    pub(crate) certificate_not_after: i64,
    /// The snapshot that it acknowledged.
    pub(crate) snapshot: Option<String>,
    /// True if that is what it is to enforce now.
    pub(crate) current: bool,
    /// Why it refused what it was sent.
    pub(crate) refused_because: Option<String>,
    #[serde(skip)]
    connected_millis: u64,
}

/// What all replicas say together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports {
    /// Those that answered, and their versions where they say them.
    pub(crate) answered: BTreeMap<String, Option<String>>,
    /// Those that did not, and why.
    pub(crate) unreached: BTreeMap<String, String>,
    pub(crate) mesh: Option<Value>,
    /// Of the leader, or of the first that answers: only the leader knows every acknowledgement.
    pub(crate) objects: Vec<Value>,
    /// By the UID of their pod.
    pub(crate) sidecars: BTreeMap<String, Sidecar>,
    /// The identity of each workload, by namespace and name.
    pub(crate) identities: BTreeMap<(String, String), String>,
    /// What is wrong with what the operator reads.
    pub(crate) problems: Vec<String>,
}

impl Reports {
    /// Puts answers together.
    pub(crate) fn merge(answers: &[Answered], leader: Option<&str>) -> Self {
        let mut all = Self::default();
        let mut told = Vec::new();
        for answer in answers {
            let name = answer.replica.clone();
            let read = match &answer.reply {
                Ok(Reply::Found(text)) => serde_json::from_str::<Value>(text)
                    .map_err(|error| format!("its answer cannot be read: {error}")),
                Ok(Reply::NotFound) => Err("it has no `/config`".to_owned()),
                Err(why) => Err(why.clone()),
            };
            match read {
                Ok(report) => told.push((name, report)),
                Err(why) => drop(all.unreached.insert(name, why)),
            }
        }
        let first = told.iter().find(|(name, _)| Some(name.as_str()) == leader).or_else(|| told.first());
        if let Some((_, report)) = first {
            all.objects = items(report, "/objects").to_vec();
            all.mesh = path(report, "/mesh").cloned();
            all.problems = problems(report);
        }
        for (name, report) in &told {
            let version = path(report, "/cluster/version").and_then(Value::as_str).map(str::to_owned);
            all.answered.insert(name.clone(), version);
            all.add_streams(name, report);
        }
        for (_, report) in &told {
            all.add_told(report);
        }
        all
    }

    /// The sidecars that a replica serves itself.
    fn add_streams(&mut self, replica: &str, report: &Value) {
        for workload in items(report, "/workloads") {
            let key = (text(workload, "/namespace").to_owned(), text(workload, "/name").to_owned());
            self.identities.insert(key, text(workload, "/identity").to_owned());
            for sidecar in items(workload, "/sidecars") {
                let read = Sidecar::of(replica, sidecar, "/sidecarVersion");
                let known = self.sidecars.get(text(sidecar, "/instance"));
                // One that went from replica to replica may stand in both for a moment.
                if known.is_none_or(|known| known.connected_millis <= read.connected_millis) {
                    self.sidecars.insert(text(sidecar, "/instance").to_owned(), read);
                }
            }
        }
    }

    /// The sidecars of replicas that could not be asked, as the leader was told of them.
    fn add_told(&mut self, report: &Value) {
        for pod in items(report, "/cluster/pods") {
            let Some(sidecar) = path(pod, "/sidecar").filter(|sidecar| flag(sidecar, "/connected")) else {
                continue;
            };
            let read = Sidecar::of(text(sidecar, "/replica"), sidecar, "/version");
            self.sidecars.entry(text(pod, "/uid").to_owned()).or_insert(read);
        }
    }

    /// The identity that a pod has.
    pub(crate) fn identity(&self, namespace: &str, name: &str) -> Option<&str> {
        self.identities.get(&(namespace.to_owned(), name.to_owned())).map(String::as_str)
    }
}

fn problems(report: &Value) -> Vec<String> {
    let parts = path(report, "/sourceProblems").and_then(Value::as_object).into_iter().flatten();
    let parts = parts.map(|(part, problem)| format!("{part}: {}", problem.as_str().unwrap_or_default()));
    let because = text(report, "/mesh/issuesNothingBecause");
    let issuing = (!because.is_empty()).then(|| format!("no certificate is issued: {because}"));
    parts.chain(issuing).collect()
}

impl Sidecar {
    fn of(replica: &str, sidecar: &Value, version: &str) -> Self {
        let some = |pointer: &str| path(sidecar, pointer).and_then(Value::as_str).map(str::to_owned);
        let bundle = some("/bundleRefusedBecause").map(|why| format!("the trust bundle: {why}"));
        let number = |pointer: &str| path(sidecar, pointer).and_then(Value::as_i64).unwrap_or_default();
        Self {
            replica: replica.to_owned(),
            version: text(sidecar, version).to_owned(),
            certificate_not_after: number("/certificateNotAfter"),
            snapshot: some("/acknowledgedSnapshotId"),
            current: flag(sidecar, "/current"),
            refused_because: some("/refusedBecause").or(bundle),
            connected_millis: number("/connectedMillis").unsigned_abs(),
        }
    }
}

/// A span of time for people.
pub(crate) fn span(seconds: i64) -> String {
    match seconds {
        i64::MIN..=0 => "ended".to_owned(),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        172_800.. => format!("{} d", seconds / 86_400),
    }
}

/// True if a version is lower than another; one that cannot be read is not.
pub(crate) fn older(version: &str, than: &str) -> bool {
    match (version_parts(version), version_parts(than)) {
        (Some(version), Some(than)) => version < than,
        (None, _) | (_, None) => false,
    }
}

/// A version as numbers; `None` if it is none.
pub(crate) fn version_parts(version: &str) -> Option<(u64, u64, u64)> {
    let plain = version.split(['-', '+']).next()?;
    let mut numbers = plain.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(replica: &str, report: &Value) -> Answered {
        Answered { replica: replica.to_owned(), reply: Ok(Reply::Found(report.to_string())) }
    }

    fn report(instance: &str, connected: u64, current: bool) -> Value {
        json!({"objects": [{"name": instance}], "workloads": [
            {"namespace": "shop", "name": "web-1", "identity": "spiffe://x/ns/shop/sa/web", "sidecars": [
                {"instance": instance, "sidecarVersion": "0.1.0", "certificateNotAfter": 9,
                 "connectedMillis": connected, "current": current}]}]})
    }

    #[test]
    fn the_newest_stream_counts_and_the_leader_speaks_of_objects() {
        let silent = Answered { replica: "c".to_owned(), reply: Err("it is Pending".to_owned()) };
        let answers = [answer("a", &report("u1", 5, false)), answer("b", &report("u1", 7, true)), silent];
        let merged = Reports::merge(&answers, Some("b"));
        let sidecar = &merged.sidecars["u1"];
        assert_eq!((sidecar.replica.as_str(), sidecar.current), ("b", true));
        assert_eq!(merged.objects.len(), 1);
        assert_eq!(merged.unreached["c"], "it is Pending");
        assert_eq!(merged.identity("shop", "web-1"), Some("spiffe://x/ns/shop/sa/web"));
    }

    #[test]
    fn what_a_replica_was_told_stands_in_for_one_that_does_not_answer() {
        let told = json!({"workloads": [], "cluster": {"version": "0.2.0", "pods": [
            {"uid": "u2", "sidecar": {"connected": true, "replica": "gone", "version": "0.1.0", "current": true}}]}});
        let merged = Reports::merge(&[answer("a", &told)], None);
        assert_eq!(merged.sidecars["u2"].replica, "gone");
        assert_eq!(merged.answered["a"].as_deref(), Some("0.2.0"));
    }

    #[test]
    fn spans_are_short() {
        let spans = [0, 60, 600, 80_000, 400_000].map(span);
        assert_eq!(spans, ["ended", "60 s", "10 min", "22 h", "4 d"]);
    }
}
