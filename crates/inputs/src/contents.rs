//! What one file says: its objects, its facts, and what could not be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_compile::{Code, Diagnostic, FieldPath, ObjectKey, Severity, SourceLocation};
use bailiwick_identity::Namespace;
use bailiwick_policy::WorkloadKey;

use crate::codes;
use crate::decode::{DecodedObject, Identity, ManifestKind, decode, identify};
use crate::document::{MAXIMUM_FILE, Node, ParseProblem, ParseProblemKind, Span, from_json, parse, split};
use crate::workloads::{self, Fact};

/// The most messages of one file about what cannot be read: a hostile file must not fill the memory with them.
const MAXIMUM_PROBLEMS: usize = 1000;
/// How many lists may lie in lists.
const MAXIMUM_LISTS: usize = 4;

/// What one file (or one object of the API server) says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    pub(crate) objects: Vec<DecodedObject>,
    pub(crate) facts: Vec<Fact>,
    /// What could not be parsed or identified, and facts that policies select by and that are broken.
    pub(crate) unreadable: Vec<Diagnostic>,
    /// Other messages; those of invalid objects are in the objects.
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) skipped: BTreeMap<String, usize>,
}

/// What there can be one of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named<'a> {
    Object(&'a ObjectKey),
    Namespace(&'a Namespace),
    Workload(&'a WorkloadKey),
    Service(&'a (Namespace, String)),
}

impl Contents {
    /// What it says something of, by name.
    pub(crate) fn names(&self) -> impl Iterator<Item = Named<'_>> {
        let facts = self.facts.iter().filter_map(|fact| match fact {
            Fact::Namespace { name, .. } => Some(Named::Namespace(name)),
            Fact::Workload { key, .. } => Some(Named::Workload(key)),
            Fact::Service { key, .. } => Some(Named::Service(key)),
            Fact::ServiceAccount { .. } => None,
        });
        self.objects.iter().map(|object| Named::Object(object.key())).chain(facts)
    }

    /// A file that holds nothing but a reason why it cannot be read.
    pub(crate) fn unreadable(problem: Diagnostic) -> Self {
        Self { unreadable: vec![problem], ..Self::default() }
    }

    /// Reads the bytes of a file.
    pub(crate) fn of_bytes(file: &Arc<str>, bytes: &[u8]) -> Self {
        if bytes.len() > MAXIMUM_FILE {
            let message = format!("the file has {} bytes, at most {MAXIMUM_FILE} are allowed", bytes.len());
            return Self::unreadable(problem(file, None, codes::FILE_TOO_LARGE, message, "split the file"));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::of_text(file, text),
            Err(error) => {
                let at = error.valid_up_to();
                let message = format!("the file is not UTF-8 at byte {at}");
                let span = Some((at, at + error.error_len().unwrap_or(1)));
                Self::unreadable(problem(file, span, codes::NOT_UTF8, message, "save the file as UTF-8"))
            }
        }
    }

    fn of_text(file: &Arc<str>, text: &str) -> Self {
        let mut contents = Self::default();
        for chunk in split(text) {
            let (documents, broken) = parse(chunk);
            for root in documents.iter().filter(|root| !root.is_null()) {
                contents.document(file, root, None, MAXIMUM_LISTS);
            }
            contents.unreadable.extend(broken.map(|broken| parse_problem(file, broken)));
            // FAIL-CLOSED: one is enough to deny every call, so the rest can go.
            contents.unreadable.truncate(MAXIMUM_PROBLEMS);
            contents.diagnostics.truncate(MAXIMUM_PROBLEMS);
        }
        contents
    }

    /// Reads one object of the API server.
    pub(crate) fn of_json(source: &Arc<str>, value: &serde_json::Value) -> Self {
        let mut contents = Self::default();
        contents.document(source, &from_json(value), None, MAXIMUM_LISTS);
        contents
    }

    fn document(&mut self, file: &Arc<str>, root: &Node, inherited: Option<&(String, String)>, lists: usize) {
        let is_kustomization = is_kustomization(file)
            && root.mapping().is_some()
            && root.get("apiVersion").is_none()
            && root.get("kind").is_none();
        if is_kustomization {
            return self.skip("Kustomization");
        }
        match identify(file, root, inherited) {
            Ok(Identity::Ours(kind)) => match decode(file, kind, root) {
                Ok(object) => self.objects.push(object),
                Err(problems) => self.unreadable.extend(problems),
            },
            Ok(Identity::Manifest(kind)) => self.manifest(file, kind, root),
            Ok(Identity::List(inherited)) => self.list(file, root, inherited.as_ref(), lists),
            Ok(Identity::Unrelated(kind)) => self.skip(&kind),
            Err(problems) => self.unreadable.extend(problems),
        }
    }

    fn skip(&mut self, kind: &str) {
        *self.skipped.entry(kind.to_owned()).or_default() += 1;
    }

    fn manifest(&mut self, file: &Arc<str>, kind: ManifestKind, root: &Node) {
        match workloads::read(file, kind, root) {
            Ok(fact) => self.facts.push(fact),
            // FAIL-CLOSED: policies select by these; without them a Deny could select too little.
            Err(problems) if matches!(kind, ManifestKind::Service | ManifestKind::Namespace) => {
                self.unreadable.extend(problems);
            }
            // A workload that is left out gets no snapshot, and its sidecar forwards nothing.
            Err(problems) => self.diagnostics.extend(problems),
        }
    }

    fn list(&mut self, file: &Arc<str>, root: &Node, inherited: Option<&(String, String)>, lists: usize) {
        let place = root.entry("items").or_else(|| root.entry("kind")).and_then(|entry| entry.key_span);
        let again =
            root.mapping().is_some_and(|mapping| mapping.repeated.iter().any(|twice| twice.key == "items"));
        let items = root.get("items").filter(|_| !again);
        let empty = items.is_some_and(Node::is_null);
        let (Some(below), Some(items)) = (lists.checked_sub(1), items.and_then(Node::sequence)) else {
            if !empty {
                let message = "the list has no `items` that can be read".to_owned();
                let help = "write the objects as one list under `items`";
                self.unreadable.push(problem(file, place, codes::UNIDENTIFIED, message, help));
            }
            return;
        };
        for item in items {
            self.document(file, item, inherited, below);
        }
    }
}

/// Kustomize reads its own file without `apiVersion` and kind, and `kubectl apply -k` applies nothing of it.
fn is_kustomization(file: &str) -> bool {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    matches!(name, "kustomization.yaml" | "kustomization.yml")
}

fn parse_problem(file: &Arc<str>, broken: ParseProblem) -> Diagnostic {
    let (code, message, help) = match broken.kind {
        ParseProblemKind::TooLarge => {
            (codes::DOCUMENT_TOO_LARGE, "the document has more than 1 MiB".to_owned(), "split it")
        }
        ParseProblemKind::TooComplex(what) => {
            (codes::TOO_COMPLEX, format!("the document is too complex: {what}"), "split it")
        }
        ParseProblemKind::Malformed(what) => (
            codes::MALFORMED,
            format!("the document is not YAML: {what}"),
            "mend it: at start every call is denied until then",
        ),
    };
    problem(file, Some(broken.span), code, message, help)
}

/// A problem of no object.
pub(crate) fn problem(
    file: &Arc<str>,
    span: Option<Span>,
    code: Code,
    message: String,
    help: &str,
) -> Diagnostic {
    Diagnostic {
        code,
        severity: Severity::Error,
        object: None,
        field: FieldPath::root(),
        location: SourceLocation { file: Arc::clone(file), span },
        message,
        help: Some(help.to_owned()),
    }
}
