//! A denial as JSON: the fields of the sidecar's own audit event (docs/audit.md).

use std::sync::Arc;

use bailiwick_wire::{Digest, Report, ReportedCaller, ReportedOutcome, ReportedRule, ReportedVerdict};
use serde_json::{Map, Value, json};

pub(super) fn one(report: &Report) -> String {
    format!("{}\n", value(report))
}

pub(super) fn many(reports: &[Arc<Report>]) -> String {
    let all: Vec<Value> = reports.iter().map(|report| value(report)).collect();
    format!("{}\n", Value::from(all))
}

fn value(report: &Report) -> Value {
    let mut source = Map::new();
    match &report.caller {
        ReportedCaller::Proven(id) => source.insert("identity".to_owned(), json!(id.to_string())),
        ReportedCaller::Unproven(why) => source.insert("unproven".to_owned(), json!(why)),
    };
    source.insert("ip".to_owned(), json!(report.source.ip().to_string()));
    source.insert("port".to_owned(), json!(report.source.port()));
    let mut all = json!({
        "event": "authorization",
        "time": time(report.time_ms),
        "connectionId": report.connection_id,
        "decisionId": report.decision_id,
        "verdict": verdict(report.verdict),
        "outcome": outcome(report.outcome),
        "reasons": rules(&report.rules),
        "reasonCount": report.rule_count,
        "source": source,
        "destination": {"workload": report.workload.to_string(), "port": u32::from(report.port)},
        "protocol": report.call.protocol,
        "snapshot": Digest(report.snapshot.0).to_string(),
    });
    let mut add = |name: &str, value: Value| {
        if let Some(all) = all.as_object_mut() {
            all.insert(name.to_owned(), value);
        }
    };
    let call = &report.call;
    for (name, text) in [("method", &call.method), ("path", &call.path), ("host", &call.host)] {
        if !text.is_empty() {
            add(name, json!(text));
        }
    }
    if !call.method.is_empty() {
        add("grpc", json!(call.grpc));
    }
    if let Some(status) = report.status {
        add("status", json!(status));
    }
    if let Some(would_be) = &report.would_be {
        add("wouldBe", json!({"verdict": verdict(would_be.verdict), "reasons": rules(&would_be.rules)}));
    }
    all
}

fn rules(rules: &[ReportedRule]) -> Vec<Value> {
    let one = |rule: &ReportedRule| {
        let mut all = Map::new();
        let fields = [
            ("kind", &rule.kind),
            ("namespace", &rule.namespace),
            ("name", &rule.name),
            ("rule", &rule.rule),
        ];
        for (name, text) in fields {
            if !text.is_empty() {
                all.insert(name.to_owned(), json!(text));
            }
        }
        Value::Object(all)
    };
    rules.iter().map(one).collect()
}

const fn verdict(verdict: ReportedVerdict) -> &'static str {
    match verdict {
        ReportedVerdict::Allow => "allow",
        ReportedVerdict::Deny => "deny",
    }
}

const fn outcome(outcome: ReportedOutcome) -> &'static str {
    match outcome {
        ReportedOutcome::Forwarded => "forwarded",
        ReportedOutcome::Refused => "refused",
        ReportedOutcome::Closed => "closed",
        ReportedOutcome::Cut => "cut",
    }
}

/// RFC 3339 with milliseconds, UTC.
fn time(millis: i64) -> String {
    let (seconds, millis) = (millis.div_euclid(1_000), millis.rem_euclid(1_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The day so many days after 1970-01-01 ("chrono-Compatible Low-Level Date Algorithms", Hinnant).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}
