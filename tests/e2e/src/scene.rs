//! A namespace of a test's own, and what runs in it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{Client, Run, Server, apply_text, client_manifest, eventually, kubectl, kubectl_text};

/// What a namespace is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// Enforce everything.
    None,
    /// `bailiwick.dev/authentication: audit`.
    Authentication,
    /// `bailiwick.dev/authorization: audit`.
    Authorization,
    /// Both.
    Both,
}

/// A namespace that is deleted when the test ends.
#[derive(Debug)]
pub struct Scene {
    namespace: String,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::env::var_os("BAILIWICK_E2E_KEEP").is_none() {
            // The next test does not wait for it.
            drop(kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]));
        }
    }
}

impl Scene {
    /// A namespace that is enrolled and enforces everything.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn enrolled(name: &str) -> Result<Self> {
        let scene = Self::plain(name)?;
        scene.label("bailiwick.dev/inject=enabled")?;
        Ok(scene)
    }

    /// A namespace that is not enrolled.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn plain(name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("e2e-{name}-{}-{number}", std::process::id());
        kubectl(&["create", "namespace", &namespace])?.ok()?;
        Ok(Self { namespace })
    }

    /// Its name.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Sets (`key=value`) or removes (`key-`) a label of the namespace.
    ///
    /// # Errors
    /// If it cannot be set.
    pub fn label(&self, label: &str) -> Result<()> {
        kubectl(&["label", "namespace", &self.namespace, "--overwrite", label])?.ok()?;
        Ok(())
    }

    /// Sets the namespace's audit labels.
    ///
    /// # Errors
    /// If they cannot be set.
    pub fn audit(&self, audit: Audit) -> Result<()> {
        let (authentication, authorization) = match audit {
            Audit::None => (false, false),
            Audit::Authentication => (true, false),
            Audit::Authorization => (false, true),
            Audit::Both => (true, true),
        };
        self.label(if authentication {
            "bailiwick.dev/authentication=audit"
        } else {
            "bailiwick.dev/authentication-"
        })?;
        self.label(if authorization {
            "bailiwick.dev/authorization=audit"
        } else {
            "bailiwick.dev/authorization-"
        })
    }

    /// Applies manifests here, which must succeed.
    ///
    /// # Errors
    /// If they are refused.
    pub fn apply(&self, text: &str) -> Result<()> {
        self.try_apply(text)?.ok()?;
        Ok(())
    }

    /// Applies manifests here.
    ///
    /// # Errors
    /// If kubectl cannot be started.
    pub fn try_apply(&self, text: &str) -> Result<Run> {
        apply_text(text, &["-n", &self.namespace])
    }

    /// kubectl in this namespace, which must succeed.
    ///
    /// # Errors
    /// If it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["-n", &self.namespace];
        all.extend_from_slice(arguments);
        kubectl_text(&all)
    }

    /// Starts a server; [`Scene::ready`] waits for it.
    ///
    /// # Errors
    /// If it is refused.
    pub fn server(&self, server: &Server) -> Result<()> {
        self.apply(&server.yaml())
    }

    /// Starts a client; [`Scene::ready`] waits for it.
    ///
    /// # Errors
    /// If it is refused.
    pub fn client(&self, name: &str) -> Result<Client> {
        self.apply(&client_manifest(name, ""))?;
        Ok(Client { namespace: self.namespace.clone(), name: name.to_owned() })
    }

    /// A client that other manifests started: a pod with a container `client`.
    #[must_use]
    pub fn existing(&self, pod: &str) -> Client {
        Client { namespace: self.namespace.clone(), name: pod.to_owned() }
    }

    /// Waits until every Deployment is complete and every pod is Ready.
    ///
    /// # Errors
    /// If that takes more than two minutes; the pods' state is in the message.
    pub fn ready(&self) -> Result<()> {
        let waited = eventually("all pods are Ready", Duration::from_secs(120), || {
            let pods = pods_of(&self.namespace)?;
            ensure!(!pods.is_empty(), "there are no pods");
            for pod in pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
                let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
                ensure!(
                    ready || pod["status"]["phase"] == "Succeeded",
                    "{} is not Ready",
                    pod["metadata"]["name"]
                );
            }
            let wanted = self.kubectl(&["get", "deployments", "-o", "jsonpath={range .items[*]}{.spec.replicas}/{.status.availableReplicas}/{.status.updatedReplicas} {end}"])?;
            for one in wanted.split_whitespace() {
                let mut counts = one.split('/');
                let replicas = counts.next();
                ensure!(counts.all(|count| Some(count) == replicas), "a Deployment is not complete: {one}");
            }
            Ok(())
        });
        waited.map_err(|error| error.context(self.describe()))
    }

    /// What a person would look at when pods do not start.
    fn describe(&self) -> String {
        let look = |arguments: &[&str]| self.kubectl(arguments).unwrap_or_else(|error| error.to_string());
        format!(
            "pods:\n{}\nevents:\n{}",
            look(&["get", "pods", "-o", "wide"]),
            look(&["get", "events", "--sort-by=.lastTimestamp"])
                .lines()
                .rev()
                .take(15)
                .collect::<Vec<_>>()
                .join("\n")
        )
    }

    /// `kubectl wait --for=condition=Enforced`, the promise.
    ///
    /// # Errors
    /// If it is not enforced within 10 s.
    pub fn enforced(&self, object: &str) -> Result<()> {
        let arguments = ["wait", "--for=condition=Enforced", object, "--timeout=10s"];
        let waited = self.kubectl(&arguments);
        waited.map_err(|error| {
            error.context(self.kubectl(&["get", object, "-o", "yaml"]).unwrap_or_default())
        })?;
        Ok(())
    }

    /// Applies policies and waits until each object is enforced.
    ///
    /// # Errors
    /// If one is refused or not enforced in time.
    pub fn enforce(&self, text: &str) -> Result<()> {
        let applied = self.try_apply(text)?.ok()?;
        for object in applied.lines().filter_map(|line| line.split_whitespace().next()) {
            if object.contains("bailiwick.dev/") {
                self.enforced(object)?;
            }
        }
        Ok(())
    }

    /// Addresses of a server's pods.
    ///
    /// # Errors
    /// If the API server cannot be asked.
    pub fn pod_addresses(&self, app: &str) -> Result<Vec<String>> {
        let selector = format!("app={app}");
        let text =
            self.kubectl(&["get", "pods", "-l", &selector, "-o", "jsonpath={.items[*].status.podIP}"])?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// The decisions that a server's sidecars wrote, newest last.
    ///
    /// # Errors
    /// If the logs cannot be read.
    pub fn audit_events(&self, app: &str) -> Result<Vec<serde_json::Value>> {
        let selector = format!("app={app}");
        let text = self.kubectl(&["logs", "-l", &selector, "-c", "bailiwick-sidecar", "--tail=-1"])?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

/// The pods of a namespace as the API server has them.
///
/// # Errors
/// If it cannot be asked.
pub fn pods_of(namespace: &str) -> Result<Vec<serde_json::Value>> {
    let text = kubectl_text(&["get", "pods", "-n", namespace, "-o", "json"])?;
    let list: serde_json::Value = serde_json::from_str(&text)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}
