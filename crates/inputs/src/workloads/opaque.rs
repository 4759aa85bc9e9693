//! Annotation `bailiwick.dev/opaque-ports`: ports and ranges whose bytes are not read.

use std::collections::BTreeSet;

use bailiwick_compile::{Diagnostic, Severity};
use bailiwick_identity::Port;

use super::present;
use crate::codes;
use crate::decode::{At, Reader};

/// The annotation of a pod (template).
const ANNOTATION: &str = "bailiwick.dev/opaque-ports";
/// A snapshot names each port, so a range of all of them would be half a megabyte for every pod.
const MOST: usize = 4096;

/// The ports of a pod's metadata. What cannot be understood is left out and told: those ports are then read, which is
/// the stricter way, and the workload keeps getting its policies.
pub(super) fn read(reader: &Reader, metadata: Option<&At<'_>>) -> (BTreeSet<Port>, Vec<Diagnostic>) {
    let mut ports = BTreeSet::new();
    let mut remarks = Vec::new();
    let annotation = metadata
        .and_then(|metadata| present(metadata, "annotations"))
        .and_then(|annotations| present(&annotations, ANNOTATION));
    let Some(at) = annotation else { return (ports, remarks) };
    let mut tell = |message: String| remarks.push(remark(reader, &at, message));
    let Some(text) = at.node.text() else {
        tell("the annotation is not a text, so no port is opaque".to_owned());
        return (ports, remarks);
    };
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match range(part) {
            Some((first, last)) => {
                ports.extend((first..=last).filter_map(|number| Port::try_from(number).ok()))
            }
            None => {
                tell(format!("`{}` is neither a port nor a range such as `3306-3310`", part.escape_debug()))
            }
        }
    }
    while ports.len() > MOST {
        ports.pop_last();
    }
    (ports, remarks)
}

fn range(part: &str) -> Option<(u16, u16)> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|number| *number > 0);
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && usize::from(last - first) < MOST).then_some((first, last))
}

fn remark(reader: &Reader, at: &At<'_>, message: String) -> Diagnostic {
    Diagnostic {
        code: codes::OPAQUE_PORTS,
        severity: Severity::Warning,
        object: None,
        field: at.path.clone(),
        location: super::location(reader, at.span()),
        message,
        help: Some("write ports and ranges, separated by commas: `3306, 6379-6381`".to_owned()),
    }
}
