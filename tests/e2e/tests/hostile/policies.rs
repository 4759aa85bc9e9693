//! The admission policies in the API server alone, on pods that the injector never sees: copies of the installed ones
//! that hold for a namespace which is not enrolled.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bailiwick_e2e::{Scene, apply_text, eventually, kubectl, kubectl_text, system_namespace};
use serde_json::{Value, json};

const CASES: &str = include_str!("../../../hostile/final-pods.yaml");
const INJECTED: &str = include_str!("../../../hostile/injected.json");
const SETTINGS: &str = include_str!("../../../hostile/settings.yaml");

const POLICIES: [&str; 3] = ["bailiwick-pods", "bailiwick-pod-updates", "bailiwick-ephemeral-containers"];

/// The pod that is changed while it is there.
const RUNNING: &str = "running";

/// Copies of the policies for one namespace; gone when the test ends.
struct Copies {
    namespace: String,
}

impl Copies {
    fn of(scene: &Scene) -> Result<Self> {
        let namespace = scene.namespace().to_owned();
        scene.apply(&SETTINGS.replace("escape/", &format!("{namespace}/")))?;
        let copies = Self { namespace };
        for name in POLICIES {
            copies.copy(name)?;
        }
        Ok(copies)
    }

    fn name(&self, policy: &str) -> String {
        format!("{policy}-{}", self.namespace)
    }

    fn copy(&self, policy: &str) -> Result<()> {
        let found: Value = serde_json::from_str(&kubectl_text(&[
            "get",
            "validatingadmissionpolicy",
            policy,
            "-o",
            "json",
        ])?)?;
        let warnings = found.pointer("/status/typeChecking/expressionWarnings");
        ensure!(warnings.is_none(), "the API server doubts `{policy}`: {warnings:?}");
        let mut spec = found.get("spec").context("a policy without spec")?.clone();
        let constraints = spec.get_mut("matchConstraints").and_then(Value::as_object_mut);
        let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": self.namespace}});
        constraints.context("a policy without constraints")?.insert("namespaceSelector".to_owned(), selector);
        let name = self.name(policy);
        let api = "admissionregistration.k8s.io/v1";
        let copy = json!({
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": spec,
        });
        let binding = json!({
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "paramRef": {
                    "name": "bailiwick-injection",
                    "namespace": self.namespace,
                    "parameterNotFoundAction": "Deny",
                },
                "validationActions": ["Deny"],
            },
        });
        apply_text(&format!("{copy}\n---\n{binding}"), &[])?.ok()?;
        Ok(())
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for policy in POLICIES {
            let name = self.name(policy);
            for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
                drop(kubectl(&["delete", kind, &name, "--wait=false"]));
            }
        }
    }
}

#[test]
fn the_api_server_refuses_every_changed_pod_by_itself() -> Result<()> {
    let scene = Scene::plain("policies")?;
    scene.label("pod-security.kubernetes.io/enforce=privileged")?;
    let copies = Copies::of(&scene)?;
    let good: Value = serde_json::from_str(INJECTED)?;
    let first = patched(&good, &json!([{"op": "remove", "path": "/spec/initContainers/0"}]))?;
    eventually("the copied policies are in force", Duration::from_secs(30), || {
        create(&scene, &first)?.refused().map(drop)
    })?;
    eventually("an injected pod is accepted", Duration::from_secs(30), || {
        create(&scene, &good)?.ok().map(drop)
    })?;

    let cases: Value = serde_json::from_value(serde_saphyr::from_str(CASES)?)?;
    let cases = cases.as_array().context("a list of cases")?;
    start(&scene, &good)?;
    for case in cases {
        let expected = case["expect"].as_str().context("a case without `expect`")?;
        let said = attempt(&scene, &good, case)?.refused().with_context(|| case.to_string())?;
        let by = said.contains("ValidatingAdmissionPolicy") || said.contains(&copies.namespace);
        ensure!(said.contains(expected) && by, "expected `{expected}`, got: {said}\nfor: {case}");
    }
    println!("{} changed pods refused", cases.len());
    permitted(&scene, &good)?;
    scene.kubectl(&["delete", "configmap", "bailiwick-injection"])?;
    eventually("without settings nothing is admitted", Duration::from_secs(10), || {
        create(&scene, &good)?.refused().map(drop)
    })
}

/// What the policies must not stand in the way of.
fn permitted(scene: &Scene, good: &Value) -> Result<()> {
    let metadata = json!([
        {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}},
        {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"]},
        {"op": "replace", "path": "/spec/initContainers/1/image", "value": "mirror.example/bailiwick-sidecar:0.1.0"},
    ]);
    update(scene, &metadata)?.ok()?;
    debug(scene, &json!({"name": "debug", "image": "localhost/app:1", "targetContainerName": "app"}))?
        .ok()?;

    scene.kubectl(&["create", "serviceaccount", "exempt"])?;
    let exempt = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "exempt"},
        "spec": {
            "serviceAccountName": "exempt",
            "hostNetwork": true,
            "containers": [{"name": "app", "image": "localhost/app:1", "securityContext": {"privileged": true}}],
        },
    });
    create(scene, &exempt)?.ok()?;

    let value = json!([{"name": "BAILIWICK_SKIP_INBOUND_PORTS", "value": "8080,9000-9100"}]);
    let skips = patched(good, &json!([{"op": "add", "path": "/spec/initContainers/0/env", "value": value}]))?;
    create(scene, &skips)?.refused()?;
    let change = json!({"data": {"skipPortsNamespaces": scene.namespace()}}).to_string();
    scene.kubectl(&["patch", "configmap", "bailiwick-injection", "--type=merge", "-p", &change])?;
    eventually("permitted namespaces may skip ports", Duration::from_secs(10), || {
        create(scene, &skips)?.ok().map(drop)
    })
}

/// Whom sidecars trust: neither a namespace's owner nor whoever may delete everything in it can change it.
#[test]
fn only_the_operator_writes_whom_sidecars_trust() -> Result<()> {
    let scene = Scene::plain("bundle")?;
    let namespace = scene.namespace();
    let operator = format!("system:serviceaccount:{}:bailiwick-operator", system_namespace());
    let write = ["create", "configmap", "bailiwick-bundle", "--from-literal=bundle.pem=x", "-n", namespace];
    scene.kubectl(&["create", "role", "owner", "--verb=*", "--resource=configmaps"])?;
    scene.kubectl(&[
        "create",
        "rolebinding",
        "owner",
        "--role=owner",
        "--user=owner",
        "--user",
        &operator,
    ])?;
    for user in [&["--as=owner"][..], &[]] {
        refused_by_policy(&[&write, user].concat())?;
    }
    kubectl(&[&write[..], &["--as", &operator]].concat())?.ok()?;
    let change =
        ["patch", "configmap", "bailiwick-bundle", "--type=merge", "-p", r#"{"data":{"bundle.pem":"y"}}"#];
    refused_by_policy(&[&change[..], &["-n", namespace, "--as=owner"]].concat())?;
    let collection = format!("/api/v1/namespaces/{namespace}/configmaps");
    for deletion in [
        &["delete", "configmap", "bailiwick-bundle", "-n", namespace, "--as=owner"][..],
        &["delete", "--raw", &collection, "--as=owner"],
    ] {
        refused_by_policy(deletion)?;
    }
    scene.kubectl(&["create", "configmap", "other", "--from-literal=a=b", "--as=owner"])?;
    let left =
        scene.kubectl(&["get", "configmap", "bailiwick-bundle", "-o", "jsonpath={.data.bundle\\.pem}"])?;
    ensure!(left == "x", "it holds `{left}`");
    Ok(())
}

fn refused_by_policy(arguments: &[&str]) -> Result<()> {
    let said = kubectl(arguments)?.refused()?;
    ensure!(said.contains("only the operator writes it"), "{arguments:?}: {said}");
    Ok(())
}

fn attempt(scene: &Scene, good: &Value, case: &Value) -> Result<bailiwick_e2e::Run> {
    if let Some(patch) = case.get("patch") {
        create(scene, &patched(good, patch)?)
    } else if let Some(patch) = case.get("update") {
        update(scene, patch)
    } else if let Some(container) = case.get("debug") {
        debug(scene, container)
    } else {
        bail!("a case without `patch`, `update` or `debug`: {case}")
    }
}

fn create(scene: &Scene, pod: &Value) -> Result<bailiwick_e2e::Run> {
    apply_text(&pod.to_string(), &["-n", scene.namespace(), "--dry-run=server"])
}

/// No node takes it.
fn start(scene: &Scene, good: &Value) -> Result<()> {
    let nowhere = json!([
        {"op": "add", "path": "/spec/nodeSelector", "value": {"bailiwick.dev/test": "nowhere"}},
        {"op": "replace", "path": "/metadata/name", "value": RUNNING},
    ]);
    scene.apply(&patched(good, &nowhere)?.to_string())
}

fn update(scene: &Scene, patch: &Value) -> Result<bailiwick_e2e::Run> {
    let patch = patch.to_string();
    let namespace = scene.namespace();
    kubectl(&["patch", "pod", RUNNING, "-n", namespace, "--type=json", "-p", &patch, "--dry-run=server"])
}

fn debug(scene: &Scene, container: &Value) -> Result<bailiwick_e2e::Run> {
    let patch = json!({"spec": {"ephemeralContainers": [container]}}).to_string();
    let namespace = scene.namespace();
    kubectl(&[
        "patch",
        "pod",
        RUNNING,
        "-n",
        namespace,
        "--subresource=ephemeralcontainers",
        "--type=strategic",
        "-p",
        &patch,
        "--dry-run=server",
    ])
}

fn patched(pod: &Value, operations: &Value) -> Result<Value> {
    let mut pod = pod.clone();
    let patch: json_patch::Patch = serde_json::from_value(operations.clone())?;
    json_patch::patch(&mut pod, &patch)?;
    Ok(pod)
}
