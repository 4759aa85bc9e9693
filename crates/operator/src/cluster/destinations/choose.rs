//! Which endpoints of a Service a caller may be led to: as kube-proxy would choose.

use std::net::IpAddr;

use super::table::{Candidate, ServiceEntry};

/// Where a caller is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Empty if it is not known.
    pub(crate) node: String,
    /// Empty if there is none.
    pub(crate) zone: String,
}

/// The endpoints of one port and family for a caller: the ready ones, else those that are ending and still serve; of
/// these the near ones, where the Service wants that and there are any.
pub(crate) fn choose<'a>(
    service: &ServiceEntry,
    candidates: &'a [Candidate],
    family: impl Fn(IpAddr) -> bool,
    place: &Place,
) -> Vec<&'a Candidate> {
    let local = |candidate: &&Candidate| !service.local_only || candidate.slice.node == place.node;
    let of_family: Vec<&Candidate> =
        candidates.iter().filter(|candidate| family(candidate.address.ip())).filter(local).collect();
    let ready: Vec<&Candidate> =
        of_family.iter().copied().filter(|candidate| candidate.slice.ready).collect();
    if ready.is_empty() {
        return of_family.into_iter().filter(|candidate| candidate.slice.serving).collect();
    }
    near(&ready, &place.node, |candidate| &candidate.slice.nodes)
        .or_else(|| near(&ready, &place.zone, |candidate| &candidate.slice.zones))
        .unwrap_or(ready)
}

/// Those that are meant for a place; `None` where one of them says nothing of places, or none is meant for this one.
fn near<'a>(
    ready: &[&'a Candidate],
    place: &str,
    hints: impl Fn(&Candidate) -> &[String],
) -> Option<Vec<&'a Candidate>> {
    if place.is_empty() || ready.iter().any(|candidate| hints(candidate).is_empty()) {
        return None;
    }
    let meant = |candidate: &&'a Candidate| hints(candidate).iter().any(|hint| hint == place);
    let found: Vec<&Candidate> = ready.iter().copied().filter(meant).collect();
    (!found.is_empty()).then_some(found)
}
