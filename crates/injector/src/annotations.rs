//! The annotations with which a pod's author adjusts the sidecar: known, readable and bounded, or the pod is refused.

use bailiwick_inputs::did_you_mean;
use bailiwick_pod::names;
use serde_json::Value;

use crate::pod::at;
use crate::quantity::{Cpu, Memory};
use crate::refusal::{Problem, Refusal};
use crate::{Settings, ports};

/// From least to most talkative.
pub(crate) const LOG_LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What a pod's annotations say.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    pub(crate) skip_inbound: Option<String>,
    pub(crate) skip_outbound: Option<String>,
    pub(crate) cpu: Option<Cpu>,
    pub(crate) memory: Option<Memory>,
    pub(crate) log: Option<String>,
}

/// Reads them. Every mistake is added to `refusals`.
pub(crate) fn read(
    pod: &Value,
    namespace: &str,
    settings: &Settings,
    refusals: &mut Vec<Refusal>,
) -> Annotations {
    let mut found = Annotations::default();
    let Some(annotations) = at(pod, &["metadata", "annotations"]).and_then(Value::as_object) else {
        return found;
    };
    for (key, value) in annotations.iter().filter(|(key, _)| key.starts_with(names::ANNOTATION_PREFIX)) {
        let value = value.as_str().unwrap_or_default().trim();
        let skips = [names::SKIP_INBOUND_PORTS, names::SKIP_OUTBOUND_PORTS].contains(&key.as_str());
        if skips && !settings.may_skip_ports(namespace) {
            refusals.push(not_permitted(key, namespace));
            continue;
        }
        if let Err(mistake) = found.add(key, value) {
            refusals.push(mistake);
        }
    }
    found
}

impl Annotations {
    fn add(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        let invalid = |message: String| invalid(key, &message);
        match key {
            names::OPAQUE_PORTS => ports::check_opaque(value).map_err(invalid)?,
            names::SKIP_INBOUND_PORTS => self.skip_inbound = Some(ports::read(value).map_err(invalid)?),
            names::SKIP_OUTBOUND_PORTS => self.skip_outbound = Some(ports::read(value).map_err(invalid)?),
            names::PROXY_CPU => self.cpu = Some(Cpu::read(value).map_err(invalid)?),
            names::PROXY_MEMORY => self.memory = Some(Memory::read(value).map_err(invalid)?),
            names::LOG_LEVEL => self.log = Some(log_level(key, value)?),
            // Ours, and always written anew: what a pod's author puts there means nothing.
            names::INJECTED => {}
            _ => return Err(unknown(key)),
        }
        Ok(())
    }
}

fn log_level(key: &str, value: &str) -> Result<String, Refusal> {
    if LOG_LEVELS.contains(&value) {
        return Ok(value.to_owned());
    }
    let help = match did_you_mean(LOG_LEVELS, value) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("write one of {}", LOG_LEVELS.join(", ")),
    };
    Err(Refusal::new(Problem::InvalidAnnotation, field(key), format!("`{value}` is not a log level"), help))
}

fn invalid(key: &str, message: &str) -> Refusal {
    let (message, help) = message.split_once("; ").unwrap_or((message, "correct or remove it"));
    Refusal::new(Problem::InvalidAnnotation, field(key), message, help)
}

fn unknown(key: &str) -> Refusal {
    let help = match did_you_mean(names::USER_ANNOTATIONS, key) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("remove it: a pod can set {}", names::USER_ANNOTATIONS.join(", ")),
    };
    Refusal::new(Problem::UnknownAnnotation, field(key), "there is no such annotation", help)
}

fn not_permitted(key: &str, namespace: &str) -> Refusal {
    Refusal::new(
        Problem::AnnotationNotPermitted,
        field(key),
        format!("ports cannot be left uncaptured in namespace `{namespace}`"),
        "remove it, or ask who runs the mesh to add the namespace to the chart's \
         `injection.skipPortsNamespaces`",
    )
}

fn field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}
