//! What a document is: one of our objects, a manifest with facts, a list, or something unrelated.

use std::sync::Arc;

use bailiwick_compile::{Code, Diagnostic, FieldPath, ObjectKind};

use super::reader::{At, Reader, shorten};
use crate::codes;
use crate::document::Node;
use bailiwick_compile::{did_you_mean, edit_distance};

const GROUP: &str = "bailiwick.dev";
const VERSION: &str = "v1alpha1";

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// An object of `bailiwick.dev`.
    Ours(ObjectKind),
    /// An ordinary manifest that facts are read from.
    Manifest(ManifestKind),
    /// A list; items that do not say what they are have this `apiVersion` and kind.
    List(Option<(String, String)>),
    /// An unrelated kind.
    Unrelated(String),
}

/// Kinds of ordinary manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ManifestKind {
    Namespace,
    Service,
    ServiceAccount,
    Pod,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
}

impl ManifestKind {
    fn find(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            ("", "Namespace") => Some(Self::Namespace),
            ("", "Service") => Some(Self::Service),
            ("", "ServiceAccount") => Some(Self::ServiceAccount),
            ("", "Pod") => Some(Self::Pod),
            ("apps", "Deployment") => Some(Self::Deployment),
            ("apps", "StatefulSet") => Some(Self::StatefulSet),
            ("apps", "DaemonSet") => Some(Self::DaemonSet),
            ("batch", "Job") => Some(Self::Job),
            ("batch", "CronJob") => Some(Self::CronJob),
            _ => None,
        }
    }
}

/// Finds out what a document is; `inherited` is for items of a typed list.
///
/// # Errors
/// When nobody can tell, or it is of our group (or nearly so) and of no kind or version of it.
pub(crate) fn identify(
    file: &Arc<str>,
    root: &Node,
    inherited: Option<&(String, String)>,
) -> Result<Identity, Vec<Diagnostic>> {
    let mut reader = Reader::new(Arc::clone(file), None);
    let identity = read(&mut reader, &At::root(root), inherited);
    identity.ok_or_else(|| reader.finish())
}

fn read(reader: &mut Reader, root: &At<'_>, inherited: Option<&(String, String)>) -> Option<Identity> {
    if root.node.mapping().is_none() {
        let message = format!("expected an object, found {}", root.node.describe());
        let help = Some("a document starts with `apiVersion` and `kind`".to_owned());
        reader.problem(codes::UNIDENTIFIED, root, message, help);
        return None;
    }
    refuse_repeated(reader, root)?;
    let has_neither = root.node.get("apiVersion").is_none() && root.node.get("kind").is_none();
    let (api_version, kind) = match inherited {
        Some((api_version, kind)) if has_neither => (api_version.clone(), kind.clone()),
        Some(_) | None => (word(reader, root, "apiVersion")?, word(reader, root, "kind")?),
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    if group == GROUP {
        return ours(reader, root, version, &kind);
    }
    refuse_near_miss(reader, root, group, &kind)?;
    // A `List` of no `items` is one all the same: they may be misspelt, and hide policies.
    if let Some(item) = kind.strip_suffix("List")
        && (root.node.get("items").is_some() || (group.is_empty() && item.is_empty()))
    {
        let inherited = (!item.is_empty()).then(|| (api_version.clone(), item.to_owned()));
        return Some(Identity::List(inherited));
    }
    Some(ManifestKind::find(group, &kind).map_or(Identity::Unrelated(kind), Identity::Manifest))
}

/// FAIL-CLOSED: of two kinds one could be unrelated and the other a policy.
fn refuse_repeated(reader: &mut Reader, root: &At<'_>) -> Option<()> {
    let repeated = root.node.mapping().map(|mapping| mapping.repeated.as_slice()).unwrap_or_default();
    let Some(twice) = repeated.iter().find(|twice| matches!(twice.key.as_str(), "apiVersion" | "kind"))
    else {
        return Some(());
    };
    let message = format!("`{}` occurs twice", twice.key);
    let help = Some("keep one: nobody can tell what the document is".to_owned());
    reader.tell(codes::REPEATED_FIELD, (&FieldPath::root().field(&twice.key), twice.again), message, help);
    None
}

fn word(reader: &mut Reader, root: &At<'_>, name: &str) -> Option<String> {
    let found = root.field(name);
    if let Some(text) = found.as_ref().and_then(|at| at.node.text())
        && !text.is_empty()
    {
        return Some(text.to_owned());
    }
    let help = Some("a document needs `apiVersion` and `kind`, both texts".to_owned());
    let message = format!("the document has no `{name}`");
    let span = found.as_ref().map_or_else(
        || root.node.mapping().and_then(|mapping| mapping.entries.first()).and_then(|entry| entry.key_span),
        At::span,
    );
    reader.tell(codes::UNIDENTIFIED, (&FieldPath::root().field(name), span), message, help);
    None
}

fn ours(reader: &mut Reader, root: &At<'_>, version: &str, kind: &str) -> Option<Identity> {
    if version != VERSION {
        let message = format!("`{GROUP}/{}` is not a known version", shorten(version));
        refuse(
            reader,
            root,
            "apiVersion",
            (codes::UNKNOWN_VERSION, message, format!("did you mean `{GROUP}/{VERSION}`?")),
        );
        return None;
    }
    if let Some(found) = ObjectKind::ALL.into_iter().find(|known| known.as_str() == kind) {
        return Some(Identity::Ours(found));
    }
    if let Some(item) = kind.strip_suffix("List")
        && ObjectKind::ALL.iter().any(|known| known.as_str() == item)
        && root.node.get("items").is_some()
    {
        return Some(Identity::List(Some((format!("{GROUP}/{VERSION}"), item.to_owned()))));
    }
    let kinds = || ObjectKind::ALL.iter().map(|kind| kind.as_str());
    let help = match did_you_mean(kinds(), kind) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "the kinds are {}",
            kinds().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ")
        ),
    };
    let message = format!("`{}` is not a kind of `{GROUP}`", shorten(kind));
    refuse(reader, root, "kind", (codes::UNKNOWN_KIND, message, help));
    None
}

/// FAIL-CLOSED: a misspelt group would make a Policy an unrelated document, skipped without a word.
fn refuse_near_miss(reader: &mut Reader, root: &At<'_>, group: &str, kind: &str) -> Option<()> {
    let ours = ObjectKind::ALL.iter().any(|known| known.as_str() == kind);
    let near = group.len() <= 32 && edit_distance(&group.to_lowercase(), GROUP) <= 3;
    if near || (group.is_empty() && ours) {
        let message = match group {
            "" => format!("`{kind}` has no API group"),
            group => format!("`{group}` is not an API group that is known, and nearly `{GROUP}`"),
        };
        let help = format!("did you mean `{GROUP}/{VERSION}`?");
        refuse(reader, root, "apiVersion", (codes::UNIDENTIFIED, message, help));
        return None;
    }
    Some(())
}

fn refuse(reader: &mut Reader, root: &At<'_>, name: &str, (code, message, help): (Code, String, String)) {
    let span = root.field(name).and_then(|at| at.span());
    reader.tell(code, (&FieldPath::root().field(name), span), message, Some(help));
}
