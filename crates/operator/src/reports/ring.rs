//! The last denials.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bailiwick_wire::{Report, ReportedRule};

use super::json;

/// Denials that are kept.
const MOST: usize = 10_000;
/// What they may take, bytes, about.
const LARGEST: usize = 16 * 1024 * 1024;
/// What a denial takes beside its texts.
const EACH: usize = 512;
/// Denials of one answer.
const MOST_LISTED: usize = 1_000;

/// The last denials, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Counts every denial that was ever kept.
    number: u64,
}

#[derive(Debug)]
#[cfg_attr(
    not(feature = "cluster"),
    expect(dead_code, reason = "a folder's operator has no other replicas to tell")
)]
struct Kept {
    number: u64,
    size: usize,
    /// Told by a sidecar of ours, not by another replica.
    own: bool,
    report: Arc<Report>,
}

impl Denials {
    /// Keeps one that a sidecar told, and lets the oldest go where it takes their place.
    pub(crate) fn keep(&self, report: Report) {
        self.push(report, true);
    }

    /// Keeps one that another replica told.
    #[cfg(feature = "cluster")]
    pub(crate) fn keep_told(&self, report: Report) {
        self.push(report, false);
    }

    /// What our own sidecars told after number `after`, and the number that this is up to.
    #[cfg(feature = "cluster")]
    pub(crate) fn own_since(&self, after: u64) -> (u64, Vec<Arc<Report>>) {
        let ring = self.lock();
        let new = ring.kept.iter().rev().take_while(|kept| kept.number > after);
        let mut found: Vec<_> = new.filter(|kept| kept.own).map(|kept| Arc::clone(&kept.report)).collect();
        found.reverse();
        (ring.number, found)
    }

    fn push(&self, report: Report, own: bool) {
        let size = size(&report);
        let mut ring = self.lock();
        ring.number += 1;
        let number = ring.number;
        ring.kept.push_back(Kept { number, size, own, report: Arc::new(report) });
        ring.bytes = ring.bytes.saturating_add(size);
        while ring.kept.len() > MOST || ring.bytes > LARGEST {
            let Some(oldest) = ring.kept.pop_front() else { return };
            ring.bytes = ring.bytes.saturating_sub(oldest.size);
        }
    }

    /// The denial of a decision, as JSON.
    pub(crate) fn why(&self, decision: &str) -> Option<String> {
        let ring = self.lock();
        let found = ring.kept.iter().rev().find(|kept| kept.report.decision_id == decision);
        let report = found.map(|kept| Arc::clone(&kept.report));
        drop(ring);
        report.map(|report| json::one(&report))
    }

    /// The newest denials, the newest first, of one namespace or of all, as a JSON list.
    pub(crate) fn list(&self, namespace: Option<&str>, limit: usize) -> String {
        let ring = self.lock();
        let of_namespace = |report: &&Arc<Report>| {
            namespace.is_none_or(|namespace| report.workload.namespace.as_str() == namespace)
        };
        let found = ring.kept.iter().rev().map(|kept| &kept.report).filter(of_namespace);
        let found: Vec<Arc<Report>> = found.take(limit.min(MOST_LISTED)).cloned().collect();
        drop(ring);
        json::many(&found)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(report: &Report) -> usize {
    let rule =
        |rule: &ReportedRule| rule.kind.len() + rule.namespace.len() + rule.name.len() + rule.rule.len() + 96;
    let would_be = report.would_be.iter().flat_map(|would_be| &would_be.rules);
    let rules: usize = report.rules.iter().chain(would_be).map(rule).sum();
    let call = &report.call;
    EACH + rules
        + report.decision_id.len()
        + report.connection_id.len()
        + call.method.len()
        + call.path.len()
        + call.host.len()
}
