//! The two containers and the volume that are injected, written with every default of the API server that matters, so
//! that what comes back can be compared with them.

use bailiwick_pod::{Declared, environment, names, ports};
use serde_json::{Map, Value, json};

use crate::annotations::Annotations;
use crate::pod::{items, text};
use crate::{Bundle, Settings};

/// Where the API server itself mounts a service account's token in every container.
const SERVICE_ACCOUNT_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The container that programs the capture.
pub(crate) fn capture(settings: &Settings, annotations: &Annotations) -> Value {
    let skipped = [
        (environment::SKIP_INBOUND_PORTS, &annotations.skip_inbound),
        (environment::SKIP_OUTBOUND_PORTS, &annotations.skip_outbound),
    ];
    let env: Vec<Value> = skipped
        .into_iter()
        .filter_map(|(name, value)| Some(json!({"name": name, "value": value.as_ref()?})))
        .collect();
    let mut container = json!({
        "name": names::CAPTURE_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": capture_arguments(settings),
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"},
            "limits": {"memory": "64Mi"},
        },
        "terminationMessagePath": "/dev/termination-log",
    });
    put(&mut container, "env", env);
    container
}

/// The sidecar.
pub(crate) fn sidecar(settings: &Settings, annotations: &Annotations, declared: &[Declared]) -> Value {
    let memory = annotations.memory.as_ref();
    let mut container = json!({
        "name": names::SIDECAR_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "restartPolicy": "Always",
        "args": settings.sidecar_arguments,
        "securityContext": {
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "ports": [{"name": names::PROBES_PORT, "containerPort": ports::PROBES, "protocol": "TCP"}],
        "startupProbe": probe("/ready", ports::INBOUND_PROOF, (1, 7_200)),
        "readinessProbe": probe("/ready", ports::INBOUND_PROOF, (5, 2)),
        "livenessProbe": probe("/live", ports::PROBES, (10, 3)),
        "lifecycle": {"preStop": {"exec": {"command": ["/bailiwick-sidecar", "drain"]}}},
        "volumeMounts": [
            {"name": names::IDENTITY_VOLUME, "mountPath": names::IDENTITY_FOLDER, "readOnly": true},
        ],
        "resources": {
            "requests": {
                "cpu": annotations.cpu.as_ref().unwrap_or(&settings.cpu_request).as_str(),
                "memory": memory.unwrap_or(&settings.memory_request).as_str(),
            },
            "limits": {"memory": memory.unwrap_or(&settings.memory_limit).as_str()},
        },
        "terminationMessagePath": "/dev/termination-log",
    });
    put(&mut container, "env", sidecar_environment(annotations, declared));
    container
}

/// The projected volume: a token for the operator alone, and whom to trust as the operator.
pub(crate) fn volume(settings: &Settings) -> Value {
    let bundle = match settings.bundle {
        Bundle::ConfigMap => json!({"configMap": {
            "name": names::BUNDLE_OBJECT,
            "items": [{"key": names::BUNDLE_FILE, "path": names::BUNDLE_FILE}],
            "optional": false,
        }}),
        Bundle::ClusterTrustBundle => json!({"clusterTrustBundle": {
            "name": format!("{}:{}", names::SIGNER.replace('/', ":"), names::BUNDLE_OBJECT),
            "path": names::BUNDLE_FILE,
            "optional": false,
        }}),
    };
    let token = json!({"serviceAccountToken": {
        "audience": names::TOKEN_AUDIENCE,
        "expirationSeconds": names::TOKEN_SECONDS,
        "path": names::TOKEN_FILE,
    }});
    json!({
        "name": names::IDENTITY_VOLUME,
        "projected": {"defaultMode": 0o644, "sources": [token, bundle]},
    })
}

/// True if a container of one of our names was made by an injector of this installation, whatever became of it since.
pub(crate) fn is_ours(found: &Value, settings: &Settings) -> bool {
    let arguments: Option<Vec<&str>> = items(found, &["args"]).iter().map(Value::as_str).collect();
    let arguments = arguments.unwrap_or_default();
    let known = match text(found, &["name"]) {
        names::CAPTURE_CONTAINER => arguments == capture_arguments(settings),
        names::SIDECAR_CONTAINER => settings.allowed_sidecar_arguments.iter().any(|list| arguments == *list),
        _ => false,
    };
    known
        && settings.allowed_images.contains(text(found, &["image"]))
        && items(found, &["command"]).is_empty()
}

/// True if nothing that matters was changed in a container of ours. Resources, the pull policy and the mount of the
/// service account's token belong to the cluster's own admission.
pub(crate) fn unchanged(found: &Value, desired: &Value, settings: &Settings) -> bool {
    settings.allowed_images.contains(text(found, &["image"])) && essence(found) == essence(desired)
}

/// True if a volume of our name is as it would be injected.
pub(crate) fn unchanged_volume(found: &Value, desired: &Value) -> bool {
    pruned(found) == pruned(desired)
}

/// The arguments differ between versions that are allowed, so they are compared by [`is_ours`].
fn essence(container: &Value) -> Option<Value> {
    const NOT_COMPARED: [&str; 6] =
        ["image", "args", "imagePullPolicy", "resources", "terminationMessagePolicy", "resizePolicy"];
    let mut fields: Map<String, Value> = container.as_object()?.clone();
    fields.retain(|name, _| !NOT_COMPARED.contains(&name.as_str()));
    if let Some(mounts) = fields.get_mut("volumeMounts").and_then(Value::as_array_mut) {
        mounts.retain(|mount| text(mount, &["mountPath"]) != SERVICE_ACCOUNT_FOLDER);
    }
    pruned(&Value::Object(fields))
}

/// Without what is the same as absent.
fn pruned(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Array(items) => {
            (!items.is_empty()).then(|| Value::Array(items.iter().filter_map(pruned).collect()))
        }
        Value::Object(fields) => {
            let kept: Map<String, Value> =
                fields.iter().filter_map(|(name, value)| Some((name.clone(), pruned(value)?))).collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
    }
}

fn capture_arguments(settings: &Settings) -> [String; 3] {
    ["capture".to_owned(), "--user".to_owned(), settings.user.to_string()]
}

fn sidecar_environment(annotations: &Annotations, declared: &[Declared]) -> Vec<Value> {
    let fields = [
        (environment::NAMESPACE, "metadata.namespace"),
        (environment::NAME, "metadata.name"),
        (environment::UID, "metadata.uid"),
        (environment::ADDRESSES, "status.podIPs"),
        (environment::NODE_ADDRESSES, "status.hostIPs"),
    ];
    let mut env: Vec<Value> = fields
        .into_iter()
        .map(|(name, path)| {
            json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
        })
        .collect();
    if !declared.is_empty() {
        env.push(json!({"name": environment::PROBES, "value": crate::probes::write(declared)}));
    }
    if let Some(level) = &annotations.log {
        env.push(json!({"name": environment::LOG, "value": level}));
    }
    env
}

fn probe(path: &str, port: u16, (period, failures): (u32, u32)) -> Value {
    json!({
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": period,
        "successThreshold": 1,
        "failureThreshold": failures,
    })
}

fn put(container: &mut Value, name: &str, list: Vec<Value>) {
    if let Some(fields) = container.as_object_mut().filter(|_| !list.is_empty()) {
        fields.insert(name.to_owned(), Value::Array(list));
    }
}
