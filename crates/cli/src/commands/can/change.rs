//! The YAML that would allow a call.

use bailiwick_compile::{CallShape, ObjectKey, ObjectKind, RefusedCall, suggest_allow};
use bailiwick_policy::{Answer as Short, Caller, Explanation, Origin};

use super::answer::Change;
use super::decide::Question;
use super::request::{Asked, Read, Request, Target};
use crate::folder::Folder;

impl Question<'_> {
    /// The YAML that would allow what is, or with nothing in audit would be, refused.
    pub(super) fn suggest(
        &self,
        explanation: &Explanation,
        caller: &Caller,
        read: Option<&Read>,
    ) -> Option<Change> {
        let decided = explanation.would_be.as_ref().unwrap_or(&explanation.verdict);
        if decided.outcome.permits() || explanation.answer() == Short::Depends {
            return None;
        }
        let first = decided.rules.first();
        let denied_by = first.map(|rule| (&rule.info.origin, rule.info.name.as_ref()));
        let call = match (self.asked, read) {
            (Asked::Http(Request { grpc: Some((service, method)), .. }), Some(_)) => {
                CallShape::Grpc { service, method }
            }
            (_, None) => CallShape::Tcp,
            (_, Some(read)) => {
                let Target::Path(path) = &read.target else { return None };
                CallShape::Http { method: &read.method, path: path.as_str() }
            }
        };
        self.change(caller, call, denied_by)
    }

    /// The change that would lift a Deny, or add an Allow.
    pub(super) fn change(
        &self,
        caller: &Caller,
        call: CallShape<'_>,
        denied_by: Option<(&Origin, &str)>,
    ) -> Option<Change> {
        let refused = RefusedCall { caller, target: &self.to.key, port: self.to.port, call, denied_by };
        let Folder { world, compiled, .. } = self.folder;
        let suggestion = suggest_allow(world, compiled, &refused)?;
        Some(Change {
            file: self.file_of(&suggestion.object),
            object: suggestion.object.to_string(),
            field: suggestion.field,
            line: suggestion.line,
            document: suggestion.document,
        })
    }

    fn file_of(&self, key: &ObjectKey) -> Option<String> {
        let world = &self.folder.world;
        let location = match key.kind {
            ObjectKind::Policy => {
                world.policies.iter().find(|object| object.key == *key).map(|object| &object.location)
            }
            ObjectKind::ClusterPolicy => {
                world.cluster_policies.iter().find(|object| object.key == *key).map(|object| &object.location)
            }
            ObjectKind::Role
            | ObjectKind::Authentication
            | ObjectKind::TrustDomain
            | ObjectKind::RelationSchema
            | ObjectKind::Relationship => None,
        };
        location.map(|location| location.file.as_ref().to_owned())
    }
}
