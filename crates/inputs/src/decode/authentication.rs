//! Authentication.

use std::collections::BTreeMap;

use bailiwick_compile::{AuthenticationSpec, MtlsSpec};
use bailiwick_identity::{MtlsMode, Port};
use bailiwick_policy::Mode;

use super::Outcome;
use super::policy::{optional_targets, selection};
use super::reader::{At, Reader};
use super::target::port;
use crate::codes;

const MODES: [(&str, MtlsMode); 3] =
    [("Strict", MtlsMode::Strict), ("Permissive", MtlsMode::Permissive), ("Disabled", MtlsMode::Disabled)];

pub(crate) fn decode(reader: &mut Reader, spec: &At<'_>) -> Outcome<AuthenticationSpec> {
    let targets = optional_targets(reader, spec);
    let mtls = match spec.field("mtls") {
        Some(at) => mtls(reader, &at).map(Some),
        None => Some(None),
    };
    let trust_domains = match spec.field("trustDomains") {
        Some(at) => reader
            .set(&at, 64, |reader, at| reader.parsed(at, (255, codes::TRUST_DOMAIN), str::parse))
            .map(Some),
        None => Some(None),
    };
    // `spec: {}` has no opinion about anything, which is an empty object.
    let object = reader.object(spec);
    Outcome {
        selection: selection(reader, spec, targets.clone()),
        mode: Mode::Enforce,
        spec: object
            .and(targets)
            .zip(mtls)
            .zip(trust_domains)
            .map(|((targets, mtls), trust_domains)| AuthenticationSpec { targets, mtls, trust_domains }),
    }
}

fn mtls(reader: &mut Reader, at: &At<'_>) -> Option<MtlsSpec> {
    let object = reader.object(at)?;
    let mode = match object.field("mode") {
        Some(at) => reader.word(&at, &MODES).map(Some),
        None => Some(None),
    };
    let ports = match object.field("ports") {
        Some(at) => ports(reader, &at),
        None => Some(BTreeMap::new()),
    };
    Some(MtlsSpec { mode: mode?, ports: ports? })
}

fn ports(reader: &mut Reader, at: &At<'_>) -> Option<BTreeMap<Port, MtlsMode>> {
    let mut seen = BTreeMap::new();
    let entries = reader.each(at, 64, |reader, at| {
        let object = reader.object(at)?;
        let port = reader.required(&object, "port").and_then(|at| {
            let port = port(reader, &at)?;
            if seen.insert(port, ()).is_some() {
                let help = Some("keep one: an entry replaces the mode of its port".to_owned());
                reader.problem(codes::DUPLICATE_KEY, &at, format!("two entries are for port `{port}`"), help);
            }
            Some(port)
        });
        let mode = reader.required(&object, "mode").and_then(|at| reader.word(&at, &MODES));
        Some((port?, mode?))
    });
    entries.map(|entries| entries.into_iter().collect())
}
