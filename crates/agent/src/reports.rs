//! Denials for `why`: sent to the operator when there are some, a limited number a second, and never waited for.

mod budget;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bailiwick_authn::CredentialStore;
use bailiwick_wire::proto::DenialReport;
use bailiwick_wire::proto::reports_client::ReportsClient;
use bailiwick_wire::{
    Report, ReportedCall, ReportedCaller, ReportedOutcome, ReportedRule, ReportedVerdict, ReportedWouldBe,
    encode_report,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use crate::audit::{AuthorizationEvent, Outcome, Protocol, Reason, Verdict};
use crate::backoff::Backoff;
use crate::stream::wait_for_certificate;
use crate::{DialError, Dialer};
use budget::Budget;

/// Reports that may wait for the operator.
const WAITING: usize = 256;
/// A stream without reports is ended after this long: most sidecars deny nothing, and need no stream.
const IDLE: Duration = Duration::from_secs(60);

/// Takes denials without ever waiting. Cheap to clone.
///
/// INVARIANT: a report is a help for people. It never holds up a call, and what is left out is counted in the next one;
/// the audit log has every decision.
#[derive(Debug, Clone)]
pub struct Reports {
    queue: mpsc::Sender<Report>,
    counts: Arc<Counts>,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Counts {
    left_out: AtomicU64,
    /// Of those, the ones that the next report tells of.
    untold: AtomicU64,
}

impl Counts {
    fn left_out(&self, count: u64) {
        self.left_out.fetch_add(count, Ordering::Relaxed);
        self.untold.fetch_add(count, Ordering::Relaxed);
    }
}

impl Reports {
    /// The taking side, and the task that talks to the operator.
    #[must_use]
    pub fn new(dialer: Dialer, credentials: Arc<CredentialStore>) -> (Self, ReportsTask) {
        let (queue, waiting) = mpsc::channel(WAITING);
        let counts = Arc::new(Counts::default());
        let task = ReportsTask { dialer, credentials, waiting, counts: Arc::clone(&counts), unsent: None };
        (Self { queue, counts, budget: Arc::default() }, task)
    }

    /// Reports a decision, if it is a denial or an object or a namespace in audit would have made one of it.
    /// `snapshot_version` is that of the snapshot which decided.
    pub fn decided(&self, event: &AuthorizationEvent, snapshot_version: u64) {
        let would_deny = event.would_be.as_ref().is_some_and(|would_be| would_be.verdict == Verdict::Deny);
        if event.verdict == Verdict::Allow && !would_deny {
            return;
        }
        let taken = self.budget.take() && self.queue.try_send(report(event, snapshot_version)).is_ok();
        if !taken {
            self.counts.left_out(1);
        }
    }

    /// How many denials were not reported since the start. For the metric `reports_left_out_total`.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.counts.left_out.load(Ordering::Relaxed)
    }
}

/// Keeps a stream to the operator while there is something to report.
#[derive(Debug)]
pub struct ReportsTask {
    dialer: Dialer,
    credentials: Arc<CredentialStore>,
    waiting: mpsc::Receiver<Report>,
    counts: Arc<Counts>,
    /// Taken from the queue, and not on a stream yet.
    unsent: Option<Report>,
}

#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the operator refused or ended the reports stream: {0}")]
    Status(Box<tonic::Status>),
}

impl ReportsTask {
    /// Runs until dropped. After a lost or refused stream it connects again after a random time of up to 0.5 s,
    /// doubling to 30 s.
    pub async fn run(mut self) {
        let mut backoff = Backoff::reconnect();
        loop {
            if self.unsent.is_none() {
                let Some(first) = self.waiting.recv().await else { return };
                self.unsent = Some(first);
            }
            wait_for_certificate(&self.credentials).await;
            match self.connect().await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    let delay = backoff.next_delay();
                    tracing::info!(%error, ?delay, "denials are not reported to the operator; the audit log has them");
                    sleep(delay).await;
                }
            }
        }
    }

    /// One stream, until there has been nothing to report for a while.
    async fn connect(&mut self) -> Result<(), ReportError> {
        let status = |status| ReportError::Status(Box::new(status));
        let mut client = ReportsClient::new(self.dialer.dial().await?);
        let (outbound, messages) = mpsc::channel(1);
        let call = client.report(ReceiverStream::new(messages));
        tokio::pin!(call);
        loop {
            tokio::select! {
                // The stream lives as long as it is not answered.
                answer = call.as_mut() => return answer.map(drop).map_err(status),
                permit = outbound.reserve() => {
                    // The other end takes no more: its answer says why.
                    let Ok(permit) = permit else { return call.await.map(drop).map_err(status) };
                    let report = match self.unsent.take() {
                        Some(report) => report,
                        None => tokio::select! {
                            report = self.waiting.recv() => match report {
                                Some(report) => report,
                                None => break,
                            },
                            answer = call.as_mut() => return answer.map(drop).map_err(status),
                            () = sleep(IDLE) => break,
                        },
                    };
                    permit.send(self.message(report));
                }
            }
        }
        drop(outbound);
        timeout(IDLE, call)
            .await
            .map_err(|_| status(tonic::Status::deadline_exceeded("no summary")))?
            .map_err(status)?;
        Ok(())
    }

    fn message(&self, mut report: Report) -> DenialReport {
        report.left_out = self.counts.untold.swap(0, Ordering::Relaxed);
        encode_report(&report)
    }
}

fn report(event: &AuthorizationEvent, snapshot_version: u64) -> Report {
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let since = event.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let protocol = match event.call.protocol {
        Protocol::Http1 => "http/1",
        Protocol::Http2 => "http/2",
        Protocol::Tcp => "tcp",
    };
    let caller = match (&event.source.identity, event.source.unproven) {
        (Some(identity), _) => ReportedCaller::Proven(identity.clone()),
        (None, Some(reason)) => ReportedCaller::Unproven(reason.to_string()),
        // Closed before anybody was asked for a proof.
        (None, None) => ReportedCaller::Unproven("not-asked".to_owned()),
    };
    Report {
        decision_id: event.decision_id.to_string(),
        connection_id: event.connection_id.to_string(),
        time_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        workload: event.destination.workload.clone(),
        port: event.destination.port,
        caller,
        source: event.source.address,
        call: ReportedCall {
            protocol: protocol.to_owned(),
            method: text(&event.call.method),
            path: text(&event.call.path),
            host: text(&event.call.host),
            grpc: event.call.grpc,
        },
        verdict: verdict(event.verdict),
        outcome: match event.outcome {
            Outcome::Forwarded => ReportedOutcome::Forwarded,
            Outcome::Refused => ReportedOutcome::Refused,
            Outcome::Closed => ReportedOutcome::Closed,
            Outcome::Cut => ReportedOutcome::Cut,
        },
        rules: rules(&event.reasons),
        rule_count: event.reason_count,
        would_be: event.would_be.as_ref().map(|would_be| ReportedWouldBe {
            verdict: verdict(would_be.verdict),
            rules: rules(&would_be.reasons),
        }),
        status: event.status,
        snapshot: event.snapshot,
        snapshot_version,
        left_out: 0,
    }
}

const fn verdict(verdict: Verdict) -> ReportedVerdict {
    match verdict {
        Verdict::Allow => ReportedVerdict::Allow,
        Verdict::Deny => ReportedVerdict::Deny,
    }
}

fn rules(reasons: &[Reason]) -> Vec<ReportedRule> {
    let rule = |reason: &Reason| ReportedRule {
        kind: reason.kind.to_owned(),
        namespace: reason.namespace.to_string(),
        name: reason.name.to_string(),
        rule: reason.rule.to_string(),
    };
    reasons.iter().map(rule).collect()
}
