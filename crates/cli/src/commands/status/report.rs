//! The operator's report as tables. A field that it lacks, of another version, is shown as `-`.

use serde::Deserialize;

use crate::render::table;

/// What the operator says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    mesh: Option<Mesh>,
    #[serde(default)]
    source_problems: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    diagnostics: Vec<String>,
    objects: Vec<Object>,
    workloads: Vec<Workload>,
    publication: Option<Publication>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mesh {
    trust_domain: String,
    issues: bool,
    issues_nothing_because: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object {
    kind: String,
    #[serde(default)]
    namespace: String,
    name: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    conditions: Vec<Condition>,
    #[serde(default)]
    enforced: String,
}

#[derive(Debug, Deserialize)]
struct Condition {
    r#type: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workload {
    namespace: String,
    name: String,
    identity: String,
    version: Option<u64>,
    #[serde(default)]
    sidecars: Vec<Sidecar>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sidecar {
    instance: String,
    acknowledged_version: Option<u64>,
    #[serde(default)]
    current: bool,
    refused_because: Option<String>,
    bundle_refused_because: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Publication {
    version: u64,
    changed: u64,
    acknowledged: u64,
    of: u64,
    millis: Option<f64>,
    #[serde(default)]
    waiting: Vec<String>,
}

impl Report {
    /// The tables.
    pub(super) fn render(&self) -> String {
        let mut out = self.heading();
        if !self.objects.is_empty() {
            let rows: Vec<Vec<String>> = self.objects.iter().map(Object::row).collect();
            out.push_str(&format!("\n{}", table(&Object::HEADER, &rows)));
        }
        if !self.workloads.is_empty() {
            let rows: Vec<Vec<String>> = self.workloads.iter().flat_map(Workload::rows).collect();
            let header = ["WORKLOAD", "IDENTITY", "VERSION", "SIDECAR", "ACKNOWLEDGED", "STATE"];
            out.push_str(&format!("\n{}", table(&header, &rows)));
        }
        let problems = self.source_problems.iter().map(|(part, problem)| format!("{part}: {problem}"));
        let messages: Vec<String> = problems.chain(self.diagnostics.iter().cloned()).collect();
        if !messages.is_empty() {
            out.push_str(&format!("\n{}\n", messages.join("\n")));
        }
        out
    }

    fn heading(&self) -> String {
        let mut out = match &self.mesh {
            None => "mesh          nothing is published yet\n".to_owned(),
            Some(Mesh { trust_domain, issues: true, .. }) => format!("mesh          {trust_domain}\n"),
            Some(Mesh { trust_domain, issues: false, issues_nothing_because }) => {
                let because = issues_nothing_because.as_deref().unwrap_or("-");
                format!("mesh          {trust_domain}, no certificate is issued: {because}\n")
            }
        };
        if let Some(publication) = &self.publication {
            let Publication { version, changed, acknowledged, of, millis, waiting } = publication;
            let time = millis.map_or_else(String::new, |millis| format!(" within {millis:.0} ms"));
            out.push_str(&format!(
                "publication   version {version}: {changed} changed, acknowledged by {acknowledged} of {of} sidecars{time}\n"
            ));
            if !waiting.is_empty() {
                out.push_str(&format!("waiting for   {}\n", waiting.join(", ")));
            }
        }
        out
    }
}

impl Object {
    pub(super) const HEADER: [&'static str; 8] =
        ["KIND", "NAMESPACE", "NAME", "MODE", "ACCEPTED", "RESOLVEDREFS", "ENFORCED", "REASON"];

    pub(super) fn row(&self) -> Vec<String> {
        let status = |name: &str| {
            let found = self.conditions.iter().find(|condition| condition.r#type == name);
            found.map_or("-", |condition| condition.status.as_str())
        };
        // The first that does not hold says what to do; otherwise nothing needs saying.
        let failing = self.conditions.iter().find(|condition| condition.status == "False");
        let reason = failing.map_or_else(String::new, |condition| match condition.message.as_str() {
            "" => condition.reason.clone(),
            message => format!("{}: {message}", condition.reason),
        });
        let accepted = status("Accepted").to_owned();
        let resolved = status("ResolvedRefs").to_owned();
        let namespace = if self.namespace.is_empty() { "-" } else { &self.namespace };
        vec![
            self.kind.clone(),
            namespace.to_owned(),
            self.name.clone(),
            self.mode.clone(),
            accepted,
            resolved,
            self.enforced.clone(),
            reason,
        ]
    }
}

impl Workload {
    fn rows(&self) -> Vec<Vec<String>> {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let name = format!("{}/{}", self.namespace, self.name);
        let row = |instance: &str, acknowledged: String, state: String| {
            let (identity, version) = (self.identity.clone(), number(self.version));
            vec![name.clone(), identity, version, instance.to_owned(), acknowledged, state]
        };
        if self.sidecars.is_empty() {
            return vec![row("-", "-".to_owned(), "no sidecar connected".to_owned())];
        }
        let of_sidecar = |sidecar: &Sidecar| {
            let state = match (&sidecar.refused_because, &sidecar.bundle_refused_because, sidecar.current) {
                (Some(reason), _, _) => format!("refused: {reason}"),
                (None, Some(reason), _) => format!("trust bundle refused: {reason}"),
                (None, None, true) => "current".to_owned(),
                (None, None, false) => "lagging".to_owned(),
            };
            row(&sidecar.instance, number(sidecar.acknowledged_version), state)
        };
        self.sidecars.iter().map(of_sidecar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_tables() {
        let json = r#"{
            "mesh": {"trustDomain": "cluster.local", "issues": true, "leafLifetimeSeconds": 86400},
            "sourceProblems": {}, "diagnostics": ["BW0020 error: Policy shop/broken: unknown field"],
            "objects": [
                {"kind": "Policy", "namespace": "shop", "name": "orders", "generation": 0, "mode": "Enforce",
                 "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""},
                                {"type": "ResolvedRefs", "status": "False", "reason": "RefNotFound", "message": "no Role `x`"}],
                 "pods": {"targeted": 1, "enforced": 1}, "enforced": "1/1"}],
            "workloads": [
                {"namespace": "shop", "name": "orders", "identity": "spiffe://cluster.local/ns/shop/sa/orders", "version": 7,
                 "snapshotId": "ab", "sidecars": [{"instance": "a", "acknowledgedVersion": 7, "current": true}]},
                {"namespace": "shop", "name": "web", "identity": "spiffe://cluster.local/ns/shop/sa/web", "version": 7,
                 "snapshotId": "cd", "sidecars": []}],
            "publication": {"version": 7, "publishedMillis": 1, "changed": 2, "acknowledged": 1, "of": 1, "millis": 12.4,
                            "acknowledgements": [], "waiting": []},
            "publications": []}"#;
        let report: Report = serde_json::from_str(json).unwrap();
        let text = report.render();
        assert!(text.starts_with("mesh          cluster.local\n"), "{text}");
        assert!(text.contains("acknowledged by 1 of 1 sidecars within 12 ms"), "{text}");
        assert!(text.contains("RefNotFound: no Role `x`"), "{text}");
        assert!(text.contains("no sidecar connected") && text.contains("current"), "{text}");
        assert!(text.ends_with("BW0020 error: Policy shop/broken: unknown field\n"), "{text}");
    }
}
