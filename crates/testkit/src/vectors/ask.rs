//! A call of a vector, in the terms of its compiled world.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bailiwick_compile::{Compiled, WorkloadConfig, World};
use bailiwick_identity::Port;
use bailiwick_policy::{Caller, Timestamp, WorkloadKey};

use super::VectorCall;

/// 2026-06-01T00:00:00Z.
const NOW: Timestamp = Timestamp(1_780_272_000);

/// A call, in the terms of its compiled world.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who calls.
    pub caller: Caller,
    /// From which address.
    pub source: SocketAddr,
    /// Which workload.
    pub workload: WorkloadKey,
    /// What that workload enforces.
    pub config: Arc<WorkloadConfig>,
    /// Which container port.
    pub port: Port,
    /// When.
    pub now: Timestamp,
    /// What; `None` is bytes that are no HTTP.
    pub request: Option<Request>,
}

/// An HTTP request as it would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target, with its query.
    pub target: String,
    /// `Host` or `:authority`.
    pub host: String,
    /// `Content-Type`, if there is one.
    pub content_type: Option<String>,
    /// True if it was written as a gRPC call, and so goes over HTTP/2.
    pub grpc: bool,
}

impl Asked {
    /// Finds who calls whom.
    ///
    /// # Errors
    /// When the call names somebody who is not in the world, or no port.
    pub fn new(world: &World, compiled: &Compiled, call: &VectorCall) -> Result<Self, String> {
        let (name, port) = match call.to.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (call.to.as_str(), None),
        };
        let workload = workload(name)?;
        let config = compiled.workloads.get(&workload).ok_or_else(|| format!("no workload {workload}"))?;
        let first = || world.workloads.get(&workload)?.ports.first().map(|port| port.port);
        let port = match (port, call.method.as_str()) {
            (_, "tcp") => Some(call.path.parse().map_err(|_| format!("`{}` is no port", call.path))?),
            (Some(port), _) => Some(port.parse().map_err(|_| format!("`{port}` is no port"))?),
            (None, _) => first(),
        };
        Ok(Self {
            caller: caller(compiled, &call.from)?,
            source: SocketAddr::new(call.ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), 40_000),
            port: port.ok_or_else(|| format!("{workload} has no port"))?,
            request: request(call, &workload),
            now: call.now.unwrap_or(NOW),
            config: Arc::clone(config),
            workload,
        })
    }
}

fn request(call: &VectorCall, workload: &WorkloadKey) -> Option<Request> {
    let grpc = call.method == "grpc";
    let (method, target) = match call.method.as_str() {
        "tcp" => return None,
        "grpc" => ("POST", format!("/{}", call.path)),
        method => (method, call.path.clone()),
    };
    let default = format!("{}.{}", workload.name, workload.namespace);
    Some(Request {
        method: method.to_owned(),
        target,
        host: call.host.clone().unwrap_or(default),
        content_type: call.content_type.clone().or_else(|| grpc.then(|| "application/grpc".to_owned())),
        grpc,
    })
}

fn caller(compiled: &Compiled, text: &str) -> Result<Caller, String> {
    if text == "anonymous" {
        return Ok(Caller::Anonymous);
    }
    if text.contains("://") {
        return text.parse().map(Caller::Identity).map_err(|error| format!("{error}"));
    }
    let key = workload(text)?;
    let config = compiled.workloads.get(&key).ok_or_else(|| format!("no workload {key}"))?;
    Ok(Caller::Identity(config.identity.clone()))
}

fn workload(text: &str) -> Result<WorkloadKey, String> {
    let (namespace, name) = text.split_once('/').ok_or_else(|| format!("`{text}` is no workload"))?;
    let namespace = namespace.parse().map_err(|error| format!("{error}"))?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok(WorkloadKey { namespace, name })
}
