//! Subjects: who a rule is about.

use bailiwick_compile::{NamespaceMatch, SubjectSpec};
use bailiwick_policy::{IpBlock, IpBlockError, SubjectClass};

use super::reader::{At, Reader};
use super::reference::{Scope, namespace_name, service_account};
use super::selector::selector;
use crate::codes;

const CLASSES: [(&str, SubjectClass); 3] = [
    ("anyone", SubjectClass::Anyone),
    ("authenticated", SubjectClass::Authenticated),
    ("unauthenticated", SubjectClass::Unauthenticated),
];

/// A list of entries.
pub(crate) fn subjects(reader: &mut Reader, at: &At<'_>, scope: Scope) -> Option<Vec<SubjectSpec>> {
    reader.each(at, 64, |reader, at| subject(reader, at, scope))
}

fn subject(reader: &mut Reader, at: &At<'_>, scope: Scope) -> Option<SubjectSpec> {
    let object = reader.object(at)?;
    let class = class(reader, &object);
    let service_account =
        optional(reader, &object, "serviceAccount", |reader, at| service_account(reader, at, scope));
    let namespace = optional(reader, &object, "namespace", namespace);
    let spiffe_id = optional(reader, &object, "spiffeID", |reader, at| {
        reader.parsed(at, (2048, codes::SPIFFE_ID), str::parse)
    });
    let ip_block = optional(reader, &object, "ipBlock", ip_block);
    let subject = SubjectSpec {
        class: class?,
        service_account: service_account?,
        namespace: namespace?,
        spiffe_id: spiffe_id?,
        ip_block: ip_block?,
    };
    // FAIL-CLOSED: an entry of unknown or later fields only (told by the check of the shape) would match everybody.
    if subject == SubjectSpec::default() { None } else { Some(subject) }
}

fn optional<'a, T>(
    reader: &mut Reader,
    object: &At<'a>,
    name: &str,
    read: impl FnOnce(&mut Reader, &At<'a>) -> Option<T>,
) -> Option<Option<T>> {
    match object.field(name) {
        Some(at) => read(reader, &at).map(Some),
        None => Some(None),
    }
}

fn class(reader: &mut Reader, object: &At<'_>) -> Option<Option<SubjectClass>> {
    let mut found = None;
    for (name, class) in CLASSES {
        let Some(at) = object.field(name) else { continue };
        reader.nothing(&at)?;
        if found.is_some() {
            let message = format!("`{name}` does not go with the other fields of `{}`", object.path);
            return conflict(reader, &at, message);
        }
        found = Some(class);
        let fields = object.node.mapping().map_or(0, |mapping| mapping.entries.len());
        if class == SubjectClass::Anyone && fields > 1 {
            return conflict(reader, &at, "`anyone` stands alone in its entry".to_owned());
        }
    }
    Some(found)
}

fn conflict<T>(reader: &mut Reader, at: &At<'_>, message: String) -> Option<T> {
    let help = "the fields of an entry must all hold: use an entry of its own for each alternative";
    reader.tell(codes::ANYONE, (&at.path, at.name_span()), message, Some(help.to_owned()));
    None
}

fn namespace(reader: &mut Reader, at: &At<'_>) -> Option<NamespaceMatch> {
    let object = reader.object(at)?;
    let (name, at) = reader.exactly_one(&object, &["name", "selector"])?;
    if name == "name" {
        namespace_name(reader, &at).map(NamespaceMatch::Name)
    } else {
        selector(reader, &at).map(NamespaceMatch::Selector)
    }
}

fn ip_block(reader: &mut Reader, at: &At<'_>) -> Option<IpBlock> {
    let object = reader.object(at)?;
    let cidr_at = reader.required(&object, "cidr");
    let cidr = cidr_at.as_ref().and_then(|at| reader.parsed(at, (64, codes::CIDR), IpBlock::parse_cidr));
    let except = match object.field("except") {
        Some(at) => reader.set(&at, 64, |reader, at| {
            let inner = reader.parsed(at, (64, codes::CIDR), IpBlock::parse_cidr)?;
            if let Some(cidr) = cidr
                && let Err(error) = IpBlock::new(cidr, vec![inner])
            {
                let help = Some("remove it, or widen `cidr`".to_owned());
                reader.problem(codes::CIDR_EXCEPTION, at, error.to_string(), help);
                return None;
            }
            Some(inner)
        }),
        None => Some(Vec::new()),
    };
    let block: Result<IpBlock, IpBlockError> = IpBlock::new(cidr?, except?);
    // Each exception has been checked above.
    block.ok()
}
