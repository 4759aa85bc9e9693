//! Properties of decisions.

use std::net::SocketAddr;
use std::sync::Arc;

use bailiwick_identity::Subject;
use bailiwick_policy::{
    Admission, Answer, Binding, Body, Caller, CanonicalPath, ConnectionAttributes, Decision, Effect,
    Explanation, HttpCall, Hypothesis, Layer, Mode, Reasons, RequestAttributes, RequestTarget, Snapshot,
    SnapshotParts, Timestamp, Verdict, admit, authorize, explain,
};
use proptest::prelude::*;

use super::evaluator::{self, Call};
use super::{build, subject, worlds};

fn subject_of(call: &Call) -> Subject {
    call.identity.as_ref().map_or_else(subject::anonymous, |id| subject::peer(id).expect("a subject"))
}

/// Lends the call in the crate's own terms.
fn with_attributes<T>(call: &Call, decide: impl FnOnce(&RequestAttributes<'_>) -> T) -> T {
    let path = call.request.as_ref().and_then(|request| request.path.as_deref());
    let path = path.map(|path| CanonicalPath::parse(path).expect("a canonical path"));
    let request = match &call.request {
        None => bailiwick_policy::Call::Tcp,
        Some(request) => bailiwick_policy::Call::Http(HttpCall {
            method: &request.method,
            target: path.as_ref().map_or(RequestTarget::Ambiguous, RequestTarget::Path),
            host: &request.host,
            grpc: request.grpc,
        }),
    };
    decide(&RequestAttributes {
        source: SocketAddr::new(call.source, 40_000),
        port: build::port(call.port),
        now: Timestamp(call.now),
        call: request,
    })
}

fn ask(snapshot: &Arc<Snapshot>, call: &Call) -> Decision {
    with_attributes(call, |attributes| authorize(snapshot, &subject_of(call), attributes))
}

fn bind(snapshot: &Arc<Snapshot>, call: &Call) -> Binding {
    snapshot.bind(&subject_of(call), call.source)
}

fn permitted(parts: &SnapshotParts, call: &Call) -> bool {
    ask(&build::snapshot(parts.clone()), call).is_permit()
}

fn names(snapshot: &Snapshot, reasons: &Reasons) -> Vec<(Layer, String, String, String)> {
    let name = |index| {
        let info = snapshot.rule(index).expect("a rule of the snapshot");
        let origin = &info.origin;
        (origin.layer, origin.namespace.to_string(), origin.name.to_string(), info.name.to_string())
    };
    reasons.iter().map(name).collect()
}

fn agrees(snapshot: &Snapshot, found: &Verdict, expected: &evaluator::Verdict) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.outcome.as_str(), expected.outcome);
    prop_assert_eq!(found.reasons.total(), expected.rules.len());
    let first: Vec<_> = expected.rules.iter().take(8).cloned().collect();
    prop_assert_eq!(names(snapshot, &found.reasons), first);
    Ok(())
}

fn decision_agrees(parts: &SnapshotParts, call: &Call, decision: &Decision) -> Result<(), TestCaseError> {
    agrees(decision.snapshot(), decision.verdict(), &evaluator::decide(parts, call))?;
    let expected = evaluator::would_be(parts, call);
    prop_assert_eq!(decision.would_be().is_some(), expected.is_some());
    match (decision.would_be(), expected) {
        (Some(found), Some(expected)) => agrees(decision.snapshot(), found, &expected),
        (None, _) | (_, None) => Ok(()),
    }
}

/// The hypothesis with everything given, and with less.
fn explained(snapshot: &Snapshot, call: &Call, source: bool, time: bool) -> Explanation {
    let caller = match &call.identity {
        Some(id) => Caller::Identity(id.parse().expect("an identity")),
        None => Caller::Anonymous,
    };
    with_attributes(call, |attributes| {
        let hypothesis = Hypothesis {
            caller: caller.clone(),
            source: source.then_some(call.source),
            port: attributes.port,
            now: time.then_some(attributes.now),
            call: attributes.call,
        };
        explain(snapshot, &hypothesis)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fast_is_naive(parts in worlds::world(), calls in worlds::calls()) {
        let snapshot = build::snapshot(parts.clone());
        for call in &calls {
            decision_agrees(&parts, call, &ask(&snapshot, call))?;
        }
    }

    #[test]
    fn bound_is_unbound(parts in worlds::world(), calls in worlds::calls()) {
        let snapshot = build::snapshot(parts.clone());
        for call in &calls {
            let binding = bind(&snapshot, call);
            decision_agrees(&parts, call, &with_attributes(call, |attributes| binding.authorize(attributes)))?;
            // Of another connection of the same caller: the address is the call's, not the binding's.
            let elsewhere = snapshot.bind(&subject_of(call), build::address("10.1.2.3").ip());
            decision_agrees(&parts, call, &with_attributes(call, |attributes| elsewhere.authorize(attributes)))?;
        }
    }

    #[test]
    fn order_is_free(parts in worlds::world(), calls in worlds::calls(), seed in any::<u64>()) {
        let snapshot = build::snapshot(parts.clone());
        let mut shuffled = parts;
        let turn = usize::try_from(seed % 7).expect("small").min(shuffled.objects.len());
        shuffled.objects.rotate_left(turn);
        for bound in &mut shuffled.objects {
            let mut object = bound.object.as_ref().clone();
            if let Body::Rules(rules) = &mut object.body {
                rules.reverse();
                for rule in rules {
                    rule.subjects.reverse();
                    rule.permissions.reverse();
                }
            }
            bound.object = Arc::new(object);
        }
        let other = build::snapshot(shuffled);
        prop_assert!(snapshot.rules().eq(other.rules()), "a rule's index depends on the order");
        for call in &calls {
            let (left, right) = (ask(&snapshot, call), ask(&other, call));
            prop_assert_eq!(left.verdict(), right.verdict());
            prop_assert_eq!(left.would_be(), right.would_be());
        }
    }

    #[test]
    fn adding_an_allow_never_removes_access(
        mut parts in worlds::plain_world(), calls in worlds::calls(), rule in worlds::rule(Just(Effect::Allow)),
    ) {
        let before: Vec<bool> = calls.iter().map(|call| permitted(&parts, call)).collect();
        parts.objects.push(build::policy("added", vec![rule]));
        for (call, before) in calls.iter().zip(before) {
            prop_assert!(!before || permitted(&parts, call));
        }
    }

    #[test]
    fn adding_a_deny_never_adds_access(
        mut parts in worlds::plain_world(), calls in worlds::calls(), rule in worlds::rule(Just(Effect::Deny)),
    ) {
        let before: Vec<bool> = calls.iter().map(|call| permitted(&parts, call)).collect();
        parts.objects.push(build::policy("added", vec![rule]));
        for (call, before) in calls.iter().zip(before) {
            prop_assert!(before || !permitted(&parts, call));
        }
    }

    #[test]
    fn an_uncompilable_object_only_takes_access(
        parts in worlds::plain_world(), calls in worlds::calls(), pick in any::<prop::sample::Index>(),
    ) {
        let broken = Body::Uncompilable { reason: Arc::from("it is broken") };
        let mut with = parts.clone();
        with.objects.push(build::object(Layer::Namespace, "broken", Mode::Enforce, broken.clone()));
        // The same for an object that breaks: what it allowed is gone.
        let mut without = parts.clone();
        if !without.objects.is_empty() {
            let picked = pick.index(without.objects.len());
            let mut object = without.objects[picked].object.as_ref().clone();
            object.body = broken;
            without.objects[picked].object = Arc::new(object);
        }
        for call in &calls {
            prop_assert!(!permitted(&with, call));
            prop_assert!(permitted(&parts, call) || !permitted(&without, call));
        }
    }

    #[test]
    fn an_object_in_audit_never_changes_a_verdict(
        mut parts in worlds::plain_world(), calls in worlds::calls(),
        object in worlds::object(Layer::Namespace, Just(Mode::Audit), 10),
    ) {
        let before = build::snapshot(parts.clone());
        parts.objects.push(object);
        let after = build::snapshot(parts);
        for call in &calls {
            let (left, right) = (ask(&before, call), ask(&after, call));
            prop_assert_eq!(left.verdict().outcome, right.verdict().outcome);
            let (left, right) = (&left.verdict().reasons, &right.verdict().reasons);
            prop_assert_eq!(names(&before, left), names(&after, right));
        }
    }

    #[test]
    fn early_refusals_are_later_refusals(parts in worlds::world(), calls in worlds::calls()) {
        let snapshot = build::snapshot(parts.clone());
        for call in &calls {
            let connection = ConnectionAttributes {
                source: SocketAddr::new(call.source, 40_000),
                port: build::port(call.port),
                now: Timestamp(call.now),
            };
            let expected = evaluator::refused_early(&parts, call.source, call.port, call.now);
            match admit(&snapshot, &connection) {
                Admission::Admitted => prop_assert!(expected.is_empty()),
                Admission::Refused(reasons) => {
                    prop_assert_eq!(reasons.total(), expected.len());
                    let first: Vec<_> = expected.into_iter().take(8).collect();
                    prop_assert_eq!(names(&snapshot, &reasons), first);
                    prop_assert!(!ask(&snapshot, call).is_permit());
                }
            }
        }
    }

    #[test]
    fn explained_is_decided(parts in worlds::world(), calls in worlds::calls()) {
        let snapshot = build::snapshot(parts);
        for call in &calls {
            let decision = ask(&snapshot, call);
            let explanation = explained(&snapshot, call, true, true);
            prop_assert!(explanation.depends.is_empty());
            prop_assert_eq!(explanation.verdict.outcome, decision.verdict().outcome);
            prop_assert_eq!(explanation.verdict.rules.len(), decision.verdict().reasons.total());
            let listed = explanation.verdict.rules.iter().map(|rule| rule.index).take(8);
            prop_assert!(listed.eq(decision.verdict().reasons.iter()));
            let would_be = explanation.would_be.as_ref().map(|verdict| (verdict.outcome, verdict.rules.len()));
            let expected = decision.would_be().map(|verdict| (verdict.outcome, verdict.reasons.total()));
            prop_assert_eq!(would_be, expected);
            prop_assert!(!explanation.nearest.is_some_and(|nearest| nearest.mismatches.is_empty()));
        }
    }

    #[test]
    fn a_certain_answer_holds_whatever_was_left_open(parts in worlds::world(), calls in worlds::calls()) {
        let snapshot = build::snapshot(parts);
        for call in &calls {
            let permit = ask(&snapshot, call).is_permit();
            for (source, time) in [(false, true), (true, false), (false, false)] {
                let explanation = explained(&snapshot, call, source, time);
                match explanation.answer() {
                    Answer::Permit => prop_assert!(permit),
                    Answer::Deny => prop_assert!(!permit),
                    Answer::Depends => prop_assert!(!explanation.verdict.outcome.permits()),
                }
            }
        }
    }

    #[test]
    fn a_decision_changes_only_at_an_announced_instant(parts in worlds::world(), calls in worlds::calls()) {
        let snapshot = build::snapshot(parts);
        for call in &calls {
            let mut later = call.clone();
            later.now += 1;
            let (before, after) = (ask(&snapshot, call), ask(&snapshot, &later));
            if before.verdict() != after.verdict() {
                prop_assert_eq!(snapshot.next_change(Timestamp(call.now)), Some(Timestamp(later.now)));
            }
        }
    }
}
