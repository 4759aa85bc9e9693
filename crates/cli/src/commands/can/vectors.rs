//! The corpus of docs/policy-semantics.md and tests/vectors, through `can`.

use bailiwick_inputs::read_bytes;
use bailiwick_testkit::vectors::{Expect, Observed, VectorCall, load, run};

use super::answer::Verdict;
use super::request::Asked;
use super::{Arguments, ask};
use crate::folder::Folder;

#[test]
fn every_vector_holds_in_can() {
    run(&load(), |vector, call, asked| {
        let folder = Folder::of(read_bytes(&vector.file, vector.world.as_bytes()));
        let mut arguments = arguments(call);
        // Without an address or a time the answer may be DEPENDS; a real call has both.
        arguments.ip = Some(asked.source.ip());
        arguments.now = Some(asked.now);
        observe(&folder, &arguments)?.in_full(call)
    });
}

/// What is not given may make an answer DEPENDS, and never makes it another one.
#[test]
fn without_address_and_time_an_answer_is_the_same_or_depends() {
    for vector in load() {
        let folder = Folder::of(read_bytes(&vector.file, vector.world.as_bytes()));
        for call in &vector.calls {
            let arguments = arguments(call);
            let asked = Asked::read(&arguments).unwrap();
            let answer = ask(&folder, &arguments, &asked, true).unwrap();
            if answer.verdict == Verdict::Depends {
                assert!(!answer.depends.is_empty(), "{}: {call}", vector.name);
                continue;
            }
            // A call that is told apart by its address or time only.
            let open = call.ip.is_none() && call.now.is_none();
            if open || answer.verdict == Verdict::Allow {
                assert_eq!(expect(answer.verdict), call.expect, "{}: {call}", vector.name);
            }
        }
    }
}

fn arguments(call: &VectorCall) -> Arguments {
    let header = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}:{value}"));
    Arguments {
        from: call.from.clone(),
        method: call.method.clone(),
        to: call.to.clone(),
        path: call.path.clone(),
        given: super::tests::given(),
        headers: [header("host", &call.host), header("content-type", &call.content_type)]
            .into_iter()
            .flatten()
            .collect(),
        ip: call.ip,
        now: call.now,
        explain: true,
    }
}

fn observe(folder: &Folder, arguments: &Arguments) -> Result<Observed, String> {
    let asked = Asked::read(arguments).map_err(|mistake| mistake.to_string())?;
    let answer = ask(folder, arguments, &asked, true).map_err(|mistake| mistake.to_string())?;
    let would_be = answer.would_be.map(|would_be| expect(would_be.verdict));
    Ok(Observed { expect: expect(answer.verdict), rule: answer.rule, would_be })
}

fn expect(verdict: Verdict) -> Expect {
    match verdict {
        Verdict::Allow => Expect::Allow,
        Verdict::Deny | Verdict::Depends => Expect::Deny,
        Verdict::Invalid => Expect::Invalid,
        Verdict::Unauthenticated => Expect::Unauthenticated,
        Verdict::Unavailable => Expect::Unavailable,
    }
}
