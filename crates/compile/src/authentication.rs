//! What each port of each workload believes: every Authentication that selects it, made one.

use std::collections::BTreeSet;

use bailiwick_identity::{InvalidAuthentication, MtlsMode, Port, PortTrust, TrustConfig, TrustDomain};
use bailiwick_policy::{PortSelection, WorkloadKey};

use crate::facts::{NamespaceIndex, workload_warning};
use crate::mesh::Mesh;
use crate::{AuthenticationSpec, Diagnostic, Workload, codes};

/// An Authentication that selects a workload.
#[derive(Debug, Clone)]
pub(crate) struct Believer<'a> {
    /// `namespace/name`.
    pub(crate) object: String,
    /// The spec, or why there is none.
    pub(crate) spec: Result<&'a AuthenticationSpec, String>,
}

/// The Authentications that select one workload, in the order of their keys, with the ports that they select.
pub(crate) type Believers<'b, 'a> = Vec<(&'b Believer<'a>, &'b PortSelection)>;

/// What a workload believes, by port.
pub(crate) fn trust(
    mesh: &Mesh<'_>,
    namespace: Option<&NamespaceIndex<'_>>,
    believers: &Believers<'_, '_>,
) -> TrustConfig {
    let audit = namespace.is_some_and(|namespace| namespace.authentication_audit);
    let port = |port: Option<Port>| port_trust(mesh, audit, believers, port);
    let default = port(None);
    let mut named = BTreeSet::new();
    for (believer, selection) in believers {
        if let PortSelection::Only(ports) = selection {
            named.extend(ports.iter().copied());
        }
        if let Ok(AuthenticationSpec { mtls: Some(mtls), .. }) = believer.spec {
            named.extend(mtls.ports.keys().copied());
        }
    }
    let ports = named.into_iter().map(|number| (number, port(Some(number))));
    let ports = ports.filter(|(_, trust)| *trust != default).collect();
    TrustConfig { default, ports }
}

/// What one port believes; `None` is a port that no Authentication names.
fn port_trust(mesh: &Mesh<'_>, audit: bool, believers: &Believers<'_, '_>, port: Option<Port>) -> PortTrust {
    let mut mode: Option<MtlsMode> = None;
    let mut domains: Option<BTreeSet<TrustDomain>> = None;
    let mut invalid = None;
    for (believer, selection) in believers {
        let selected = match (selection, port) {
            (PortSelection::All, _) => true,
            (PortSelection::Only(_), None) => false,
            (PortSelection::Only(ports), Some(port)) => ports.contains(&port),
        };
        if !selected {
            continue;
        }
        match &believer.spec {
            Ok(spec) => {
                // Strict beats Permissive beats Disabled: the order of `MtlsMode`.
                mode = mode.max(opinion(spec, port));
                narrow(&mut domains, spec);
            }
            // FAIL-CLOSED: every call is answered 503.
            Err(reason) => {
                let why =
                    || InvalidAuthentication { object: believer.object.clone(), reason: reason.clone() };
                invalid.get_or_insert_with(why);
            }
        }
    }
    let own = &mesh.settings.trust_domain;
    let mut domains = domains.unwrap_or_else(|| BTreeSet::from([own.clone()]));
    if mesh.contested {
        domains.retain(|domain| domain == own);
    }
    PortTrust {
        mode: mode.unwrap_or(if audit { MtlsMode::Permissive } else { MtlsMode::Strict }),
        trust_domains: domains.into_iter().collect(),
        audit: audit && mode.is_none(),
        invalid,
    }
}

/// The mode that one object wants of a port: its entry replaces its mode.
fn opinion(spec: &AuthenticationSpec, port: Option<Port>) -> Option<MtlsMode> {
    let mtls = spec.mtls.as_ref()?;
    port.and_then(|port| mtls.ports.get(&port).copied()).or(mtls.mode)
}

fn narrow(domains: &mut Option<BTreeSet<TrustDomain>>, spec: &AuthenticationSpec) {
    let Some(wanted) = &spec.trust_domains else { return };
    match domains {
        None => *domains = Some(wanted.iter().cloned().collect()),
        Some(domains) => domains.retain(|domain| wanted.contains(domain)),
    }
}

/// Ports where no certificate is accepted.
pub(crate) fn nobody_trusted(
    key: &WorkloadKey,
    workload: &Workload,
    trust: &TrustConfig,
) -> Option<Diagnostic> {
    let nobody = |trust: &PortTrust| trust.trust_domains.is_empty() && trust.mode != MtlsMode::Disabled;
    let place = if nobody(&trust.default) {
        "the ports".to_owned()
    } else {
        format!("port {}", trust.ports.iter().find(|(_, trust)| nobody(trust))?.0)
    };
    let message = format!("{place} of workload `{key}` trust no trust domain, so no certificate is accepted");
    let help = "let the Authentications that select it have a trust domain in common";
    Some(workload_warning(codes::NOBODY_TRUSTED, workload, message, help))
}

#[cfg(test)]
mod tests;
