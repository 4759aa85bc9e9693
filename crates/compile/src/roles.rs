//! What each Role grants, with everything that it inherits; cycles and gaps found.
//!
//! FAIL-CLOSED: a Role that is missing, invalid, in a cycle or too large grants nothing, and a Deny that binds it,
//! directly or by inheritance, matches every call. A Role that inherits such a one keeps what is left for Allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_policy::Permission;

use crate::components::components;
use crate::did_you_mean::did_you_mean;
use crate::head::{Head, by_key, duplicate, spec_field, with_help};
use crate::seen::Seen;
use crate::{Code, Decoded, Diagnostic, FieldPath, ObjectKey, Reference, RoleSpec, World, check, codes};

/// The most permissions of one Role with everything that it inherits, and of the Roles of one rule together.
const MAXIMUM_PERMISSIONS: usize = 4096;
/// The most Roles that one Role inherits, itself included.
const MAXIMUM_ROLES: usize = 256;

/// Counts Roles in the order of their keys.
pub(crate) type RoleIndex = usize;

/// Every Role of the world, resolved.
#[derive(Debug)]
pub(crate) struct Roles<'a> {
    by_name: BTreeMap<(&'a str, &'a str), RoleIndex>,
    pub(crate) entries: Vec<Role<'a>>,
}

/// One Role, resolved.
#[derive(Debug)]
pub(crate) struct Role<'a> {
    pub(crate) head: Head<'a>,
    /// Its own permissions; none if it is invalid.
    pub(crate) permissions: &'a [Permission],
    /// Its own spec is wrong: never empty for an invalid one.
    pub(crate) problems: Vec<Diagnostic>,
    /// References of its own that lead nowhere, or to something broken.
    pub(crate) unresolved: Vec<Diagnostic>,
    pub(crate) standing: Standing,
    /// The Roles whose own permissions it grants, ascending.
    pub(crate) granting: Arc<[RoleIndex]>,
    /// Every Role that is there and that it inherits, itself included, ascending.
    pub(crate) reach: Arc<[RoleIndex]>,
    inherits: &'a [Reference],
}

/// What a Role is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Whole.
    Sound,
    /// It inherits, directly or by way of others, one that is not.
    Incomplete,
    Invalid,
    /// With the first member of the cycle.
    InCycle(RoleIndex),
    TooLarge,
}

/// The Roles of one rule, resolved.
#[derive(Debug, Default)]
pub(crate) struct Binding {
    /// The Roles whose own permissions count, ascending.
    pub(crate) granting: Vec<RoleIndex>,
    /// Why a Deny matches every call; `None` if everything that is bound is sound.
    pub(crate) broken: Option<String>,
    /// Every Role that is there and that the rule binds, directly or by inheritance.
    pub(crate) reach: Vec<RoleIndex>,
    pub(crate) unresolved: Vec<Diagnostic>,
}

impl<'a> Roles<'a> {
    pub(crate) fn resolve(world: &'a World) -> Self {
        let mut roles = Self::gather(world);
        let edges: Vec<Vec<Option<RoleIndex>>> = roles.entries.iter().map(|role| roles.edges(role)).collect();
        let known: Vec<Vec<RoleIndex>> =
            edges.iter().map(|targets| targets.iter().flatten().copied().collect()).collect();
        let mut seen = Seen::new(roles.entries.len());
        for component in components(&known) {
            let cyclic = component.len() > 1
                || component
                    .iter()
                    .any(|node| known.get(*node).is_some_and(|targets| targets.contains(node)));
            if cyclic {
                roles.close_cycle(&component, &known, &mut seen);
            } else if let [role] = component.as_slice() {
                let edges = edges.get(*role).map(Vec::as_slice).unwrap_or_default();
                roles.expand(*role, edges, &mut seen);
            }
        }
        for role in 0..roles.entries.len() {
            let unresolved = roles.unresolved(role);
            if let Some(entry) = roles.entries.get_mut(role) {
                entry.unresolved = unresolved;
            }
        }
        roles
    }

    fn gather(world: &'a World) -> Self {
        let mut roles = Self { by_name: BTreeMap::new(), entries: Vec::new() };
        for (key, group) in by_key(&world.roles) {
            let mut problems = Vec::new();
            let mut valid = None;
            for object in &group {
                let head = Head::of(*object);
                match &object.spec {
                    Decoded::Invalid(invalid) => problems.extend(invalid.problems.iter().cloned()),
                    Decoded::Valid(_) if group.len() > 1 => problems.push(duplicate(&head, group.len() - 1)),
                    Decoded::Valid(spec) => {
                        problems.extend(check::permissions(&head, &spec.permissions));
                        valid = Some(spec);
                    }
                }
            }
            let Some(object) = group.first() else { continue };
            let index = roles.entries.len();
            roles.by_name.insert((key.namespace.as_str(), key.name.as_str()), index);
            roles.entries.push(Role::new(index, Head::of(*object), valid, problems));
        }
        roles
    }

    fn edges(&self, role: &Role<'_>) -> Vec<Option<RoleIndex>> {
        role.inherits.iter().map(|reference| self.find(&role.head.key.namespace, reference)).collect()
    }

    /// The Role that a reference names, from an object of a namespace (empty for a ClusterPolicy: it then names one).
    pub(crate) fn find(&self, own: &str, reference: &Reference) -> Option<RoleIndex> {
        self.by_name.get(&(namespace_of(own, reference), reference.name.as_str())).copied()
    }

    /// Every member of a cycle grants nothing.
    fn close_cycle(&mut self, members: &[RoleIndex], edges: &[Vec<RoleIndex>], seen: &mut Seen) {
        seen.restart();
        let outside = members.iter().filter_map(|member| edges.get(*member)).flatten();
        let outside: Vec<Arc<[RoleIndex]>> =
            outside.filter_map(|role| self.entries.get(*role)).map(|role| Arc::clone(&role.reach)).collect();
        let mut reach: Vec<RoleIndex> = Vec::new();
        reach.extend(members.iter().filter(|member| seen.first(**member)));
        reach.extend(outside.iter().flat_map(|reach| reach.iter()).filter(|role| seen.first(**role)));
        reach.sort_unstable();
        let reach: Option<Arc<[RoleIndex]>> = (reach.len() <= MAXIMUM_ROLES).then(|| reach.into());
        let first = members.first().copied().unwrap_or_default();
        for member in members {
            if let Some(role) = self.entries.get_mut(*member) {
                role.standing = Standing::InCycle(first);
                if let Some(reach) = &reach {
                    role.reach = Arc::clone(reach);
                }
            }
        }
    }

    /// A Role outside of cycles; what it inherits is expanded already.
    fn expand(&mut self, index: RoleIndex, edges: &[Option<RoleIndex>], seen: &mut Seen) {
        let Some(role) = self.entries.get(index) else { return };
        if !role.problems.is_empty() {
            return;
        }
        let inherited: Vec<&Role<'_>> =
            edges.iter().flatten().filter_map(|edge| self.entries.get(*edge)).collect();
        let whole = edges.iter().all(Option::is_some)
            && inherited.iter().all(|role| role.standing == Standing::Sound);
        let granting = self.union(index, inherited.iter().map(|role| &role.granting), seen);
        let reach = self.union(index, inherited.iter().map(|role| &role.reach), seen);
        let within = |granting: &[RoleIndex]| self.size(granting) <= MAXIMUM_PERMISSIONS;
        let found = match (granting, reach) {
            (Some(granting), Some(reach)) if within(&granting) => Some((granting, reach)),
            (_, _) => None,
        };
        let Some(role) = self.entries.get_mut(index) else { return };
        match found {
            Some((granting, reach)) => {
                role.standing = if whole { Standing::Sound } else { Standing::Incomplete };
                (role.granting, role.reach) = (granting.into(), reach.into());
            }
            None => role.standing = Standing::TooLarge,
        }
    }

    /// One Role and lists of others, ascending, each once; `None` if they are too many.
    fn union<'b>(
        &self,
        first: RoleIndex,
        lists: impl Iterator<Item = &'b Arc<[RoleIndex]>>,
        seen: &mut Seen,
    ) -> Option<Vec<RoleIndex>> {
        seen.restart();
        seen.first(first);
        let mut found = vec![first];
        for list in lists {
            found.extend(list.iter().filter(|role| seen.first(**role)));
            if found.len() > MAXIMUM_ROLES {
                return None;
            }
        }
        found.sort_unstable();
        Some(found)
    }

    /// How many permissions Roles have of their own.
    pub(crate) fn size(&self, roles: &[RoleIndex]) -> usize {
        roles.iter().filter_map(|role| self.entries.get(*role)).map(|role| role.permissions.len()).sum()
    }

    /// What is wrong with a Role's own references.
    fn unresolved(&self, index: RoleIndex) -> Vec<Diagnostic> {
        let Some(role) = self.entries.get(index) else { return Vec::new() };
        let mut found = Vec::new();
        for (position, reference) in role.inherits.iter().enumerate() {
            let field = spec_field("inherits").index(position);
            let target = self.find(&role.head.key.namespace, reference);
            let in_own_cycle = matches!(role.standing, Standing::InCycle(_))
                && target
                    .and_then(|target| self.entries.get(target))
                    .is_some_and(|target| target.standing == role.standing);
            if in_own_cycle {
                found.push(self.cycle(role, reference, &field));
            } else if let Some((code, what)) = self.fault(&role.head.key.namespace, reference) {
                let effect = "so a Deny that binds this Role matches every call";
                found.push(self.message(&role.head, (code, &field), reference, format!("{what}, {effect}")));
            }
        }
        if role.standing == Standing::TooLarge {
            let message = format!(
                "with everything that it inherits, `{}` has more than {MAXIMUM_PERMISSIONS} permissions or {MAXIMUM_ROLES} Roles",
                role.head.key.name
            );
            found.push(role.head.error(codes::ROLE_TOO_LARGE, &spec_field("inherits"), message));
        }
        found
    }

    fn cycle(&self, role: &Role<'_>, reference: &Reference, field: &FieldPath) -> Diagnostic {
        let name = shown(&role.head.key.namespace, reference);
        let by_way = if *name == role.head.key.name {
            "itself".to_owned()
        } else {
            format!("itself by way of `{name}`")
        };
        let message = format!("Role `{}` inherits {by_way}, so it grants nothing", role.head.key.name);
        with_help(role.head.error(codes::ROLE_CYCLE, field, message), "remove one reference of the cycle")
    }

    /// The Roles of one rule. `own` is the namespace of its object.
    pub(crate) fn bind(
        &self,
        head: &Head<'_>,
        references: &[Reference],
        (field, deny): (&FieldPath, bool),
        seen: &mut Seen,
    ) -> Binding {
        let own = head.key.namespace.as_str();
        let mut binding = Binding::default();
        let mut bound = Vec::new();
        for (position, reference) in references.iter().enumerate() {
            bound.extend(self.find(own, reference).and_then(|role| self.entries.get(role)));
            let Some((code, what)) = self.fault(own, reference) else { continue };
            let effect = match (deny, code == codes::ROLE_INCOMPLETE) {
                (true, _) => "so this Deny matches every call",
                (false, true) => "so it adds only what is left of it",
                (false, false) => "so it adds nothing to this Allow",
            };
            let sentence = format!("{what}, {effect}");
            binding.unresolved.push(self.message(
                head,
                (code, &field.index(position)),
                reference,
                sentence.clone(),
            ));
            binding.broken.get_or_insert(sentence);
        }
        seen.restart();
        let granted = bound.iter().flat_map(|role| role.granting.iter()).copied();
        binding.granting.extend(granted.filter(|role| seen.first(*role)));
        seen.restart();
        let reached = bound.iter().flat_map(|role| role.reach.iter()).copied();
        binding.reach.extend(reached.filter(|role| seen.first(*role)));
        binding.granting.sort_unstable();
        if self.size(&binding.granting) > MAXIMUM_PERMISSIONS {
            let message =
                format!("the Roles of the rule have more than {MAXIMUM_PERMISSIONS} permissions together");
            binding.unresolved.push(head.error(codes::RULE_TOO_LARGE, field, message.clone()));
            binding.broken.get_or_insert(message);
            binding.granting.clear();
        }
        binding
    }

    /// What is wrong with the Role that a reference names.
    fn fault(&self, own: &str, reference: &Reference) -> Option<(Code, String)> {
        let name = shown(own, reference);
        let Some(role) = self.find(own, reference).and_then(|role| self.entries.get(role)) else {
            return Some((codes::ROLE_MISSING, format!("Role `{name}` does not exist")));
        };
        match role.standing {
            Standing::Sound => None,
            Standing::Incomplete => Some((
                codes::ROLE_INCOMPLETE,
                format!("Role `{name}` inherits a Role that is missing or broken"),
            )),
            Standing::Invalid => Some((codes::ROLE_INVALID, format!("Role `{name}` is invalid"))),
            Standing::InCycle(_) => Some((codes::ROLE_IN_CYCLE, format!("Role `{name}` inherits itself"))),
            Standing::TooLarge => Some((codes::ROLE_TOO_LARGE, format!("Role `{name}` inherits too much"))),
        }
    }

    fn message(
        &self,
        head: &Head<'_>,
        (code, field): (Code, &FieldPath),
        reference: &Reference,
        sentence: String,
    ) -> Diagnostic {
        let diagnostic = head.error(code, field, sentence);
        let namespace = namespace_of(&head.key.namespace, reference);
        if code != codes::ROLE_MISSING {
            return with_help(diagnostic, format!("mend Role `{namespace}/{}`", reference.name));
        }
        let near = did_you_mean(self.names(namespace), &reference.name);
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("create Role `{}` in namespace `{namespace}`, or correct the name", reference.name)
            }
        };
        with_help(diagnostic, help)
    }

    fn names<'b>(&'b self, namespace: &'b str) -> impl Iterator<Item = &'a str> + 'b {
        self.by_name
            .range((namespace, "")..)
            .take_while(move |((found, _), _)| *found == namespace)
            .map(|((_, name), _)| *name)
    }

    /// The keys of Roles.
    pub(crate) fn keys(&self, roles: &[RoleIndex]) -> Vec<ObjectKey> {
        roles.iter().filter_map(|role| self.entries.get(*role)).map(|role| role.head.key.clone()).collect()
    }
}

impl<'a> Role<'a> {
    fn new(
        index: RoleIndex,
        head: Head<'a>,
        spec: Option<&'a RoleSpec>,
        mut problems: Vec<Diagnostic>,
    ) -> Self {
        if spec.is_none() && problems.is_empty() {
            let field = FieldPath::root().field("spec");
            problems.push(head.error(codes::NOT_COMPILABLE, &field, "the spec cannot be decoded".to_owned()));
        }
        let spec = spec.filter(|_| problems.is_empty());
        Self {
            head,
            permissions: spec.map(|spec| spec.permissions.as_slice()).unwrap_or_default(),
            inherits: spec.map(|spec| spec.inherits.as_slice()).unwrap_or_default(),
            problems,
            unresolved: Vec::new(),
            standing: Standing::Invalid,
            granting: Arc::from([]),
            reach: Arc::from([index]),
        }
    }
}

fn namespace_of<'b>(own: &'b str, reference: &'b Reference) -> &'b str {
    reference.namespace.as_ref().map_or(own, |namespace| namespace.as_str())
}

/// A Role as a reader of the object would name it.
fn shown(own: &str, reference: &Reference) -> String {
    match namespace_of(own, reference) {
        namespace if namespace == own => reference.name.clone(),
        namespace => format!("{namespace}/{}", reference.name),
    }
}

#[cfg(test)]
mod tests;
