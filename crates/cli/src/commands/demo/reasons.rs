//! Why a call was decided as it was, and the line of YAML that would allow it: the same compile and the same evaluator
//! as the operator's and the sidecars', asked about the same folder.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use bailiwick_compile::{CallShape, Compiled, RefusedCall, Severity, World, compile, suggest_allow};
use bailiwick_identity::Port;
use bailiwick_inputs::Folder;
use bailiwick_policy::{
    Call, Caller, CanonicalPath, Explanation, HttpCall, Hypothesis, Outcome, RequestTarget, Snapshot,
    SnapshotId, WorkloadKey, explain,
};

use super::plan;

/// The folder as it was read at one moment.
#[derive(Debug)]
pub(super) struct Reasons {
    world: World,
    compiled: Compiled,
}

/// Why a call was decided as it was.
#[derive(Debug)]
pub(super) struct Why {
    /// True if the call goes through.
    pub(super) permitted: bool,
    /// A sentence.
    pub(super) reason: String,
    /// Where to write, and what, to allow a call that was refused.
    pub(super) allow: Option<String>,
}

impl Reasons {
    /// Reads and compiles the folder.
    ///
    /// # Errors
    /// When it holds a mistake.
    pub(super) fn read(source: &Path) -> Result<Self> {
        let reading = Folder::read(source);
        let compiled = compile(&reading.world);
        let mistakes: Vec<String> = reading
            .diagnostics
            .iter()
            .chain(&compiled.diagnostics)
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(|diagnostic| {
                format!("{} [{}]: {}", diagnostic.location.file, diagnostic.code, diagnostic.message)
            })
            .collect();
        if !mistakes.is_empty() {
            bail!("the folder is broken:\n{}", mistakes.join("\n"));
        }
        Ok(Self { world: reading.world, compiled })
    }

    /// Asks about a call of a proven identity.
    pub(super) fn of(&self, identity: &str, to: plan::To, call: plan::Call) -> Result<Why> {
        let (namespace, name) = to.label().split_once('/').context("a workload has a namespace")?;
        let target = WorkloadKey { namespace: namespace.parse()?, name: name.parse()? };
        let config = self.compiled.workloads.get(&target).with_context(|| format!("no workload {target}"))?;
        let snapshot = Snapshot::build(SnapshotId::LOCAL, config.snapshot.clone())?;
        let caller = Caller::Identity(identity.parse()?);
        let port = Port::try_from(call.port())?;
        let raw = match call {
            plan::Call::Http { path, .. } => path.to_owned(),
            plan::Call::Grpc { .. } => format!("/{}", call.path()),
            plan::Call::Tcp => "/".to_owned(),
        };
        let path = CanonicalPath::parse(&raw)?;
        let http = |method, grpc| {
            Call::Http(HttpCall { method, target: RequestTarget::Path(&path), host: "orders.shop", grpc })
        };
        let (asked, shape) = match call {
            plan::Call::Http { method, path } => (http(method, false), CallShape::Http { method, path }),
            plan::Call::Grpc { service, method } => (http("POST", true), CallShape::Grpc { service, method }),
            plan::Call::Tcp => (Call::Tcp, CallShape::Tcp),
        };
        let hypothesis = Hypothesis { caller: caller.clone(), source: None, port, now: None, call: asked };
        let explanation = explain(&snapshot, &hypothesis);
        let decided = explanation.would_be.as_ref().unwrap_or(&explanation.verdict);
        let denied_by = match decided.outcome {
            Outcome::ClusterDeny | Outcome::PolicyDeny => {
                decided.rules.first().map(|rule| (&rule.info.origin, rule.info.name.as_ref()))
            }
            Outcome::Allow | Outcome::Default | Outcome::AuditNamespace => None,
        };
        let refused = RefusedCall { caller: &caller, target: &target, port, call: shape, denied_by };
        let allow = (!decided.outcome.permits()).then(|| self.allow(&refused)).flatten();
        Ok(Why { permitted: explanation.verdict.outcome.permits(), reason: sentence(&explanation), allow })
    }

    fn allow(&self, refused: &RefusedCall<'_>) -> Option<String> {
        let suggestion = suggest_allow(&self.world, &self.compiled, refused)?;
        Some(match suggestion.document {
            Some(document) => format!("apply this {}:\n{document}", suggestion.object),
            None => format!("add to {} of {}:\n{}", suggestion.field, suggestion.object, suggestion.line),
        })
    }
}

fn sentence(explanation: &Explanation) -> String {
    let mut text = explanation.verdict.to_string();
    if let Some(would_be) = &explanation.would_be {
        text = format!("{text}; with nothing in audit it would be {would_be}");
    }
    match &explanation.nearest {
        Some(nearest) => format!("{text};\n{nearest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::edit::edited;
    use crate::commands::demo::plan::{AFTER_EDIT, CALLS};
    use crate::commands::demo::world::{self, POLICIES};

    #[test]
    fn what_is_expected_of_the_calls_is_what_the_evaluator_says() {
        let folder = world::Folder::create().unwrap();
        let reasons = Reasons::read(&folder.path("source")).unwrap();
        assert!(CALLS.len() >= 14);
        for planned in &CALLS {
            let Some(identity) = planned.from.identity() else {
                assert_eq!(planned.expected.decision, "unauthenticated");
                continue;
            };
            let why = reasons.of(identity, planned.to, planned.call).unwrap();
            let title = format!("{planned:?}: {why:?}");
            assert_eq!(why.permitted, planned.expected.decision == "allow", "{title}");
            let refused = !why.permitted || planned.expected.rule.contains("would be");
            assert_eq!(why.allow.is_some(), refused, "each denial says what would allow it: {title}");
        }
    }

    #[test]
    fn the_edit_refuses_what_was_allowed_and_no_more() {
        let folder = world::Folder::create().unwrap();
        folder.write("source/policies.yaml", &edited(POLICIES).unwrap()).unwrap();
        let reasons = Reasons::read(&folder.path("source")).unwrap();
        for planned in &AFTER_EDIT {
            let before =
                CALLS.iter().find(|before| (before.from, before.call) == (planned.from, planned.call));
            assert_eq!(before.unwrap().expected.decision, "allow", "{planned:?}");
            let why = reasons.of(planned.from.identity().unwrap(), planned.to, planned.call).unwrap();
            assert_eq!(why.permitted, planned.expected.decision == "allow", "{planned:?}: {why:?}");
        }
    }

    #[test]
    fn a_broken_folder_is_refused_with_its_mistake() {
        let folder = world::Folder::create().unwrap();
        folder.write("source/policies.yaml", &POLICIES.replace("rules:", "rulez:")).unwrap();
        let error = Reasons::read(&folder.path("source")).unwrap_err().to_string();
        assert!(error.contains("policies.yaml") && error.contains("rulez"), "{error}");
    }
}
