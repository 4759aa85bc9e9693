//! A pod becomes a patch.

use std::collections::BTreeMap;

use bailiwick_pod::{Declared, names};
use serde_json::{Value, json};

use crate::annotations::{self, Annotations};
use crate::containers as made;
use crate::patch::escape;
use crate::pod::{Container, INIT, MAIN, at, containers, items, service_account, text};
use crate::probes::{self, Rewriting};
use crate::refusal::{Problem, Refusal};
use crate::{AdmissionError, Operation, Settings, rules};

/// The namespace in which nothing is ever injected, beside the operator's own.
const KUBE_SYSTEM: &str = "kube-system";

/// What is known of a request beside the pod.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The request's namespace; the pod itself may not name it yet.
    pub namespace: &'a str,
    /// That namespace's labels.
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// The operator's own namespace.
    pub operator_namespace: &'a str,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The pod is admitted with these changes, at least one.
    Patch(Vec<Operation>),
    /// The pod is admitted as it is.
    Untouched(Untouched),
}

/// Why a pod is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untouched {
    /// It has everything already: the second call of one admission.
    AlreadyInjected,
    /// Its namespace and service account are exempt: it gets no identity.
    Exempt,
    /// Its namespace is the operator's or the cluster's own.
    SystemNamespace,
}

/// Injects the two containers and the volume into a new pod, and redirects its probes and hooks.
///
/// A pod that was injected before gets nothing, or what repairs it.
///
/// # Errors
/// With every mistake of the pod. None is injected in part.
pub fn mutate(pod: &Value, request: &Request<'_>, settings: &Settings) -> Result<Outcome, AdmissionError> {
    if [request.operator_namespace, KUBE_SYSTEM].contains(&request.namespace) {
        return Ok(Outcome::Untouched(Untouched::SystemNamespace));
    }
    if settings.is_exempt(request.namespace, service_account(pod)) {
        return Ok(Outcome::Untouched(Untouched::Exempt));
    }
    if let Some(refusal) = malformed(pod) {
        return Err(AdmissionError { refusals: vec![refusal] });
    }
    let containers = containers(pod);
    let mut refusals = rules::check(pod, &containers, request, settings);
    let annotations = annotations::read(pod, request.namespace, settings, &mut refusals);
    let found = Found::of(pod, &containers, settings, &mut refusals);
    let rewriting = probes::rewrite(pod, &containers, found.declared(), &mut refusals);
    if !refusals.is_empty() {
        return Err(AdmissionError { refusals });
    }
    let operations = found.operations(rewriting, &annotations, settings);
    Ok(if operations.is_empty() {
        Outcome::Untouched(Untouched::AlreadyInjected)
    } else {
        Outcome::Patch(operations)
    })
}

/// What an earlier injection of the same pod left.
struct Found<'a> {
    pod: &'a Value,
    ours: Vec<Container<'a>>,
    volume: Option<(usize, &'a Value)>,
}

impl<'a> Found<'a> {
    fn of(
        pod: &'a Value,
        containers: &[Container<'a>],
        settings: &Settings,
        refusals: &mut Vec<Refusal>,
    ) -> Self {
        let mut ours = Vec::new();
        for container in containers {
            if container.has_our_name() && made::is_ours(container.value, settings) {
                ours.push(*container);
            } else if [names::CAPTURE_CONTAINER, names::SIDECAR_CONTAINER].contains(&container.name()) {
                refusals.push(reserved_name(&container.field(), container.name()));
            }
        }
        let volumes = items(pod, &["spec", "volumes"]).iter().enumerate();
        let volume =
            volumes.into_iter().find(|(_, volume)| text(volume, &["name"]) == names::IDENTITY_VOLUME);
        if let Some((index, volume)) = volume {
            let same = made::unchanged_volume(volume, &made::volume(settings));
            if ours.is_empty() && !same {
                refusals.push(reserved_name(&format!("spec.volumes[{index}]"), names::IDENTITY_VOLUME));
            }
        }
        Self { pod, ours, volume }
    }

    fn declared(&self) -> Vec<Declared> {
        let sidecar = self.ours.iter().find(|container| container.name() == names::SIDECAR_CONTAINER);
        sidecar.map(|container| probes::read(container.value)).unwrap_or_default()
    }

    /// The probes come first: their places are those before the containers are inserted.
    fn operations(
        &self,
        rewriting: Rewriting,
        annotations: &Annotations,
        settings: &Settings,
    ) -> Vec<Operation> {
        let mut operations = rewriting.operations;
        let desired =
            [made::capture(settings, annotations), made::sidecar(settings, annotations, &rewriting.declared)];
        self.containers(desired, settings, &mut operations);
        self.volume(made::volume(settings), &mut operations);
        self.annotation(settings, &mut operations);
        operations
    }

    fn containers(&self, desired: [Value; 2], settings: &Settings, operations: &mut Vec<Operation>) {
        let list = items(self.pod, &["spec", INIT]);
        let in_place = |(index, desired): (usize, &Value)| {
            let found = list.get(index).filter(|found| made::is_ours(found, settings));
            found.is_some_and(|found| made::unchanged(found, desired, settings))
        };
        if self.ours.len() == desired.len() && desired.iter().enumerate().all(in_place) {
            return;
        }
        let pointer = format!("/spec/{INIT}");
        if list.is_empty() {
            operations.push(Operation::add(pointer, Value::from(desired.to_vec())));
            return;
        }
        for container in self.ours.iter().rev() {
            operations.push(Operation::remove(container.pointer()));
        }
        for (index, container) in desired.into_iter().enumerate() {
            operations.push(Operation::add(format!("{pointer}/{index}"), container));
        }
    }

    fn volume(&self, desired: Value, operations: &mut Vec<Operation>) {
        match self.volume {
            Some((_, found)) if made::unchanged_volume(found, &desired) => {}
            Some((index, _)) => {
                operations.push(Operation::replace(format!("/spec/volumes/{index}"), desired))
            }
            None if items(self.pod, &["spec", "volumes"]).is_empty() => {
                operations.push(Operation::add("/spec/volumes", json!([desired])));
            }
            None => operations.push(Operation::add("/spec/volumes/-", desired)),
        }
    }

    fn annotation(&self, settings: &Settings, operations: &mut Vec<Operation>) {
        if text(self.pod, &["metadata", "annotations", names::INJECTED]) == settings.version {
            return;
        }
        operations.push(if at(self.pod, &["metadata"]).is_none() {
            Operation::add("/metadata", json!({"annotations": {names::INJECTED: settings.version}}))
        } else if at(self.pod, &["metadata", "annotations"]).is_some() {
            let place = format!("/metadata/annotations/{}", escape(names::INJECTED));
            Operation::add(place, Value::from(settings.version.as_str()))
        } else {
            Operation::add("/metadata/annotations", json!({names::INJECTED: settings.version}))
        });
    }
}

/// FAIL-CLOSED: what is not of the type that the API server sends would be read as empty.
fn malformed(pod: &Value) -> Option<Refusal> {
    let wrong =
        |path: &[&str], is_right: fn(&Value) -> bool| at(pod, path).is_some_and(|value| !is_right(value));
    let field = if at(pod, &["spec"]).is_none() || wrong(&["spec"], Value::is_object) {
        "spec"
    } else if wrong(&["metadata"], Value::is_object) || wrong(&["metadata", "annotations"], Value::is_object)
    {
        "metadata"
    } else {
        [INIT, MAIN, "volumes"].into_iter().find(|list| wrong(&["spec", list], Value::is_array))?
    };
    let message = "it is missing or of the wrong type";
    Some(Refusal::new(Problem::MalformedPod, field, message, "send a pod as `kubectl explain pod` has it"))
}

fn reserved_name(field: &str, name: &str) -> Refusal {
    Refusal::new(
        Problem::ReservedName,
        field,
        format!("`{name}` is reserved for what is injected"),
        "remove or rename it: the sidecar is added when the pod is created",
    )
}
