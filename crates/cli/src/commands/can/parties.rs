//! Who calls whom.

use std::sync::Arc;

use bailiwick_compile::{Workload, WorkloadConfig};
use bailiwick_identity::{Namespace, Port, SpiffeId};
use bailiwick_inputs::did_you_mean;
use bailiwick_policy::WorkloadKey;

use super::mistake::Mistake;
use super::request::Asked;
use crate::folder::Folder;

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// Without a certificate.
    Anonymous,
    /// With this identity. `known` if a workload of the world has it.
    Identity { id: SpiffeId, known: bool },
    /// A workload that gets no certificate, since its names make no identity.
    Nameless(WorkloadKey),
}

/// What is called.
#[derive(Debug, Clone)]
pub(crate) struct To {
    pub(crate) key: WorkloadKey,
    pub(crate) port: Port,
    /// True if the workload declares the port, or a Service leads to it.
    pub(crate) declared: bool,
    /// `None` if the workload gets no configuration.
    pub(crate) config: Option<Arc<WorkloadConfig>>,
}

impl From {
    /// Finds the caller.
    ///
    /// # Errors
    /// When the text names nobody.
    pub(crate) fn find(folder: &Folder, text: &str) -> Result<Self, Mistake> {
        if text == "anonymous" {
            return Ok(Self::Anonymous);
        }
        if text.contains("://") {
            let id: SpiffeId = text.parse()?;
            let known = folder.compiled.workloads.values().any(|config| config.identity == id);
            return Ok(Self::Identity { id, known });
        }
        let key = find_workload(folder, text)?;
        Ok(match folder.compiled.workloads.get(&key) {
            Some(config) => Self::Identity { id: config.identity.clone(), known: true },
            None => Self::Nameless(key),
        })
    }
}

impl To {
    /// Finds the workload and the port that is called.
    ///
    /// # Errors
    /// When the text names no workload, or no port is named and there is none.
    pub(crate) fn find(folder: &Folder, text: &str, asked: &Asked) -> Result<Self, Mistake> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        let key = find_workload(folder, name)?;
        let workload = folder.world.workloads.get(&key);
        let named = port.map(|port| named_port(&key, workload, port)).transpose()?;
        let port = match (named, asked.port()) {
            (Some(to), Some(path)) if to != path => return Err(Mistake::TwoPorts { to, path }),
            (_, Some(port)) | (Some(port), None) => port,
            (None, None) => workload
                .and_then(|workload| workload.ports.first())
                .map(|port| port.port)
                .ok_or_else(|| Mistake::NoPort { workload: key.to_string() })?,
        };
        let config = folder.compiled.workloads.get(&key).map(Arc::clone);
        let declared = config.as_ref().is_some_and(|config| config.protocols.contains_key(&port))
            || workload.is_some_and(|workload| workload.ports.iter().any(|declared| declared.port == port));
        Ok(Self { key, port, declared, config })
    }
}

/// A port by number, or by the name of a container port.
fn named_port(key: &WorkloadKey, workload: Option<&Workload>, text: &str) -> Result<Port, Mistake> {
    if text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| Mistake::NotAPort { text: text.to_owned() });
    }
    let ports = workload.map(|workload| workload.ports.as_slice()).unwrap_or_default();
    let found = ports.iter().find(|port| port.name.as_deref() == Some(text));
    found.map(|port| port.port).ok_or_else(|| Mistake::UnknownPort {
        workload: key.to_string(),
        port: text.to_owned(),
        known: ports
            .iter()
            .map(|port| match &port.name {
                Some(name) => format!("`{name}` ({})", port.port),
                None => format!("{}", port.port),
            })
            .collect(),
    })
}

/// A workload of the files, a pod, or the newest pod of what made it.
fn find_workload(folder: &Folder, text: &str) -> Result<WorkloadKey, Mistake> {
    let mut known = folder.pods.owners();
    known.extend(folder.world.workloads.keys().map(ToString::to_string));
    let nearest = || did_you_mean(known.iter().map(String::as_str), text).map(str::to_owned);
    let Some((namespace, name)) = text.split_once('/') else {
        // Often only the namespace was forgotten.
        let is_it = |full: &&String| full.split_once('/').is_some_and(|(_, name)| name == text);
        let meant = known.iter().find(is_it).cloned();
        return Err(Mistake::NotAWorkload { text: text.to_owned(), meant });
    };
    let key = match (namespace.parse::<Namespace>(), name.parse()) {
        (Ok(namespace), Ok(name)) => WorkloadKey { namespace, name },
        (Err(_), _) | (_, Err(_)) => {
            return Err(Mistake::NotAWorkload { text: text.to_owned(), meant: nearest() });
        }
    };
    if folder.world.workloads.contains_key(&key) {
        return Ok(key);
    }
    if let Some(newest) = pods_of(folder, namespace, name).into_iter().next() {
        return Ok(newest);
    }
    if let Some(routes) = folder.compiled.routes.get(&(key.namespace.clone(), name.to_owned())) {
        let mut workloads: Vec<String> = routes
            .iter()
            .flat_map(|route| &route.backends)
            .map(|backend| format!("{}:{}", backend.workload, backend.port))
            .collect();
        workloads.dedup();
        return Err(Mistake::Service { text: text.to_owned(), workloads });
    }
    Err(Mistake::UnknownWorkload { text: text.to_owned(), meant: nearest() })
}

/// The pods of an owner, the newest first, as far as they could be read.
pub(super) fn pods_of(folder: &Folder, namespace: &str, name: &str) -> Vec<WorkloadKey> {
    let mut pods = folder.pods.owned_by(namespace, name);
    pods.retain(|pod| folder.world.workloads.contains_key(pod));
    pods
}
