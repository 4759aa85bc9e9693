//! The status as people and scripts read it (docs/configuration-operator.md).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Inner, ObjectRecord, PublicationRecord, Sidecar, SidecarKey, Verdict, millis};

/// The sidecars' names that a message lists at most.
const NAMED: usize = 3;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    mesh: Option<MeshReport>,
    /// What is wrong with the folder or the addresses file, by part.
    source_problems: BTreeMap<&'static str, String>,
    diagnostics: Vec<String>,
    objects: Vec<ObjectReport>,
    workloads: Vec<WorkloadReport>,
    /// The latest.
    publication: Option<PublicationReport>,
    /// The last ones, the newest first.
    publications: Vec<PublicationReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MeshReport {
    trust_domain: String,
    issues: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    issues_nothing_because: Option<String>,
    leaf_lifetime_seconds: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReport {
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    name: String,
    generation: i64,
    mode: &'static str,
    conditions: Vec<Condition>,
    pods: Pods,
    /// `enforced/targeted`.
    enforced: String,
}

#[derive(Debug, Serialize)]
struct Pods {
    targeted: usize,
    enforced: usize,
}

#[derive(Debug, Serialize)]
struct Condition {
    r#type: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkloadReport {
    namespace: String,
    name: String,
    identity: String,
    version: u64,
    snapshot_id: String,
    sidecars: Vec<SidecarReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SidecarReport {
    instance: String,
    sidecar_version: String,
    schema_level: u32,
    connected_millis: u64,
    /// Seconds since the Unix epoch.
    certificate_not_after: i64,
    acknowledged_version: Option<u64>,
    acknowledged_snapshot_id: Option<String>,
    acknowledged_millis: Option<u64>,
    /// True if what was acknowledged is what the workload is to enforce now.
    current: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_because: Option<String>,
    /// True once this connection's trust bundle was believed; absent before the sidecar answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_believed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_refused_because: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicationReport {
    version: u64,
    published_millis: u64,
    /// Workloads whose snapshot changed.
    changed: usize,
    /// Of `of` sidecars that were connected and concerned.
    acknowledged: usize,
    of: usize,
    /// From the moment when the change was seen to the last acknowledgement; absent while one is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    millis: Option<f64>,
    acknowledgements: Vec<AcknowledgementReport>,
    waiting: Vec<String>,
}

#[derive(Debug, Serialize)]
struct AcknowledgementReport {
    sidecar: String,
    millis: f64,
}

impl Report {
    pub(super) fn of(inner: &Inner) -> Self {
        let publications: Vec<_> = inner.publications.iter().rev().map(PublicationReport::of).collect();
        Self {
            mesh: inner.mesh.as_ref().map(|mesh| MeshReport {
                trust_domain: mesh.trust_domain.to_string(),
                issues: mesh.issues_nothing.is_none(),
                issues_nothing_because: mesh.issues_nothing.clone(),
                leaf_lifetime_seconds: mesh.leaf_lifetime.as_secs(),
            }),
            source_problems: inner.source.clone(),
            diagnostics: inner.diagnostics.clone(),
            objects: inner.objects.iter().map(|object| ObjectReport::of(object, inner)).collect(),
            workloads: workloads(inner),
            publication: inner.publications.back().map(PublicationReport::of),
            publications,
        }
    }
}

fn workloads(inner: &Inner) -> Vec<WorkloadReport> {
    let report = |(key, published): (&_, &std::sync::Arc<crate::publish::Published>)| {
        let key: &bailiwick_policy::WorkloadKey = key;
        WorkloadReport {
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            identity: published.identity.to_string(),
            version: published.position.version,
            snapshot_id: published.encoded.id().to_string(),
            sidecars: inner
                .of_workload(key)
                .map(|(key, sidecar)| SidecarReport::of(key, sidecar, inner))
                .collect(),
        }
    };
    inner.workloads.iter().map(report).collect()
}

impl SidecarReport {
    fn of(key: &SidecarKey, sidecar: &Sidecar, inner: &Inner) -> Self {
        let acknowledged = sidecar.acknowledged.as_ref();
        let refused = sidecar.refused.as_ref();
        Self {
            instance: key.instance.clone(),
            sidecar_version: sidecar.facts.version.clone(),
            schema_level: sidecar.facts.schema_level,
            connected_millis: millis(sidecar.connected),
            certificate_not_after: sidecar.facts.certificate_not_after,
            acknowledged_version: acknowledged.map(|acknowledged| acknowledged.version),
            acknowledged_snapshot_id: acknowledged.map(|acknowledged| acknowledged.id.to_string()),
            acknowledged_millis: acknowledged.map(|acknowledged| millis(acknowledged.at)),
            current: inner.enforces(key, sidecar),
            refused_version: refused.map(|refused| refused.version),
            refused_because: refused.map(|refused| refused.reason.clone()),
            bundle_believed: sidecar.bundle.as_ref().map(Result::is_ok),
            bundle_refused_because: sidecar.bundle.as_ref().and_then(|bundle| bundle.clone().err()),
        }
    }
}

impl PublicationReport {
    fn of(record: &PublicationRecord) -> Self {
        let name = |key: &SidecarKey| format!("{} {}", key.workload, key.instance);
        let in_millis = |seconds: f64| (seconds * 1e6).round() / 1e3;
        let slowest = record.acknowledgements.iter().map(|(_, lag)| *lag).fold(0.0_f64, f64::max);
        Self {
            version: record.version,
            published_millis: millis(record.at),
            changed: record.changed,
            acknowledged: record.acknowledgements.len(),
            of: record.of,
            millis: record.waiting.is_empty().then(|| in_millis(slowest)),
            acknowledgements: record
                .acknowledgements
                .iter()
                .map(|(key, lag)| AcknowledgementReport { sidecar: name(key), millis: in_millis(*lag) })
                .collect(),
            waiting: record.waiting.iter().map(name).collect(),
        }
    }
}

impl ObjectReport {
    fn of(object: &ObjectRecord, inner: &Inner) -> Self {
        let mut targeted = 0;
        let mut lagging = Vec::new();
        for workload in &object.workloads {
            let mut sidecars = inner.of_workload(workload).peekable();
            // A targeted workload without a sidecar counts as one that does not enforce.
            if sidecars.peek().is_none() {
                targeted += 1;
                lagging.push(format!("{workload} has no sidecar connected"));
            }
            for (key, sidecar) in sidecars {
                targeted += 1;
                if !inner.enforces(key, sidecar) {
                    lagging.push(format!("{workload} {} has not acknowledged", key.instance));
                }
            }
        }
        let enforced = targeted - lagging.len();
        Self {
            kind: object.key.kind.as_str(),
            namespace: object.key.namespace.clone(),
            name: object.key.name.clone(),
            generation: object.generation,
            mode: if object.audit { "Audit" } else { "Enforce" },
            conditions: vec![
                condition("Accepted", &object.accepted),
                condition("ResolvedRefs", &object.resolved),
                enforced_condition(object, targeted, &lagging),
            ],
            pods: Pods { targeted, enforced },
            enforced: format!("{enforced}/{targeted}"),
        }
    }
}

fn condition(r#type: &'static str, verdict: &Verdict) -> Condition {
    match verdict {
        Verdict::Holds => {
            Condition { r#type, status: "True", reason: r#type.to_owned(), message: String::new() }
        }
        Verdict::Fails { reason, message } => {
            Condition { r#type, status: "False", reason: reason.clone(), message: message.clone() }
        }
    }
}

fn enforced_condition(object: &ObjectRecord, targeted: usize, lagging: &[String]) -> Condition {
    let condition = |status, reason: &str, message| Condition {
        r#type: "Enforced",
        status,
        reason: reason.to_owned(),
        message,
    };
    if !lagging.is_empty() {
        let mut message = lagging.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
        if let Some(more) = lagging.len().checked_sub(NAMED).filter(|more| *more > 0) {
            message = format!("{message}; and {more} more");
        }
        return condition("False", "Lagging", message);
    }
    if object.audit {
        let message = "the object takes no part in verdicts: `mode` is Audit".to_owned();
        return condition("False", "AuditOnly", message);
    }
    if targeted == 0 {
        return condition("True", "NoWorkloads", "it selects no workload".to_owned());
    }
    condition("True", "Enforced", format!("{targeted} of {targeted} sidecars have acknowledged"))
}
