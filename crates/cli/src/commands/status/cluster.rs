//! `status` of a cluster: all replicas together, and the pods of enrolled namespaces.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::report::Object;
use crate::cluster::{Cluster, PodFacts, ask_all, exempts, is_over, labels, operator_pods, path, text};
use crate::render::table;
use crate::reports::{NamespaceMode, Reports, enrolled, older, span};

/// The whole of `-o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterStatus {
    trust_domain: Option<String>,
    leader: Option<String>,
    replicas: Vec<Replica>,
    problems: Vec<String>,
    objects: Vec<Value>,
    workloads: Vec<Workload>,
}

#[derive(Debug, Serialize)]
struct Replica {
    name: String,
    version: Option<String>,
    /// Why it could not be asked.
    unreached: Option<String>,
}

/// A pod of an enrolled namespace, or one with a sidecar.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Workload {
    namespace: String,
    pod: String,
    owner: Option<String>,
    identity: Option<String>,
    mode: &'static str,
    sidecar_version: Option<String>,
    snapshot: Option<String>,
    certificate_seconds_left: Option<i64>,
    state: State,
    /// Why it did not take what it was sent.
    because: Option<String>,
    /// Why the pod is to be restarted, if it is.
    restart: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// It acknowledged what it is to enforce.
    Current,
    Lagging,
    Refused,
    /// It has a sidecar, and no replica that answered serves it.
    NotConnected,
    NoSidecar,
    Exempt,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Current => "acknowledged",
            Self::Lagging => "lagging",
            Self::Refused => "refused",
            Self::NotConnected => "not connected",
            Self::NoSidecar => "no sidecar",
            Self::Exempt => "exempt",
        }
    }
}

/// What was read.
pub(super) struct Seen {
    pub(super) operators: Vec<Value>,
    pub(super) reports: Reports,
    pub(super) leader: Option<String>,
    pub(super) namespaces: Vec<Value>,
    pub(super) pods: Vec<Value>,
    pub(super) injection: Option<Value>,
    pub(super) operator_namespace: String,
    pub(super) now: Timestamp,
}

impl Seen {
    /// Reads the cluster.
    pub(super) async fn read(cluster: &Cluster, namespace: Option<&str>) -> anyhow::Result<Self> {
        let there = &cluster.operator_namespace;
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{there}/leases/bailiwick-operator");
        let injection = format!("/api/v1/namespaces/{there}/configmaps/bailiwick-injection");
        let pods = match namespace {
            Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
            None => "/api/v1/pods".to_owned(),
        };
        let (operators, namespaces, pods) = tokio::try_join!(
            operator_pods(cluster),
            cluster.list("/api/v1/namespaces"),
            cluster.list(&pods)
        )?;
        if operators.iter().all(is_over) {
            anyhow::bail!(
                "there is no operator in namespace `{there}` (bailiwick check says more; --operator-namespace names another)"
            );
        }
        // Neither is needed for an answer.
        let (lease, injection) = tokio::join!(cluster.get(&lease), cluster.get(&injection));
        let holder = lease.ok().flatten().map(|lease| text(&lease, "/spec/holderIdentity").to_owned());
        let answers = ask_all(cluster, &operators, "/config").await;
        Ok(Self {
            reports: Reports::merge(&answers, holder.as_deref()),
            operators,
            leader: holder.filter(|holder| !holder.is_empty()),
            namespaces,
            pods,
            injection: injection.ok().flatten(),
            operator_namespace: there.clone(),
            now: Timestamp::now(),
        })
    }
}

impl ClusterStatus {
    /// Puts together what was read.
    pub(super) fn of(seen: &Seen, namespace: Option<&str>) -> Self {
        let modes: BTreeMap<&str, (&Value, NamespaceMode)> = seen
            .namespaces
            .iter()
            .map(|namespace| (text(namespace, "/metadata/name"), (namespace, NamespaceMode::of(namespace))))
            .collect();
        let mut workloads = Vec::new();
        for pod in seen.pods.iter().filter(|pod| !is_over(pod)) {
            let place = text(pod, "/metadata/namespace");
            let Some((object, mode)) = modes.get(place).filter(|_| namespace.is_none_or(|one| one == place))
            else {
                continue;
            };
            workloads.extend(workload(seen, pod, (enrolled(object, &seen.operator_namespace), *mode)));
        }
        let of_namespace = |object: &&Value| {
            namespace.is_none_or(|one| {
                matches!(text(object, "/namespace"), "") || text(object, "/namespace") == one
            })
        };
        Self {
            trust_domain: seen.reports.mesh.as_ref().map(|mesh| text(mesh, "/trustDomain").to_owned()),
            leader: seen.leader.clone(),
            replicas: replicas(seen),
            problems: seen.reports.problems.clone(),
            objects: seen.reports.objects.iter().filter(of_namespace).cloned().collect(),
            workloads,
        }
    }

    /// True if at least one replica answered.
    pub(super) fn is_answered(&self) -> bool {
        self.replicas.iter().any(|replica| replica.unreached.is_none())
    }

    /// The tables.
    pub(super) fn render(&self) -> String {
        let mut out = self.heading();
        let objects =
            self.objects.iter().filter_map(|object| serde_json::from_value::<Object>(object.clone()).ok());
        let rows: Vec<Vec<String>> = objects.map(|object| object.row()).collect();
        if !rows.is_empty() {
            out.push_str(&format!("\n{}", table(&Object::HEADER, &rows)));
        }
        let rows: Vec<Vec<String>> = self.workloads.iter().map(Workload::row).collect();
        if rows.is_empty() {
            out.push_str("\nno pod of an enrolled namespace\n");
        } else {
            let header = ["WORKLOAD", "IDENTITY", "NAMESPACE", "SIDECAR", "CERTIFICATE", "STATE"];
            out.push_str(&format!("\n{}", table(&header, &rows)));
        }
        let restart: Vec<String> = self.workloads.iter().filter_map(Workload::to_restart).collect();
        if !restart.is_empty() {
            out.push_str(&format!("\nto restart:\n{}", restart.concat()));
        }
        for problem in &self.problems {
            out.push_str(&format!("\n{problem}\n"));
        }
        out
    }

    fn heading(&self) -> String {
        let answered = self.replicas.iter().filter(|replica| replica.unreached.is_none()).count();
        let leader = self.leader.as_deref().unwrap_or("nobody");
        let mut out =
            format!("operator   {answered} of {} replicas answer, {leader} leads\n", self.replicas.len());
        for replica in &self.replicas {
            let version = replica.version.as_deref().unwrap_or("unknown");
            out.push_str(&match &replica.unreached {
                None => format!("           {} (version {version})\n", replica.name),
                Some(why) => format!("           {} does not answer: {why}\n", replica.name),
            });
        }
        out.push_str(&format!(
            "mesh       {}\n",
            self.trust_domain.as_deref().unwrap_or("nothing is published yet")
        ));
        out
    }
}

fn replicas(seen: &Seen) -> Vec<Replica> {
    let live = seen.operators.iter().filter(|pod| !is_over(pod));
    live.map(|pod| {
        let name = text(pod, "/metadata/name");
        Replica {
            name: name.to_owned(),
            version: seen.version(pod),
            unreached: seen.reports.unreached.get(name).cloned(),
        }
    })
    .collect()
}

impl Seen {
    /// The version of a replica: what it says itself, or the label that the chart gives its pod.
    fn version(&self, pod: &Value) -> Option<String> {
        let told = self.reports.answered.get(text(pod, "/metadata/name")).cloned().flatten();
        told.or_else(|| labels(pod).get("app.kubernetes.io/version").map(|version| (*version).to_owned()))
    }
}

/// One pod. `None` if it has no sidecar, and is to have none.
fn workload(seen: &Seen, pod: &Value, (enrolled, mode): (bool, NamespaceMode)) -> Option<Workload> {
    let facts = PodFacts::of(pod);
    if facts.ending || !(enrolled || facts.sidecar) {
        return None;
    }
    let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
    let sidecar = seen.reports.sidecars.get(text(pod, "/metadata/uid")).filter(|_| facts.sidecar);
    let exempt = seen.injection.as_ref().is_some_and(|settings| exempts(settings, pod));
    let state = match sidecar {
        Some(sidecar) if sidecar.refused_because.is_some() => State::Refused,
        Some(sidecar) if sidecar.current => State::Current,
        Some(_) => State::Lagging,
        None if facts.sidecar => State::NotConnected,
        None if exempt => State::Exempt,
        None => State::NoSidecar,
    };
    let newest = seen.operators.iter().filter_map(|pod| seen.version(pod)).max();
    let is_old = sidecar.zip(newest).is_some_and(|(sidecar, newest)| older(&sidecar.version, &newest));
    let injected = path(pod, "/metadata/annotations/bailiwick.dev~1injected").and_then(Value::as_str);
    Some(Workload {
        namespace: namespace.to_owned(),
        pod: name.to_owned(),
        owner: facts.owner.map(|(kind, name)| format!("{kind}/{name}")),
        identity: seen.reports.identity(namespace, name).map(str::to_owned),
        mode: if enrolled { mode.word() } else { "not enrolled" },
        sidecar_version: sidecar
            .map(|sidecar| sidecar.version.clone())
            .or_else(|| injected.map(str::to_owned)),
        snapshot: sidecar.and_then(|sidecar| sidecar.snapshot.clone()),
        certificate_seconds_left: sidecar.map(|sidecar| sidecar.certificate_not_after - seen.now.as_second()),
        state,
        because: sidecar.and_then(|sidecar| sidecar.refused_because.clone()),
        restart: match state {
            State::NoSidecar => Some("it has no sidecar"),
            State::Current | State::Lagging | State::Refused | State::NotConnected if is_old => {
                Some("its sidecar is older than the operator")
            }
            State::Current | State::Lagging | State::Refused | State::NotConnected if !enrolled => {
                Some("its namespace is not enrolled any more")
            }
            State::Current | State::Lagging | State::Refused | State::NotConnected | State::Exempt => None,
        },
    })
}

impl Workload {
    fn row(&self) -> Vec<String> {
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let state = match &self.because {
            Some(why) => format!("{}: {why}", self.state.word()),
            None => self.state.word().to_owned(),
        };
        vec![
            format!("{}/{}", self.namespace, self.pod),
            dash(&self.identity),
            self.mode.to_owned(),
            dash(&self.sidecar_version),
            self.certificate_seconds_left.map_or_else(|| "-".to_owned(), span),
            state,
        ]
    }

    fn to_restart(&self) -> Option<String> {
        let name = match &self.owner {
            Some(owner) => format!("{owner}, pod {}", self.pod),
            None => format!("pod {}", self.pod),
        };
        self.restart.map(|why| format!("  {}: {name}: {why}\n", self.namespace))
    }
}
