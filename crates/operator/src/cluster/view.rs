//! `GET /config` in a cluster: what a folder's says, and the pods, the replicas and what enforces less than everything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

use bailiwick_pod::names;
use bailiwick_wire::Digest;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::fleet::{Answer, Assessment, Connection, Fleet, Injected, Origin};
use super::lease::Leadership;
use super::live::{Live, counts};
use crate::state::unix_millis;
use crate::status::{StatusBoard, Verdict};

/// What `/config` answers from.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) status: Arc<StatusBoard>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) live: Live,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) me: Arc<str>,
    /// Where other replicas reach this one.
    pub(super) address: IpAddr,
}

impl View {
    /// As JSON text.
    pub(super) fn to_json(&self) -> String {
        let text = self.status.to_json();
        let Ok(mut all) = serde_json::from_str::<Value>(&text) else { return text };
        if let Some(fields) = all.as_object_mut() {
            fields.insert("objects".to_owned(), self.objects());
            fields.insert("cluster".to_owned(), self.cluster());
        }
        format!("{all}\n")
    }

    fn objects(&self) -> Value {
        self.fleet.assess(&self.live, Instant::now()).iter().map(object).collect()
    }

    fn cluster(&self) -> Value {
        let sidecars = self.fleet.sidecars();
        let mut replicas: BTreeSet<&str> = [&*self.me].into();
        let mut streams = BTreeMap::new();
        for (key, origin, connection, current) in &sidecars {
            let replica = match origin {
                Origin::Here => &*self.me,
                Origin::Replica(name) => &**name,
            };
            replicas.insert(replica);
            streams.insert((&key.workload, key.instance.as_str()), (replica, connection, *current));
        }
        let mut pods = Vec::new();
        for (name, item) in self.live.stores.pods.list() {
            let injection = self.live.injected(&name.namespace, &item.content);
            if injection == Injected::NotEnrolled || !item.content.is_live() {
                continue;
            }
            let workload = super::source::key(&name);
            let stream = workload.as_ref().and_then(|key| streams.get(&(key, item.uid.as_str())));
            let mut pod = json!({
                "namespace": name.namespace,
                "name": name.name,
                "uid": item.uid,
                "node": item.content.node,
                "serviceAccount": item.content.service_account,
                "running": counts(&item.content),
                "ready": item.content.ready,
                "injection": word(injection),
                "injectedVersion": item.content.annotations.get(names::INJECTED),
            });
            if let (Some(fields), Some((replica, connection, current))) = (pod.as_object_mut(), stream) {
                fields.insert("sidecar".to_owned(), sidecar(replica, connection, *current));
            }
            pods.push(pod);
        }
        let leadership = self.leadership.borrow().clone();
        json!({
            "replica": *self.me,
            "address": self.address.to_string(),
            "leads": leadership.leads(),
            "leader": leadership.holder.as_deref(),
            "replicas": replicas,
            "version": env!("CARGO_PKG_VERSION"),
            "enforcesLess": self.enforces_less(),
            "pods": pods,
        })
    }

    /// Enrolled namespaces in audit.
    fn enforces_less(&self) -> Value {
        let mut found = Vec::new();
        for (name, item) in self.live.stores.namespaces.list() {
            let audits = |label| self.live.audits(&name.name, label);
            let systems = [
                ("authentication", audits(names::AUTHENTICATION_LABEL)),
                ("authorization", audits(names::AUTHORIZATION_LABEL)),
            ];
            let systems: Vec<&str> =
                systems.iter().filter(|(_, audits)| *audits).map(|(system, _)| *system).collect();
            if item.content.is_enrolled() && !systems.is_empty() {
                found.push(json!({"namespace": name.name, "audit": systems}));
            }
        }
        Value::from(found)
    }
}

const fn word(injection: Injected) -> &'static str {
    match injection {
        Injected::Yes => "Injected",
        Injected::Missing => "Missing",
        Injected::Exempt => "Exempt",
        Injected::NotEnrolled => "NotEnrolled",
    }
}

fn sidecar(replica: &str, connection: &Connection, current: bool) -> Value {
    let acknowledged = connection.progress.acknowledged.map(|id| Digest(id.0).to_string());
    json!({
        "replica": replica,
        "connected": connection.ended.is_none(),
        "connectedMillis": unix_millis(connection.connected),
        "version": connection.facts.version,
        "schemaLevel": connection.facts.schema_level,
        "identity": connection.facts.identity.to_string(),
        "certificateNotAfter": connection.facts.certificate_not_after,
        "acknowledgedSnapshotId": acknowledged,
        "acknowledgedMillis": connection.acknowledged_at.map(unix_millis),
        // What this replica has compiled last; another one may be ahead of it for a moment.
        "current": current,
        "refusedBecause": connection.refused,
        "bundleBelieved": connection.bundle.as_ref().map(Result::is_ok),
        "bundleRefusedBecause": connection.bundle.as_ref().and_then(|bundle| bundle.clone().err()),
    })
}

/// An object as in a folder's `/config`, with the conditions of its status.
fn object(assessment: &Assessment) -> Value {
    let condition = |kind: &str, verdict: &Verdict| match verdict {
        Verdict::Holds => json!({"type": kind, "status": "True", "reason": kind, "message": ""}),
        Verdict::Fails { reason, message } => {
            json!({"type": kind, "status": "False", "reason": reason, "message": message})
        }
    };
    let enforced = &assessment.enforced;
    let status = match enforced.answer {
        Answer::Yes => "True",
        Answer::No | Answer::NotYet => "False",
        Answer::Unknown => "Unknown",
    };
    let key = &assessment.key;
    let mut all = json!({
        "kind": key.kind.as_str(),
        "name": key.name,
        "generation": assessment.generation,
        "mode": if assessment.audit { "Audit" } else { "Enforce" },
        "conditions": [
            condition("Accepted", &assessment.accepted),
            condition("ResolvedRefs", &assessment.resolved),
            {"type": "Enforced", "status": status, "reason": enforced.reason, "message": enforced.message},
        ],
        "pods": {"targeted": assessment.targeted, "enforced": assessment.acknowledged},
        "enforced": format!("{}/{}", assessment.acknowledged, assessment.targeted),
    });
    if let Some(fields) = all.as_object_mut().filter(|_| !key.namespace.is_empty()) {
        fields.insert("namespace".to_owned(), json!(key.namespace));
    }
    all
}
