//! Messages about objects: a stable code, the place, what is wrong and what to do.

use std::fmt;
use std::sync::Arc;

/// The kinds of `bailiwick.dev`, in the order in which objects are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `ClusterPolicy`.
    ClusterPolicy,
    /// `Policy`.
    Policy,
    /// `Role`.
    Role,
    /// `Authentication`.
    Authentication,
    /// `TrustDomain`.
    TrustDomain,
    /// `RelationSchema`.
    RelationSchema,
    /// `Relationship`.
    Relationship,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::ClusterPolicy,
        Self::Policy,
        Self::Role,
        Self::Authentication,
        Self::TrustDomain,
        Self::RelationSchema,
        Self::Relationship,
    ];

    /// The kind as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterPolicy => "ClusterPolicy",
            Self::Policy => "Policy",
            Self::Role => "Role",
            Self::Authentication => "Authentication",
            Self::TrustDomain => "TrustDomain",
            Self::RelationSchema => "RelationSchema",
            Self::Relationship => "Relationship",
        }
    }

    /// True if objects of the kind live in a namespace.
    #[must_use]
    pub const fn namespaced(self) -> bool {
        match self {
            Self::ClusterPolicy | Self::TrustDomain => false,
            Self::Policy | Self::Role | Self::Authentication | Self::RelationSchema | Self::Relationship => {
                true
            }
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Kind, namespace and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The kind.
    pub kind: ObjectKind,
    /// The namespace; empty for kinds of cluster scope.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(formatter, "{} {}", self.kind, self.name)
        } else {
            write!(formatter, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The object does not do what it says: `validate` exits 3.
    Error,
    /// It does, but probably not what was meant.
    Warning,
}

/// A stable message code, `BW0123`, with an anchor in `docs/messages.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BW{:04}", self.0)
    }
}

/// The path of a field, `spec.rules[2].subjects[0].ipBlock.cidr`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(String);

impl FieldPath {
    /// The root of a document.
    #[must_use]
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// The path of a field below this one.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The path of an item below this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The path of the field that this one stands in; `None` of the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.rfind(['.', '[']).unwrap_or_default();
        Some(Self(self.0.get(..end).unwrap_or_default().to_owned()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where something was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceLocation {
    /// The file, relative to the folder that was given; `cluster` for objects of the API server.
    pub file: Arc<str>,
    /// The first byte and the byte after the last, in the file; `None` where there is no text.
    pub span: Option<(usize, usize)>,
}

impl SourceLocation {
    /// A place in something that is no file.
    #[must_use]
    pub fn nowhere(name: &str) -> Self {
        Self { file: Arc::from(name), span: None }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// The object, if it could be identified.
    pub object: Option<ObjectKey>,
    /// The field.
    pub field: FieldPath,
    /// The place of the field (or of the unknown field's name).
    pub location: SourceLocation,
    /// What is wrong: lower-case, the user's text in backticks.
    pub message: String,
    /// What to do, with a "did you mean" where there is one.
    pub help: Option<String>,
}
