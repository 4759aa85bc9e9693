//! Pods of enrolled namespaces, and their sidecars.

use bailiwick_pod::names;
use serde_json::Value;

use super::fact::{Fact, Hint, count, listed};
use super::observe::{Installed, Observed};
use super::operator;
use crate::cluster::{PodFacts, exempts, is_over, path, text};
use crate::reports::{older, span, version_parts};

/// Sidecars renew at half the life of their certificate, so less than this share of it is late.
const LATE: i64 = 4;
const DAY: i64 = 86_400;

/// What enrolled pods fall into.
#[derive(Default)]
struct Found {
    without: Vec<String>,
    host_network: Vec<String>,
    exempt: Vec<String>,
    old: Vec<String>,
    lagging: Vec<String>,
    away: Vec<String>,
    ended: Vec<String>,
    late: Vec<String>,
    good: usize,
    /// Seconds.
    shortest: Option<i64>,
}

/// Sidecars: there, of this version, connected, current, with a certificate that lives.
pub(super) fn facts(observed: &Observed, installed: &Installed) -> Vec<Fact> {
    let pods = match (&observed.pods, &observed.namespaces) {
        (Ok(pods), Ok(_)) => pods,
        (Err(why), _) | (_, Err(why)) => return vec![Fact::unseen("the pods", why)],
    };
    let enrolled: Vec<&str> =
        observed.enrolled().into_iter().map(|namespace| text(namespace, "/metadata/name")).collect();
    if enrolled.is_empty() {
        return vec![Fact::ok(format!(
            "no namespace is enrolled: kubectl label namespace NAME {}={}",
            names::INJECT_LABEL,
            names::INJECT_ENABLED
        ))];
    }
    let mut found = Found::default();
    let there = pods.iter().filter(|pod| enrolled.contains(&text(pod, "/metadata/namespace")));
    for pod in there.filter(|pod| !is_over(pod)) {
        found.add(observed, installed, pod);
    }
    found.facts(installed)
}

impl Found {
    fn add(&mut self, observed: &Observed, installed: &Installed, pod: &Value) {
        let facts = PodFacts::of(pod);
        if facts.ending {
            return;
        }
        let name = format!("{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        if !facts.sidecar {
            if is_exempt(installed, pod) {
                self.exempt.push(name);
            } else if crate::cluster::flag(pod, "/spec/hostNetwork") {
                self.host_network.push(name);
            } else {
                self.without.push(name);
            }
            return;
        }
        let reports = &installed.reports;
        let Some(sidecar) = reports.sidecars.get(text(pod, "/metadata/uid")) else {
            self.away.push(name);
            return;
        };
        if older(&sidecar.version, &newest(installed)) {
            self.old.push(format!("{name} ({})", sidecar.version));
        }
        if let Some(why) = &sidecar.refused_because {
            self.lagging.push(format!("{name} (refused: {why})"));
        } else if sidecar.current {
            self.good += 1;
        } else {
            self.lagging.push(name.clone());
        }
        let life =
            reports.mesh.as_ref().and_then(|mesh| path(mesh, "/leafLifetimeSeconds")).and_then(Value::as_i64);
        let left = sidecar.certificate_not_after - observed.now.as_second();
        self.shortest = Some(self.shortest.map_or(left, |shortest| shortest.min(left)));
        if left <= 0 {
            self.ended.push(name);
        } else if left < life.unwrap_or(DAY) / LATE {
            self.late.push(format!("{name} ({} left)", span(left)));
        }
    }

    fn facts(&self, installed: &Installed) -> Vec<Fact> {
        let mut facts = Vec::new();
        if self.good > 0 {
            facts.push(Fact::ok(match self.good {
                1 => "1 sidecar enforces what it is to enforce now".to_owned(),
                good => format!("{good} sidecars enforce what they are to enforce now"),
            }));
        }
        if let Some(shortest) = self.shortest.filter(|_| self.ended.is_empty() && self.late.is_empty()) {
            facts.push(Fact::ok(format!("every certificate is valid for at least {}", span(shortest))));
        }
        let failing = self.failing(installed.reports.unreached.is_empty());
        facts.extend(failing.into_iter().chain(self.worth_knowing()).flatten());
        if facts.is_empty() {
            facts.push(Fact::ok("enrolled namespaces have no pods"));
        }
        facts
    }
}

impl Found {
    /// What does not protect. `all_asked`: every replica answered, so what nobody serves is served by nobody.
    fn failing(&self, all_asked: bool) -> [Option<Fact>; 5] {
        const LOG: &str = "kubectl -n NAMESPACE logs POD -c bailiwick-sidecar";
        let away = "whose sidecar has no connection to a replica that answered";
        [
            told(&self.without, "without sidecar, at which nothing is decided")
                .map(|text| Fact::failure(text, RESTART, Hint::PodsWithoutSidecar)),
            told(&self.host_network, "in their node's network, where nothing is captured").map(|text| {
                let todo = "run them without hostNetwork, elsewhere, or exempt them";
                Fact::failure(text, todo, Hint::PodsWithoutSidecar)
            }),
            told(&self.away, away).map(|text| match all_asked {
                true => Fact::failure(text, LOG, Hint::SidecarsNotConnected),
                false => Fact::warning(text, LOG, Hint::SidecarsNotConnected),
            }),
            told(&self.lagging, "without acknowledgement of what is to be enforced there").map(|text| {
                let todo = "wait a few seconds; then look at the sidecar's log";
                Fact::failure(text, todo, Hint::LaggingSidecars)
            }),
            told(&self.ended, "whose certificate has ended")
                .map(|text| Fact::failure(text, LOG, Hint::SidecarCertificates)),
        ]
    }

    /// What works, and somebody should know.
    fn worth_knowing(&self) -> [Option<Fact>; 3] {
        [
            told(&self.late, "whose certificate should have been renewed").map(|text| {
                let todo = "kubectl -n NAMESPACE logs POD -c bailiwick-sidecar";
                Fact::warning(text, todo, Hint::SidecarCertificates)
            }),
            told(&self.old, "with a sidecar older than the operator")
                .map(|text| Fact::warning(text, RESTART, Hint::OldSidecars)),
            told(&self.exempt, "exempt by the chart's injection.exempt").map(|text| {
                Fact::warning(text, "nothing is decided at them; is that still meant?", Hint::ExemptPods)
            }),
        ]
    }
}

const RESTART: &str = "restart them: kubectl -n NAMESPACE rollout restart deployment";

/// Which pods; nothing if there are none.
fn told(names: &[String], what: &str) -> Option<String> {
    (!names.is_empty()).then(|| format!("{} {what}: {}", count(names.len(), "pod"), listed(names)))
}

/// True if the installation exempts a pod.
fn is_exempt(installed: &Installed, pod: &Value) -> bool {
    let settings = installed.injection.as_ref().ok().and_then(Option::as_ref);
    settings.is_some_and(|settings| exempts(settings, pod))
}

/// The newest version of a replica.
fn newest(installed: &Installed) -> String {
    let pods = installed.operators.iter().flatten().filter(|pod| !is_over(pod));
    let versions = pods.map(|pod| operator::version(installed, pod));
    versions.max_by_key(|version| version_parts(version)).unwrap_or_default()
}
