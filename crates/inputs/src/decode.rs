//! The strict decoder: a document's tree to a spec, or to every mistake that it has.
//!
//! One file a kind and one a shared part. A decoder returns `None` only after it has told a problem; an object with a
//! problem is [`Invalid`] and still says what it selects, so that it denies that.

mod authentication;
mod check;
mod cluster_policy;
mod identify;
mod metadata;
mod method;
mod permission;
mod places;
mod policy;
mod reader;
mod reference;
mod role;
mod rule;
mod selector;
mod shape;
mod shapes;
mod subject;
mod target;
mod time;
mod trust_domain;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bailiwick_compile::{
    AuthenticationSpec, ClusterPolicySpec, Decoded, Diagnostic, FieldPath, FieldSpans, Invalid, Object,
    ObjectKey, ObjectKind, PolicySpec, RoleSpec, Selection, SourceLocation, TrustDomainSpec,
};
use bailiwick_policy::Mode;

pub(crate) use identify::{Identity, ManifestKind, identify};
pub(crate) use reader::{At, Reader};
pub use shape::{KnownFields, known_fields};
pub(crate) use target::port;

use crate::codes;
use crate::document::Node;

/// An object of `bailiwick.dev`, decoded or invalid.
#[derive(Debug, Clone)]
pub enum DecodedObject {
    /// A Role.
    Role(Object<RoleSpec>),
    /// A Policy.
    Policy(Object<PolicySpec>),
    /// A ClusterPolicy.
    ClusterPolicy(Object<ClusterPolicySpec>),
    /// An Authentication.
    Authentication(Object<AuthenticationSpec>),
    /// A TrustDomain.
    TrustDomain(Object<TrustDomainSpec>),
    /// A kind that this version knows and does not implement; always invalid.
    Unsupported(Object<()>),
}

impl DecodedObject {
    /// What there can be one of.
    pub(crate) const fn key(&self) -> &ObjectKey {
        match self {
            Self::Role(object) => &object.key,
            Self::Policy(object) => &object.key,
            Self::ClusterPolicy(object) => &object.key,
            Self::Authentication(object) => &object.key,
            Self::TrustDomain(object) => &object.key,
            Self::Unsupported(object) => &object.key,
        }
    }
}

/// Decodes an object of a known kind.
///
/// # Errors
/// With the mistakes that keep it from being identified: it has no valid name or namespace, or `metadata` itself is
/// ambiguous. FAIL-CLOSED: the caller counts it as unreadable.
pub(crate) fn decode(
    file: &Arc<str>,
    kind: ObjectKind,
    root: &Node,
) -> Result<DecodedObject, Vec<Diagnostic>> {
    let mut reader = Reader::new(Arc::clone(file), None);
    let at = At::root(root);
    let Some(meta) = metadata::read(&mut reader, &at, kind) else { return Err(reader.finish()) };
    let mut head = Head { meta, reader, root, spec: None };
    check::faults(&mut head.reader, root);
    check::root_fields(&mut head.reader, &at);
    head.spec = match head.reader.required(&at, "spec") {
        Some(spec) if spec.node.mapping().is_some() => {
            check::shape(&mut head.reader, &spec, shape::shape_of(kind));
            Some(spec)
        }
        Some(spec) => {
            head.reader.wrong_type(&spec, "an object");
            None
        }
        None => None,
    };
    Ok(match kind {
        ObjectKind::Role => DecodedObject::Role(head.decode(role::decode)),
        ObjectKind::Policy => DecodedObject::Policy(head.decode(policy::decode)),
        ObjectKind::ClusterPolicy => DecodedObject::ClusterPolicy(head.decode(cluster_policy::decode)),
        ObjectKind::Authentication => DecodedObject::Authentication(head.decode(authentication::decode)),
        ObjectKind::TrustDomain => DecodedObject::TrustDomain(head.decode(trust_domain::decode)),
        ObjectKind::RelationSchema | ObjectKind::Relationship => {
            DecodedObject::Unsupported(head.unsupported())
        }
    })
}

/// What a decoder of a kind answers: the spec, what the object selects, and its mode.
pub(crate) struct Outcome<S> {
    pub(crate) spec: Option<S>,
    pub(crate) selection: Selection,
    pub(crate) mode: Mode,
}

impl<S> Outcome<S> {
    /// Of a kind that selects nothing.
    pub(crate) const fn of(spec: Option<S>) -> Self {
        Self { spec, selection: Selection::Everything, mode: Mode::Enforce }
    }
}

struct Head<'a> {
    meta: metadata::Metadata,
    reader: Reader,
    root: &'a Node,
    spec: Option<At<'a>>,
}

impl<'a> Head<'a> {
    fn decode<S>(mut self, decode: impl FnOnce(&mut Reader, &At<'a>) -> Outcome<S>) -> Object<S> {
        let outcome = match self.spec.take() {
            Some(spec) => decode(&mut self.reader, &spec),
            None => Outcome::of(None),
        };
        let (spec, selection, mode) = (outcome.spec, outcome.selection, outcome.mode);
        let mut problems = self.reader.finish();
        let sound = spec.is_some() && problems.is_empty();
        let fields = if sound { places::of_fields(self.root) } else { FieldSpans::default() };
        let spec = match spec {
            Some(spec) if problems.is_empty() => Decoded::Valid(spec),
            spec => {
                // FAIL-CLOSED: cannot happen (`None` is told); without it an object could be invalid for no reason.
                if spec.is_none() && problems.is_empty() {
                    problems.push(unexplained(&self.meta.key, &self.meta.location));
                }
                Decoded::Invalid(Invalid { selection, mode, problems })
            }
        };
        let metadata::Metadata { key, generation, location } = self.meta;
        Object { key, generation, location, fields, spec }
    }

    fn unsupported(mut self) -> Object<()> {
        let message = format!("`{}` is not supported in this version", self.meta.key.kind);
        let place = self.meta.location.span;
        self.reader.tell(
            codes::NOT_YET_SUPPORTED,
            (&FieldPath::root().field("kind"), place),
            message,
            Some("remove the object: no relation can be evaluated yet".to_owned()),
        );
        self.decode(|_, _| Outcome::of(None))
    }
}

fn unexplained(key: &ObjectKey, location: &SourceLocation) -> Diagnostic {
    Diagnostic {
        code: codes::WRONG_TYPE,
        severity: bailiwick_compile::Severity::Error,
        object: Some(key.clone()),
        field: FieldPath::root().field("spec"),
        location: location.clone(),
        message: "the spec cannot be decoded".to_owned(),
        help: None,
    }
}
