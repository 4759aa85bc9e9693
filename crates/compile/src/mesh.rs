//! The mesh's own trust domain: from the TrustDomain objects, or built in.
//!
//! None: `cluster.local` with certificates of 24 hours. One valid own: that. Otherwise nothing is issued, and:
//! * one own that is invalid still names the domain, so that certificates already issued keep their meaning;
//! * of several none is chosen: the name is `cluster.local`, and no other domain is believed anywhere, so that no
//!   rule which names a service account can be lost to a change of the name.

use std::time::Duration;

use bailiwick_identity::TrustDomain;

use crate::head::{Head, by_key, duplicate, spec_field, with_help};
use crate::{Decoded, Diagnostic, FieldPath, MeshSettings, Object, TrustDomainSpec, World, codes};

const DEFAULT_NAME: &str = "cluster.local";
const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What the TrustDomain objects come to.
#[derive(Debug)]
pub(crate) struct Mesh<'a> {
    pub(crate) settings: MeshSettings,
    /// True if two objects claim to be the own one: only the settings' domain is believed, whatever is configured.
    pub(crate) contested: bool,
    /// Each object, with what is wrong with it.
    pub(crate) objects: Vec<(Head<'a>, Vec<Diagnostic>)>,
}

struct Claim<'a> {
    head: Head<'a>,
    spec: Option<&'a TrustDomainSpec>,
    name: Option<TrustDomain>,
    problems: Vec<Diagnostic>,
    /// It is, or may have been meant as, the own one.
    own: bool,
}

/// Settles the mesh.
pub(crate) fn settle(world: &World) -> Mesh<'_> {
    let mut claims: Vec<Claim<'_>> = Vec::new();
    for group in by_key(&world.trust_domains).into_values() {
        claims.extend(group.iter().map(|object| claim(object, group.len())));
    }
    // An invalid object beside a valid one is no second own: it was never accepted, and issues nothing.
    let valid = claims.iter().filter(|claim| claim.spec.is_some()).count();
    let wanted = |claim: &&Claim<'_>| if valid == 0 { claim.own } else { claim.spec.is_some() };
    let candidates: Vec<&Claim<'_>> = claims.iter().filter(wanted).collect();
    let unnamed = MeshSettings { trust_domain: built_in(), leaf_lifetime: DEFAULT_LIFETIME, issues: false };
    let (settings, contested) = match candidates.as_slice() {
        [] => (MeshSettings { issues: true, ..unnamed }, false),
        [only] => (settings_of(only, unnamed), false),
        [first, others @ ..]
            if first.name.is_some() && others.iter().all(|other| other.name == first.name) =>
        {
            (MeshSettings { issues: false, ..settings_of(first, unnamed) }, false)
        }
        [_, ..] => (unnamed, true),
    };
    if contested && valid > 1 {
        tell_contest(&mut claims);
    }
    let objects = claims.into_iter().map(|claim| (claim.head, claim.problems)).collect();
    Mesh { settings, contested, objects }
}

#[expect(clippy::expect_used, reason = "a constant that a test parses")]
fn built_in() -> TrustDomain {
    DEFAULT_NAME.parse().expect("the built-in name is a trust domain")
}

fn settings_of(claim: &Claim<'_>, unnamed: MeshSettings) -> MeshSettings {
    let lifetime = claim.spec.and_then(|spec| spec.leaf_lifetime).map(Duration::from_secs);
    MeshSettings {
        trust_domain: claim.name.clone().unwrap_or(unnamed.trust_domain),
        leaf_lifetime: lifetime.unwrap_or(DEFAULT_LIFETIME),
        issues: claim.spec.is_some(),
    }
}

fn claim(object: &Object<TrustDomainSpec>, of_this_key: usize) -> Claim<'_> {
    let head = Head::of(object);
    let name: Result<TrustDomain, _> = object.key.name.parse();
    let mut problems = Vec::new();
    let (spec, own) = match &object.spec {
        Decoded::Valid(spec) => (Some(spec), true),
        Decoded::Invalid(invalid) => {
            problems.extend(invalid.problems.iter().cloned());
            (None, may_be_own(&head, &invalid.problems))
        }
    };
    if spec.is_some() && of_this_key > 1 {
        problems.push(duplicate(&head, of_this_key - 1));
    }
    if let Err(error) = &name {
        let field = FieldPath::root().field("metadata").field("name");
        problems.push(head.error(codes::TRUST_DOMAIN_NAME, &field, error.to_string()));
    }
    if spec.is_none() && problems.is_empty() {
        let field = FieldPath::root().field("spec");
        problems.push(head.error(codes::NOT_COMPILABLE, &field, "the spec cannot be decoded".to_owned()));
    }
    let spec = spec.filter(|_| problems.is_empty());
    Claim { head, spec, name: name.ok(), problems, own }
}

/// FAIL-CLOSED: an invalid object counts as an own one unless it says `federated` and not `own`.
fn may_be_own(head: &Head<'_>, problems: &[Diagnostic]) -> bool {
    let says = |name: &str| {
        let field = spec_field(name);
        let within = |path: &FieldPath| {
            let mut path = Some(path.clone());
            while let Some(at) = path {
                if at == field {
                    return true;
                }
                path = at.parent();
            }
            false
        };
        head.has_field(&field) || problems.iter().any(|problem| within(&problem.field))
    };
    says("own") || !says("federated")
}

fn tell_contest(claims: &mut [Claim<'_>]) {
    let names: Vec<String> = claims
        .iter()
        .filter(|claim| claim.spec.is_some())
        .map(|claim| format!("`{}`", claim.head.key.name))
        .collect();
    for claim in claims.iter_mut().filter(|claim| claim.spec.is_some()) {
        let message = format!(
            "{} are all the mesh's own trust domain, so none of them is and no certificate is issued",
            names.join(" and ")
        );
        let diagnostic = claim.head.error(codes::TWO_OWN_TRUST_DOMAINS, &spec_field("own"), message);
        claim.problems.push(with_help(diagnostic, "remove all but one"));
    }
}

#[cfg(test)]
mod tests;
