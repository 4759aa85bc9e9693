//! An object's `status` as it is written.

use bailiwick_api::status::{ACCEPTED, ENFORCED, RESOLVED_REFS};
use serde_json::{Map, Value, json};

use crate::cluster::fleet::{Answer, Assessment};
use crate::cluster::summary::Summary;
use crate::status::Verdict;

/// The schema allows 32,768 bytes; nobody reads that many, and status stays small.
const LONGEST_MESSAGE: usize = 2_048;

/// The whole of `status`, given what is there. The time of a condition moves only with its status.
pub(super) fn document(assessment: &Assessment, summary: &Summary, before: &Value, now: &str) -> Value {
    let generation = assessment.generation;
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        let old =
            condition_of(before, kind).filter(|old| old.get("status").is_some_and(|known| known == status));
        let time = old.and_then(|old| old.get("lastTransitionTime")).and_then(Value::as_str).unwrap_or(now);
        let message: String = message.chars().take(LONGEST_MESSAGE).collect();
        json!({
            "type": kind,
            "status": status,
            "observedGeneration": generation,
            "lastTransitionTime": time,
            "reason": reason,
            "message": message,
        })
    };
    let verdict = |kind: &str, verdict: &Verdict| match verdict {
        Verdict::Holds => condition(kind, "True", kind, ""),
        Verdict::Fails { reason, message } => condition(kind, "False", reason, message),
    };
    let enforced = &assessment.enforced;
    let status = match enforced.answer {
        Answer::Yes => "True",
        Answer::No | Answer::NotYet => "False",
        Answer::Unknown => "Unknown",
    };
    let mut conditions =
        vec![verdict(ACCEPTED, &assessment.accepted), verdict(RESOLVED_REFS, &assessment.resolved)];
    let mut pods = json!({"targeted": assessment.targeted, "enforced": assessment.acknowledged});
    let mut column = format!("{}/{}", assessment.acknowledged, assessment.targeted);
    match still_stands(assessment, before) {
        Some((condition, counts, counted)) => {
            conditions.push(condition);
            (pods, column) = (counts, counted);
        }
        None => conditions.push(condition(ENFORCED, status, &enforced.reason, &enforced.message)),
    }
    let mut columns = Map::new();
    let texts = [("targets", &summary.targets), ("mode", &summary.mode), ("enforced", &Some(column))];
    for (name, text) in texts {
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            columns.insert(name.to_owned(), json!(text));
        }
    }
    json!({"observedGeneration": generation, "conditions": conditions, "pods": pods, "summary": columns})
}

/// What was said of this generation before, where a new leader does not know better yet.
fn still_stands(assessment: &Assessment, before: &Value) -> Option<(Value, Value, String)> {
    if assessment.enforced.answer != Answer::Unknown {
        return None;
    }
    let old = condition_of(before, ENFORCED)?;
    if old.get("observedGeneration").and_then(Value::as_i64) != Some(assessment.generation) {
        return None;
    }
    let column = before.get("summary")?.get("enforced")?.as_str()?.to_owned();
    Some((old.clone(), before.get("pods")?.clone(), column))
}

/// One condition of a status.
pub(super) fn condition_of<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = status.get("conditions").and_then(Value::as_array)?;
    conditions.iter().find(|condition| condition.get("type").is_some_and(|known| known == kind))
}

/// The generation that a status describes.
pub(super) fn observed(status: &Value) -> Option<i64> {
    status.get("observedGeneration").and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use bailiwick_compile::{ObjectKey, ObjectKind};

    use super::*;
    use crate::cluster::fleet::Enforced;

    fn assessment(answer: Answer) -> Assessment {
        Assessment {
            key: ObjectKey { kind: ObjectKind::Policy, namespace: "shop".into(), name: "orders".into() },
            uid: "one".into(),
            generation: 3,
            accepted: Verdict::Holds,
            resolved: Verdict::Fails { reason: "RefNotFound".into(), message: "x".repeat(50_000) },
            enforced: Enforced { answer, reason: "PodLagging".into(), message: "shop/a".into() },
            audit: false,
            targeted: 6,
            acknowledged: 5,
        }
    }

    fn write(answer: Answer, before: &Value, now: &str) -> Value {
        let summary = Summary { targets: Some("all pods".into()), mode: None };
        document(&assessment(answer), &summary, before, now)
    }

    #[test]
    fn it_is_the_kinds_own_status() {
        let written = write(Answer::NotYet, &Value::Null, "2026-01-01T00:00:00Z");
        let read: bailiwick_api::status::ObjectStatus = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), written, "nothing is lost");
        assert_eq!(read.conditions.len(), 3);
        assert!(read.conditions.iter().all(|one| one.observed_generation == Some(3)));
        assert!(read.conditions[1].message.len() <= LONGEST_MESSAGE);
        assert_eq!(read.summary.unwrap().enforced.as_deref(), Some("5/6"));
    }

    #[test]
    fn a_time_moves_only_with_its_status() {
        let first = write(Answer::NotYet, &Value::Null, "2026-01-01T00:00:00Z");
        assert_eq!(write(Answer::NotYet, &first, "2026-01-02T00:00:00Z"), first);
        let second = write(Answer::Yes, &first, "2026-01-03T00:00:00Z");
        let time = |kind: &str| condition_of(&second, kind).unwrap()["lastTransitionTime"].clone();
        assert_eq!(time(ENFORCED), "2026-01-03T00:00:00Z");
        assert_eq!(time(ACCEPTED), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_new_leader_takes_nothing_back_that_it_does_not_know() {
        let yes = write(Answer::Yes, &Value::Null, "2026-01-01T00:00:00Z");
        assert_eq!(write(Answer::Unknown, &yes, "2026-01-02T00:00:00Z"), yes);
        let first = write(Answer::Unknown, &Value::Null, "2026-01-02T00:00:00Z");
        assert_eq!(condition_of(&first, ENFORCED).unwrap()["status"], "Unknown");
        let mut older = yes;
        older["conditions"][2]["observedGeneration"] = json!(2);
        let written = write(Answer::Unknown, &older, "2026-01-02T00:00:00Z");
        assert_eq!(
            condition_of(&written, ENFORCED).unwrap()["status"],
            "Unknown",
            "of this generation nothing is known"
        );
    }
}
