//! Makes the planned calls, and joins each answer with what the called sidecar wrote about it.

use anyhow::{Context as _, Result};
use bailiwick_identity::SpiffeId;
use serde::Serialize;

use super::audit::{AuditLog, Event, rules};
use super::http::{self, KeptAlive};
use super::plan::{Call, From, Planned, To};
use super::strangers::{self, Victim};
use super::world::{Folder, Place, Places};

/// What became of a call.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    from: &'static str,
    to: &'static str,
    protocol: &'static str,
    method: &'static str,
    path: String,
    /// The decision that was expected.
    expected: &'static str,
    expected_status: &'static str,
    expected_rule: &'static str,
    pub(super) status: String,
    pub(super) decision: String,
    pub(super) rule: String,
    /// The caller, where it was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<String>,
    /// False once anything of it was found to be otherwise.
    pub(super) as_expected: bool,
}

impl Row {
    fn new(planned: &Planned, status: String, event: &Event) -> Self {
        Self {
            from: planned.from.label(),
            to: planned.to.label(),
            protocol: planned.call.protocol(),
            method: planned.call.method(),
            path: planned.call.path(),
            expected: planned.expected.decision,
            expected_status: planned.expected.status,
            expected_rule: planned.expected.rule,
            status,
            decision: decision(event),
            rule: rule(event),
            identity: event.identity().map(str::to_owned),
            decision_id: event.decision_id.clone(),
            as_expected: true,
        }
    }

    /// The columns that are printed.
    pub(super) fn columns(&self) -> [String; 5] {
        let call = format!("{} {}", self.method, self.path);
        // The alert's name is told with the reason.
        let status = if self.status.starts_with("alert ") { "TLS alert" } else { &self.status };
        [self.from.to_owned(), self.to.to_owned(), call, status.to_owned(), self.decision.clone()]
    }

    /// How it differs from what was expected.
    pub(super) fn difference(&self) -> Option<String> {
        let pairs = [
            ("status", self.expected_status, &self.status),
            ("decision", self.expected, &self.decision),
            ("rule", self.expected_rule, &self.rule),
        ];
        let differing: Vec<String> = pairs
            .into_iter()
            .filter(|(_, expected, found)| expected != found)
            .map(|(what, expected, found)| format!("{what} `{expected}` was expected, not `{found}`"))
            .collect();
        (!differing.is_empty()).then(|| differing.join("; "))
    }
}

fn decision(event: &Event) -> String {
    event.verdict.clone().unwrap_or_else(|| "unauthenticated".to_owned())
}

/// The deciding rules; of a caller that is not believed, the reason; in a namespace in audit, both.
fn rule(event: &Event) -> String {
    if let Some(reason) = &event.reason {
        return reason.clone();
    }
    let decided = rules(&event.reasons);
    match &event.would_be {
        Some(would_be) => format!("{decided} (would be {}: {})", would_be.verdict, rules(&would_be.reasons)),
        None => decided,
    }
}

/// Everybody who can call, and the logs of everybody who is called.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    folder: &'a Folder,
    places: &'a Places,
    orders: AuditLog,
    legacy: AuditLog,
    orders_id: SpiffeId,
}

impl<'a> Stage<'a> {
    pub(super) fn new(folder: &'a Folder, places: &'a Places) -> Result<Self> {
        let log = |place: &Place| AuditLog::new(folder.path(&format!("audit/{}.jsonl", place.file_name())));
        Ok(Self {
            folder,
            places,
            orders: log(&places.orders),
            legacy: log(&places.legacy),
            orders_id: "spiffe://cluster.local/ns/shop/sa/orders".parse()?,
        })
    }

    /// The audit log of `shop/orders`.
    pub(super) const fn log(&mut self) -> &mut AuditLog {
        &mut self.orders
    }

    /// Makes a call on a connection of its own.
    pub(super) async fn call(&mut self, planned: &Planned) -> Result<Row> {
        self.log_of(planned.to).skip()?;
        let (status, decision) = self.answer(planned).await.with_context(|| title(planned))?;
        self.row(planned, status, decision).await
    }

    /// Makes a call on a connection that is kept.
    pub(super) async fn call_on(&mut self, connection: &mut KeptAlive, planned: &Planned) -> Result<Row> {
        self.log_of(planned.to).skip()?;
        let answer = connection.send(planned.call.method(), &planned.call.path()).await;
        let answer = answer.with_context(|| title(planned))?;
        self.row(planned, answer.status, answer.decision).await
    }

    /// Where the answer names the decision, that is the event. Else it is the next one that fits: calls are made one
    /// after the other.
    async fn row(&mut self, planned: &Planned, status: String, decision: Option<String>) -> Result<Row> {
        let fits = |event: &Event| match &decision {
            Some(id) => event.decision_id.as_ref() == Some(id),
            None => is_of(event, planned),
        };
        let event = self.log_of(planned.to).next(fits).await.with_context(|| title(planned))?;
        Ok(Row::new(planned, status, &event))
    }

    const fn log_of(&mut self, to: To) -> &mut AuditLog {
        match to {
            To::Orders => &mut self.orders,
            To::Legacy => &mut self.legacy,
        }
    }

    async fn answer(&self, planned: &Planned) -> Result<(String, Option<String>)> {
        let caller = match planned.from {
            From::Web => &self.places.web,
            From::Report => &self.places.report,
            From::Stranger(stranger) => {
                let state = self.folder.path("state");
                let address = self.places.orders.port(planned.call.port())?.listen;
                let victim = Victim { address, identity: &self.orders_id, state: &state };
                return Ok((strangers::call(stranger, &victim).await?, None));
            }
        };
        let way = caller.way_to(&format!("{}:{}", planned.to.label(), planned.call.port()))?;
        let answer = match planned.call {
            Call::Http { method, path } => KeptAlive::open(way).await?.send(method, path).await?,
            Call::Grpc { .. } => http::grpc(way, &planned.call.path()).await?,
            Call::Tcp => {
                let status = if http::greeting(way).await?.is_some() { "open" } else { "closed" };
                return Ok((status.to_owned(), None));
            }
        };
        Ok((answer.status, answer.decision))
    }
}

/// True for the event of a decision on such a call, or of a caller that is not believed where that is expected.
fn is_of(event: &Event, planned: &Planned) -> bool {
    let path = match planned.call {
        Call::Http { path, .. } => Some(path.to_owned()),
        Call::Grpc { .. } => Some(format!("/{}", planned.call.path())),
        Call::Tcp => None,
    };
    match planned.from.identity() {
        Some(id) => event.is_decision() && event.path == path && event.identity() == Some(id),
        None => event.is_rejection() || event.is_decision(),
    }
}

fn title(planned: &Planned) -> String {
    let Planned { from, to, call, .. } = planned;
    format!("{} calls {}: {} {}", from.label(), to.label(), call.method(), call.path())
}
