//! Decides one call: total, without panics, without allocation.

use std::ops::ControlFlow;

use crate::snapshot::{CallFacts, Row, Sources, Step};
use crate::{CanonicalPath, Outcome, Reasons, RuleIndex, Snapshot, Verdict};

/// The rows of the first step that has any, as they come in ascending order.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    step: Option<Step>,
    last: Option<RuleIndex>,
    reasons: Reasons,
}

impl Tally {
    /// True once rows of this step and later ones no longer matter.
    fn closed(&self, step: Step) -> bool {
        self.step.is_some_and(|decided| decided < step)
    }

    fn take(&mut self, row: &Row) {
        if self.last == Some(row.rule) {
            return;
        }
        self.step = Some(row.step);
        self.last = Some(row.rule);
        self.reasons.push(row.rule);
    }

    const fn verdict(&self) -> Verdict {
        let outcome = match self.step {
            Some(Step::ClusterDeny) => Outcome::ClusterDeny,
            Some(Step::PolicyDeny) => Outcome::PolicyDeny,
            Some(Step::Allow) => Outcome::Allow,
            None => Outcome::Default,
        };
        Verdict { outcome, reasons: self.reasons }
    }
}

/// Ascending lists of rows that together hold every row of the caller, and how many rows they hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'a, const N: usize> {
    pub(crate) lists: [&'a [u32]; N],
}

/// Decides a call. `bound` says whether the caller is in a subject set; `scan` is there unless the caller has many rows.
pub(crate) fn evaluate<const N: usize>(
    snapshot: &Snapshot,
    call: &CallFacts<'_>,
    scan: Option<Scan<'_, N>>,
    mut bound: impl FnMut(u32) -> bool,
) -> (Verdict, Option<Verdict>) {
    let mut decide = |audit| {
        let mut run = Run { snapshot, call, bound: &mut bound, audit, tally: Tally::default() };
        run.rows(scan);
        run.tally.verdict()
    };
    let verdict = enforced(snapshot, decide(false));
    // A second decision, in which nothing is in audit.
    let would_be = snapshot.reports_would_be(call.port).then(|| decide(true));
    (verdict, would_be)
}

/// The verdict under the namespace's audit: only a `ClusterPolicy` refuses.
fn enforced(snapshot: &Snapshot, verdict: Verdict) -> Verdict {
    match verdict.outcome {
        Outcome::PolicyDeny | Outcome::Default if snapshot.authorization_audit() => {
            Verdict { outcome: Outcome::AuditNamespace, reasons: Reasons::default() }
        }
        Outcome::PolicyDeny
        | Outcome::Default
        | Outcome::Allow
        | Outcome::ClusterDeny
        | Outcome::AuditNamespace => verdict,
    }
}

struct Run<'a, B> {
    snapshot: &'a Snapshot,
    call: &'a CallFacts<'a>,
    bound: &'a mut B,
    /// True if rows of Audit objects take part.
    audit: bool,
    tally: Tally,
}

impl<B: FnMut(u32) -> bool> Run<'_, B> {
    /// Visits every row that may match, by whichever way looks at fewer. Each way gives the same answer.
    fn rows<const N: usize>(&mut self, scan: Option<Scan<'_, N>>) {
        /// A scan this short costs less than looking a path up.
        const SHORT: usize = 4;
        /// A row that a scan tests costs as much as this many rows of the index.
        const DEARER: usize = 8;
        let scanned = scan.as_ref().map_or(usize::MAX, |scan| scan.lists.iter().map(|list| list.len()).sum());
        if let Some(mut scan) = scan.filter(|_| scanned <= SHORT) {
            return self.merge(&mut scan.lists, false);
        }
        let path = self.call.http.as_ref().and_then(|http| http.path).map(CanonicalPath::as_str);
        let mut sources = Sources::new();
        self.snapshot.index.find(self.call.port, path, &mut sources);
        let shorter = scanned < sources.rows() / DEARER;
        match (sources.lists(), scan) {
            (Some(_), Some(mut scan)) if shorter => self.merge(&mut scan.lists, false),
            (Some(lists), _) => self.merge(lists, true),
            (None, Some(mut scan)) => self.merge(&mut scan.lists, false),
            (None, None) => self.every(),
        }
    }

    fn every(&mut self) {
        for row in &self.snapshot.rows {
            if self.row(row, false).is_break() {
                return;
            }
        }
    }

    /// Visits the rows of ascending lists in ascending order, each once. `indexed` says that the index gave the lists.
    fn merge(&mut self, lists: &mut [&[u32]], indexed: bool) {
        if let [only] = lists {
            for row in *only {
                if self.numbered(*row, indexed).is_break() {
                    return;
                }
            }
            return;
        }
        while let Some(least) = lists.iter().filter_map(|list| list.first().copied()).min() {
            for list in lists.iter_mut() {
                if let [first, rest @ ..] = *list
                    && *first == least
                {
                    *list = rest;
                }
            }
            if self.numbered(least, indexed).is_break() {
                return;
            }
        }
    }

    fn numbered(&mut self, row: u32, indexed: bool) -> ControlFlow<()> {
        // INVARIANT: the index and the subject sets number the rows of this snapshot.
        self.snapshot.rows.get(row as usize).map_or(ControlFlow::Continue(()), |row| self.row(row, indexed))
    }

    fn row(&mut self, row: &Row, indexed: bool) -> ControlFlow<()> {
        if self.tally.closed(row.step) {
            return ControlFlow::Break(());
        }
        let takes_part = self.audit || !row.audit;
        if takes_part
            && (self.bound)(row.set)
            && self.snapshot.row_matches_call(row, self.call, indexed).is_true()
        {
            self.tally.take(row);
        }
        ControlFlow::Continue(())
    }
}
