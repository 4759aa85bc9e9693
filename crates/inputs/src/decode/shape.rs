//! The fields that the decoder knows, node by node: the strict check of unknown fields, and what a test compares with
//! the schema.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_compile::ObjectKind;

use super::shapes;

/// The field names of each object node by its path, such as `spec.rules[].permissions[].http`. An object without
/// fields (`any: {}`) has an empty set; a free-form map (`matchLabels`) is no node.
pub type KnownFields = BTreeMap<String, BTreeSet<String>>;

/// The fields of an object node.
#[derive(Debug)]
pub(crate) struct Shape(pub(crate) &'static [Field]);

/// One field.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: &'static str,
    /// False if the schema has it and this version does not implement it.
    pub(crate) supported: bool,
    /// What it holds.
    pub(crate) content: Content,
}

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// A scalar, a list of scalars, or a free-form map.
    Leaf,
    /// An object.
    Object(&'static Shape),
    /// A list of objects.
    List(&'static Shape),
}

impl Field {
    pub(crate) const fn leaf(name: &'static str) -> Self {
        Self { name, supported: true, content: Content::Leaf }
    }

    pub(crate) const fn object(name: &'static str, shape: &'static Shape) -> Self {
        Self { name, supported: true, content: Content::Object(shape) }
    }

    pub(crate) const fn list(name: &'static str, shape: &'static Shape) -> Self {
        Self { name, supported: true, content: Content::List(shape) }
    }

    /// The same field, not implemented yet.
    pub(crate) const fn later(self) -> Self {
        Self { supported: false, ..self }
    }
}

/// The fields under `spec` of a kind that the decoder knows.
#[must_use]
pub fn known_fields(kind: ObjectKind) -> KnownFields {
    let mut known = KnownFields::new();
    collect("spec", shape_of(kind), &mut known);
    known
}

/// The shape of a kind's `spec`.
pub(crate) const fn shape_of(kind: ObjectKind) -> &'static Shape {
    match kind {
        ObjectKind::ClusterPolicy => &shapes::CLUSTER_POLICY,
        ObjectKind::Policy => &shapes::POLICY,
        ObjectKind::Role => &shapes::ROLE,
        ObjectKind::Authentication => &shapes::AUTHENTICATION,
        ObjectKind::TrustDomain => &shapes::TRUST_DOMAIN,
        ObjectKind::RelationSchema => &shapes::RELATION_SCHEMA,
        ObjectKind::Relationship => &shapes::RELATIONSHIP,
    }
}

fn collect(path: &str, shape: &Shape, known: &mut KnownFields) {
    known.insert(path.to_owned(), shape.0.iter().map(|field| field.name.to_owned()).collect());
    for field in shape.0 {
        match field.content {
            Content::Leaf => {}
            Content::Object(inner) => collect(&format!("{path}.{}", field.name), inner, known),
            Content::List(inner) => collect(&format!("{path}.{}[]", field.name), inner, known),
        }
    }
}
