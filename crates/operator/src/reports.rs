//! Service `Reports`: sidecars tell of their denials, and the last of them are kept for `why`.
//!
//! A bounded ring in memory: the record of denials is the sidecars' audit log, this is only near at hand.

mod json;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bailiwick_runtime::drain;
use bailiwick_wire::decode_report;
use bailiwick_wire::proto::reports_server::Reports;
use bailiwick_wire::proto::{DenialReport, ReportSummary};
use tonic::{Request, Response, Status, Streaming};

use crate::metrics::OperatorMetrics;
use crate::publish::Publisher;
use crate::rate::{Meter, Rate};
use crate::serve::{Caller, proven};
pub(crate) use ring::Denials;

/// What one stream may bring; a sidecar itself sends fewer. What is over is counted and not kept.
const EACH: Rate = Rate { burst: 200, per_second: 50 };

/// The service.
#[derive(Debug)]
pub(crate) struct ReportsService {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) denials: Arc<Denials>,
    pub(crate) metrics: OperatorMetrics,
    pub(crate) drain: drain::Watch,
}

#[tonic::async_trait]
impl Reports for ReportsService {
    async fn report(
        &self,
        request: Request<Streaming<DenialReport>>,
    ) -> Result<Response<ReportSummary>, Status> {
        let caller = proven(&request)?;
        let mut inbound = request.into_inner();
        let mut meter = Meter::full(EACH, Instant::now());
        let mut taken = 0;
        let expiry = caller.expiry();
        tokio::pin!(expiry);
        loop {
            let message = tokio::select! {
                biased;
                () = self.drain.signaled() => return Err(Status::unavailable("the operator is stopping")),
                () = &mut expiry => {
                    return Err(Status::unauthenticated("the certificate of this connection has expired"));
                }
                message = inbound.message() => message?,
            };
            let Some(message) = message else { return Ok(Response::new(ReportSummary { taken })) };
            self.metrics.denials_left_out.inc_by(message.left_out);
            if !meter.take(Instant::now()) {
                self.metrics.denials_left_out.inc();
                continue;
            }
            self.take(&message, &caller)?;
            taken += 1;
        }
    }
}

impl ReportsService {
    /// FAIL-CLOSED: a sidecar speaks for its own workload only.
    fn take(&self, message: &DenialReport, caller: &Caller) -> Result<(), Status> {
        let report = decode_report(message).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let publication = self.publisher.current();
        let published = publication.workloads.get(&report.workload);
        if published.is_none_or(|published| published.identity != *caller.id()) {
            let message = format!("`{}` is not the identity of workload `{}`", caller.id(), report.workload);
            return Err(Status::permission_denied(message));
        }
        self.metrics.denials_reported.inc();
        self.denials.keep(report);
        Ok(())
    }
}
