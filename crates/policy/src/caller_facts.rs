//! What the subject entries of rules are compared with.

use std::net::IpAddr;

use bailiwick_identity::{SpiffeId, TrustDomain};

use crate::{SubjectClass, SubjectEntry, Truth};

/// A caller as rules see it: an identity or nobody, and the address it calls from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallerFacts<'a> {
    pub(crate) id: Option<&'a SpiffeId>,
    /// Namespace and service account. INVARIANT: only of an identity of the mesh's own trust domain.
    names: Option<(&'a str, &'a str)>,
    /// `None` only in hypotheses that leave it open.
    pub(crate) source: Option<IpAddr>,
}

impl<'a> CallerFacts<'a> {
    pub(crate) fn new(own: &TrustDomain, id: Option<&'a SpiffeId>, source: Option<IpAddr>) -> Self {
        let names = id.filter(|id| id.trust_domain() == own).and_then(|id| own_names(id.path()));
        Self { id, names, source: source.map(fold_ip) }
    }

    /// The namespace, if names hold for this caller.
    pub(crate) fn namespace(&self) -> Option<&'a str> {
        self.names.map(|(namespace, _)| namespace)
    }
}

/// Folds a v4-mapped address, so that an address range means the same callers however the socket reports them.
pub(crate) fn fold_ip(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The names in a path of the form `/ns/<namespace>/sa/<service account>`; [`SpiffeId::workload`] without allocation
/// (a test compares them).
fn own_names(path: &str) -> Option<(&str, &str)> {
    let (namespace, service_account) = path.strip_prefix("/ns/")?.split_once("/sa/")?;
    let sound = namespace.len() <= 63
        && is_name_part(namespace)
        && service_account.len() <= 253
        && service_account.split('.').all(is_name_part);
    sound.then_some((namespace, service_account))
}

fn is_name_part(text: &str) -> bool {
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

impl SubjectEntry {
    /// Whether every field that is present holds. FAIL-CLOSED: an entry without a field names nobody; a snapshot with
    /// one is not built, so no Deny can lose its subjects that way.
    pub(crate) fn holds(&self, caller: &CallerFacts<'_>) -> Truth {
        let class = match self.class {
            None => *self != Self::default(),
            Some(SubjectClass::Anyone) => true,
            Some(SubjectClass::Authenticated) => caller.id.is_some(),
            Some(SubjectClass::Unauthenticated) => caller.id.is_none(),
        };
        let account = self
            .service_account
            .as_ref()
            .is_none_or(|(namespace, name)| caller.names == Some((namespace.as_str(), name.as_str())));
        let namespace = self.namespaces.as_ref().is_none_or(|wanted| {
            caller.namespace().is_some_and(|found| wanted.iter().any(|name| name.as_str() == found))
        });
        let identity =
            self.spiffe_id.as_ref().is_none_or(|pattern| caller.id.is_some_and(|id| pattern.matches(id)));
        if !(class && account && namespace && identity) {
            return Truth::False;
        }
        match (&self.ip_block, caller.source) {
            (None, _) => Truth::True,
            (Some(_), None) => Truth::Unknown,
            (Some(block), Some(address)) => block.contains(address).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_are_those_that_identity_reads(path in "(/(ns|sa|a|A|a-|-a|a\\.b|a\\.\\.b|[a-z]{62,65})){1,6}") {
            let id: SpiffeId = match format!("spiffe://own.example{path}").parse() {
                Ok(id) => id,
                Err(_) => return Ok(()),
            };
            let expected = id.workload();
            let expected = expected.as_ref().map(|names| (names.namespace.as_str(), names.service_account.as_str()));
            prop_assert_eq!(own_names(id.path()), expected);
        }
    }

    #[test]
    fn names_hold_for_the_own_trust_domain_only() {
        let own: TrustDomain = "own.example".parse().unwrap();
        let entry = SubjectEntry {
            service_account: Some(("shop".parse().unwrap(), "cert-manager.io".parse().unwrap())),
            ..SubjectEntry::default()
        };
        let holds = |text: &str| {
            let id: SpiffeId = text.parse().unwrap();
            entry.holds(&CallerFacts::new(&own, Some(&id), None))
        };
        assert_eq!(holds("spiffe://own.example/ns/shop/sa/cert-manager.io"), Truth::True);
        assert_eq!(holds("spiffe://other.example/ns/shop/sa/cert-manager.io"), Truth::False);
        // B8: no identity field is ever a pattern.
        assert_eq!(holds("spiffe://own.example/ns/shop/sa/cert-manager-io"), Truth::False);
    }
}
