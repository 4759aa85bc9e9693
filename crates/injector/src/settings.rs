//! What the installation injects and permits: the ConfigMap `bailiwick-injection`, which the admission policies in the
//! API server read too.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_inputs::did_you_mean;
use thiserror::Error;

use crate::quantity::{Cpu, Memory};

/// The keys of the ConfigMap. Every one is required, so that a missing one is a mistake and not a wider permission.
pub mod keys {
    /// The version that is injected.
    pub const VERSION: &str = "version";
    /// The image of both containers.
    pub const IMAGE: &str = "image";
    /// The images that a final pod may have, one a line; the one that is injected among them.
    pub const ALLOWED_IMAGES: &str = "allowedImages";
    /// `imagePullPolicy` of both containers.
    pub const IMAGE_PULL_POLICY: &str = "imagePullPolicy";
    /// The sidecar's user and group.
    pub const USER: &str = "user";
    /// The sidecar's arguments, one a line. An empty line starts another list that a final pod may have.
    pub const SIDECAR_ARGUMENTS: &str = "sidecarArguments";
    /// Where the sidecar's trust comes from: `ConfigMap` or `ClusterTrustBundle`.
    pub const BUNDLE: &str = "bundle";
    /// The sidecar's CPU request where a pod says no other.
    pub const CPU_REQUEST: &str = "cpuRequest";
    /// The sidecar's memory request where a pod says no other.
    pub const MEMORY_REQUEST: &str = "memoryRequest";
    /// The sidecar's memory limit where a pod says no other.
    pub const MEMORY_LIMIT: &str = "memoryLimit";
    /// Namespaces whose pods may leave ports uncaptured, one a line.
    pub const SKIP_PORTS_NAMESPACES: &str = "skipPortsNamespaces";
    /// Pods that are not injected: `namespace/service account`, one a line.
    pub const EXEMPT: &str = "exempt";

    /// Every key.
    pub const ALL: [&str; 12] = [
        VERSION,
        IMAGE,
        ALLOWED_IMAGES,
        IMAGE_PULL_POLICY,
        USER,
        SIDECAR_ARGUMENTS,
        BUNDLE,
        CPU_REQUEST,
        MEMORY_REQUEST,
        MEMORY_LIMIT,
        SKIP_PORTS_NAMESPACES,
        EXEMPT,
    ];
}

/// Where the sidecar reads whom it trusts as the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bundle {
    /// The ConfigMap `bailiwick-bundle` of the pod's namespace.
    ConfigMap,
    /// The ClusterTrustBundle of the signer `bailiwick.dev/identity`.
    ClusterTrustBundle,
}

/// What is injected, and what is permitted where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub(crate) version: String,
    pub(crate) image: String,
    pub(crate) allowed_images: BTreeSet<String>,
    pub(crate) image_pull_policy: String,
    pub(crate) user: u32,
    pub(crate) sidecar_arguments: Vec<String>,
    pub(crate) allowed_sidecar_arguments: Vec<Vec<String>>,
    pub(crate) bundle: Bundle,
    pub(crate) cpu_request: Cpu,
    pub(crate) memory_request: Memory,
    pub(crate) memory_limit: Memory,
    pub(crate) skip_ports_namespaces: BTreeSet<String>,
    pub(crate) exempt: BTreeSet<(String, String)>,
}

/// The ConfigMap cannot be used. Until it can, no pod is injected, and none is admitted without injection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("ConfigMap `bailiwick-injection`: {}", .problems.join("; "))]
pub struct SettingsError {
    /// Every mistake: the key, what is wrong with it, and what to do.
    pub problems: Vec<String>,
}

impl Settings {
    /// Reads the ConfigMap's `data`.
    ///
    /// # Errors
    /// With every key that is unknown, missing or cannot be read.
    pub fn read(data: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let mut reader = Reader { data, problems: Vec::new() };
        reader.unknown_keys();
        let settings = reader.settings();
        let problems = reader.problems;
        if problems.is_empty() { Ok(settings) } else { Err(SettingsError { problems }) }
    }

    /// The version that is injected.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// True if pods of this service account are left without a sidecar.
    #[must_use]
    pub fn is_exempt(&self, namespace: &str, service_account: &str) -> bool {
        self.exempt.iter().any(|(space, account)| space == namespace && account == service_account)
    }

    /// The exempt pairs, namespace and service account, sorted.
    pub fn exempt(&self) -> impl Iterator<Item = (&str, &str)> {
        self.exempt.iter().map(|(namespace, account)| (namespace.as_str(), account.as_str()))
    }

    /// True if pods of the namespace may leave ports uncaptured.
    #[must_use]
    pub fn may_skip_ports(&self, namespace: &str) -> bool {
        self.skip_ports_namespaces.contains(namespace)
    }
}

struct Reader<'a> {
    data: &'a BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn unknown_keys(&mut self) {
        for key in self.data.keys().filter(|key| !keys::ALL.contains(&key.as_str())) {
            let hint = match did_you_mean(keys::ALL, key) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "remove it".to_owned(),
            };
            self.problems.push(format!("`{key}` is unknown; {hint}"));
        }
    }

    fn settings(&mut self) -> Settings {
        let image = self.text(keys::IMAGE);
        let allowed_images: BTreeSet<String> = self.lines(keys::ALLOWED_IMAGES).into_iter().collect();
        if !allowed_images.contains(&image) {
            self.problem(keys::ALLOWED_IMAGES, "does not list the value of `image`; add it");
        }
        let allowed_sidecar_arguments = self.argument_lists();
        let (memory_request, memory_limit) =
            (self.memory(keys::MEMORY_REQUEST), self.memory(keys::MEMORY_LIMIT));
        if memory_limit < memory_request {
            self.problem(keys::MEMORY_LIMIT, "is less than `memoryRequest`; raise it");
        }
        Settings {
            version: self.text(keys::VERSION),
            image,
            allowed_images,
            image_pull_policy: self.image_pull_policy(),
            user: self.user(),
            sidecar_arguments: allowed_sidecar_arguments.first().cloned().unwrap_or_default(),
            allowed_sidecar_arguments,
            bundle: self.bundle(),
            cpu_request: self.cpu(keys::CPU_REQUEST),
            memory_request,
            memory_limit,
            skip_ports_namespaces: self.lines(keys::SKIP_PORTS_NAMESPACES).into_iter().collect(),
            exempt: self.exempt(),
        }
    }

    fn problem(&mut self, key: &str, what: &str) {
        self.problems.push(format!("`{key}` {what}"));
    }

    fn raw(&mut self, key: &str) -> &str {
        if !self.data.contains_key(key) {
            self.problem(key, "is missing; add it");
        }
        self.data.get(key).map(String::as_str).unwrap_or_default()
    }

    fn text(&mut self, key: &str) -> String {
        let text = self.raw(key).to_owned();
        if self.data.contains_key(key) && (text.is_empty() || text.trim() != text) {
            self.problem(key, "is empty or has space around it; write the plain value");
        }
        text
    }

    /// One value a line. Written without space, since the policies in the API server compare the same lines.
    fn lines(&mut self, key: &str) -> Vec<String> {
        let text = self.raw(key).to_owned();
        let lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        if text.is_empty() {
            return Vec::new();
        }
        if lines.iter().any(|line| line.is_empty() || line.trim() != line) {
            self.problem(key, "has an empty line or space around a value; write one value a line");
        }
        lines
    }

    fn argument_lists(&mut self) -> Vec<Vec<String>> {
        let text = self.text(keys::SIDECAR_ARGUMENTS);
        text.split("\n\n").map(|list| list.split('\n').map(str::to_owned).collect()).collect()
    }

    fn image_pull_policy(&mut self) -> String {
        let text = self.text(keys::IMAGE_PULL_POLICY);
        if !["Always", "IfNotPresent", "Never"].contains(&text.as_str()) {
            self.problem(keys::IMAGE_PULL_POLICY, "is not `Always`, `IfNotPresent` or `Never`");
        }
        text
    }

    /// Root and the user of other containers would not be told apart from the sidecar.
    fn user(&mut self) -> u32 {
        let text = self.text(keys::USER);
        let user = text.parse::<u32>().ok().filter(|user| user.to_string() == text);
        match user.filter(|user| (1_000..=2_000_000_000).contains(user)) {
            Some(user) => user,
            None => {
                self.problem(keys::USER, "is not a number from 1000 to 2000000000");
                bailiwick_pod::ports::DEFAULT_USER
            }
        }
    }

    fn bundle(&mut self) -> Bundle {
        match self.text(keys::BUNDLE).as_str() {
            "ConfigMap" => Bundle::ConfigMap,
            "ClusterTrustBundle" => Bundle::ClusterTrustBundle,
            _ => {
                self.problem(keys::BUNDLE, "is not `ConfigMap` or `ClusterTrustBundle`");
                Bundle::ConfigMap
            }
        }
    }

    fn cpu(&mut self, key: &str) -> Cpu {
        let text = self.text(key);
        Cpu::read(&text).unwrap_or_else(|problem| {
            self.problem(key, &problem);
            Cpu::default()
        })
    }

    fn memory(&mut self, key: &str) -> Memory {
        let text = self.text(key);
        Memory::read(&text).unwrap_or_else(|problem| {
            self.problem(key, &problem);
            Memory::default()
        })
    }

    fn exempt(&mut self) -> BTreeSet<(String, String)> {
        let mut pairs = BTreeSet::new();
        for line in self.lines(keys::EXEMPT) {
            match line.split_once('/') {
                Some((namespace, account)) if !namespace.is_empty() && is_name(account) => {
                    pairs.insert((namespace.to_owned(), account.to_owned()));
                }
                Some(_) | None => {
                    self.problem(keys::EXEMPT, &format!("holds `{line}`; write `namespace/service account`"));
                }
            }
        }
        pairs
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '*'])
}
