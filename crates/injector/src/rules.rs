//! What a pod with a sidecar must not have: it would get around the capture, or take the sidecar's identity.
//!
//! The admission policy in the API server refuses the same of the final pod; here the message is better.

use bailiwick_pod::{names, ports};
use serde_json::Value;

use crate::pod::{Container, at, is_true, items, text};
use crate::refusal::{Problem, Refusal};
use crate::{Request, Settings};

/// With one of them a container can change the pod's network, or read another container's memory.
pub(crate) const FORBIDDEN_CAPABILITIES: [&str; 9] = [
    "ALL",
    "NET_ADMIN",
    "NET_RAW",
    "SYS_ADMIN",
    "SYS_PTRACE",
    "SYS_MODULE",
    "SYS_RAWIO",
    "BPF",
    "DAC_READ_SEARCH",
];

/// Every rule that the pod breaks.
pub(crate) fn check(
    pod: &Value,
    containers: &[Container<'_>],
    request: &Request<'_>,
    settings: &Settings,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    pod_security(request, &mut refusals);
    whole_pod(pod, settings, &mut refusals);
    volumes(pod, &mut refusals);
    for container in containers.iter().filter(|container| !container.has_our_name()) {
        user(container, settings, &mut refusals);
        declared_ports(container, &mut refusals);
        mounts(container, &mut refusals);
        privileges(container, &mut refusals);
    }
    refusals
}

/// The API server would refuse the capture container with a message that does not say what to do.
fn pod_security(request: &Request<'_>, refusals: &mut Vec<Refusal>) {
    const LABEL: &str = "pod-security.kubernetes.io/enforce";
    let Some(level) = request.namespace_labels.get(LABEL) else { return };
    if !["baseline", "restricted"].contains(&level.as_str()) {
        return;
    }
    let namespace = request.namespace;
    refusals.push(Refusal::new(
        Problem::PodSecurity,
        format!("namespace `{namespace}`"),
        format!(
            "it enforces the Pod Security level `{level}`, which forbids NET_ADMIN to the capture container"
        ),
        format!(
            "run `kubectl label namespace {namespace} {LABEL}=privileged --overwrite`, or remove the label \
             `{}` until capture without it (a CNI plugin) is available",
            names::INJECT_LABEL
        ),
    ));
}

fn whole_pod(pod: &Value, settings: &Settings, refusals: &mut Vec<Refusal>) {
    for (name, why) in [
        ("hostNetwork", "a pod on the node's network cannot be captured and has no identity of its own"),
        ("hostPID", "the pod could read its sidecar's key and token"),
        ("shareProcessNamespace", "the application could read its sidecar's key and token"),
    ] {
        if is_true(pod, &["spec", name]) {
            let help =
                "remove it, or have the pod's service account exempted in the chart's `injection.exempt`";
            refusals.push(Refusal::new(Problem::SharedNamespace, format!("spec.{name}"), why, help));
        }
    }
    if text(pod, &["spec", "os", "name"]) == "windows" {
        let help = "run it in a namespace that is not enrolled";
        let message = "the sidecar runs on Linux only";
        refusals.push(Refusal::new(Problem::UnsupportedSystem, "spec.os.name", message, help));
    }
    if is_sidecar_user(at(pod, &["spec", "securityContext", "runAsUser"]), settings) {
        refusals.push(reserved_user("spec.securityContext.runAsUser", settings));
    }
}

fn volumes(pod: &Value, refusals: &mut Vec<Refusal>) {
    for (index, volume) in items(pod, &["spec", "volumes"]).iter().enumerate() {
        let asks = items(volume, &["projected", "sources"])
            .iter()
            .any(|source| text(source, &["serviceAccountToken", "audience"]) == names::TOKEN_AUDIENCE);
        if asks && text(volume, &["name"]) != names::IDENTITY_VOLUME {
            refusals.push(Refusal::new(
                Problem::ReservedToken,
                format!("spec.volumes[{index}]"),
                format!("it asks for a token with the audience `{}`", names::TOKEN_AUDIENCE),
                "remove it: only the sidecar holds that token",
            ));
        }
    }
}

fn user(container: &Container<'_>, settings: &Settings, refusals: &mut Vec<Refusal>) {
    if is_sidecar_user(at(container.value, &["securityContext", "runAsUser"]), settings) {
        let field = format!("{}.securityContext.runAsUser", container.field());
        refusals.push(reserved_user(&field, settings));
    }
}

fn declared_ports(container: &Container<'_>, refusals: &mut Vec<Refusal>) {
    for (index, port) in items(container.value, &["ports"]).iter().enumerate() {
        let number = at(port, &["containerPort"]).and_then(Value::as_u64);
        let number = number.and_then(|number| u16::try_from(number).ok());
        let tcp = ["", "TCP"].contains(&text(port, &["protocol"]));
        if let Some(number) = number.filter(|number| tcp && ports::RESERVED.contains(number)) {
            refusals.push(Refusal::new(
                Problem::ReservedPort,
                format!("{}.ports[{index}].containerPort", container.field()),
                format!("the sidecar uses port {number}"),
                "let the application listen on another port",
            ));
        }
    }
}

fn mounts(container: &Container<'_>, refusals: &mut Vec<Refusal>) {
    for (index, mount) in items(container.value, &["volumeMounts"]).iter().enumerate() {
        if text(mount, &["name"]) == names::IDENTITY_VOLUME {
            refusals.push(Refusal::new(
                Problem::ReservedToken,
                format!("{}.volumeMounts[{index}]", container.field()),
                format!("the volume `{}` is the sidecar's alone", names::IDENTITY_VOLUME),
                "remove the mount, or rename the application's own volume",
            ));
        }
    }
}

fn privileges(container: &Container<'_>, refusals: &mut Vec<Refusal>) {
    let help = "remove it, or have the pod's service account exempted in the chart's `injection.exempt`";
    let field = format!("{}.securityContext", container.field());
    if is_true(container.value, &["securityContext", "privileged"]) {
        let message = "a privileged container can undo the capture";
        refusals.push(Refusal::new(
            Problem::ForbiddenPrivilege,
            format!("{field}.privileged"),
            message,
            help,
        ));
    }
    for capability in items(container.value, &["securityContext", "capabilities", "add"]) {
        let written = capability.as_str().unwrap_or_default();
        let upper = written.to_ascii_uppercase();
        if FORBIDDEN_CAPABILITIES.contains(&upper.strip_prefix("CAP_").unwrap_or(&upper)) {
            let message =
                format!("with `{written}` a container can undo the capture or read the sidecar's memory");
            let field = format!("{field}.capabilities.add");
            refusals.push(Refusal::new(Problem::ForbiddenPrivilege, field, message, help));
        }
    }
}

fn is_sidecar_user(user: Option<&Value>, settings: &Settings) -> bool {
    user.and_then(Value::as_u64) == Some(u64::from(settings.user))
}

fn reserved_user(field: &str, settings: &Settings) -> Refusal {
    Refusal::new(
        Problem::ReservedUser,
        field,
        format!("user {} is the sidecar's, whose connections are not captured", settings.user),
        "run the application as another user",
    )
}
