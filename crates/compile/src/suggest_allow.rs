//! The YAML that would permit a refused call: the smallest change, as text.

use std::collections::BTreeMap;

use bailiwick_identity::{Namespace, Port, ServiceAccount, SpiffeId, TrustDomain};
use bailiwick_policy::{Body, Caller, Effect, Layer, Mode, Origin, PathTemplate, Rule, WorkloadKey};

use crate::{Compiled, Decoded, Object, ObjectKey, ObjectKind, RuleSpec, Workload, WorkloadConfig, World};

/// Labels that name an application, the most telling first.
const NAME_LABELS: [&str; 2] = ["app.kubernetes.io/name", "app"];
/// The longest name of a rule (RFC 1123 label).
const MAXIMUM_NAME: usize = 63;

/// A call that was refused.
#[derive(Debug, Clone, Copy)]
pub struct RefusedCall<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// The workload that is called.
    pub target: &'a WorkloadKey,
    /// The container port.
    pub port: Port,
    /// What is called.
    pub call: CallShape<'a>,
    /// The Deny rule that refused it, as its object and name; `None` if the default did.
    pub denied_by: Option<(&'a Origin, &'a str)>,
}

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallShape<'a> {
    /// An HTTP request.
    Http {
        /// The method.
        method: &'a str,
        /// The canonical path, without the query.
        path: &'a str,
    },
    /// A gRPC call.
    Grpc {
        /// `package.Service`.
        service: &'a str,
        /// The method.
        method: &'a str,
    },
    /// A TCP connection.
    Tcp,
}

/// The change that would permit a call, as far as the rule goes that refused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The object to change, or to create.
    pub object: ObjectKey,
    /// The field that `line` is added to, such as `spec.rules`.
    pub field: String,
    /// One line of YAML.
    pub line: String,
    /// The whole object, if none fits yet and it must be created.
    pub document: Option<String>,
}

/// The smallest change of an object that would permit a refused call: a rule in a Policy that selects this workload
/// alone, or else a new Policy; for a call that a Deny refused, its exception (the call may then still need an Allow).
///
/// `None` if the workload is not known, or if the Deny is none of the world's rules: what does not compile must be
/// mended.
#[must_use]
pub fn suggest_allow(world: &World, compiled: &Compiled, refused: &RefusedCall<'_>) -> Option<Suggestion> {
    let workload = world.workloads.get(refused.target)?;
    let config = compiled.workloads.get(refused.target)?;
    let question = Question { world, compiled, refused, workload, config };
    match refused.denied_by {
        Some((origin, rule)) => question.exception(origin, rule),
        None => Some(question.existing().unwrap_or_else(|| question.new_policy())),
    }
}

struct Question<'a> {
    world: &'a World,
    compiled: &'a Compiled,
    refused: &'a RefusedCall<'a>,
    workload: &'a Workload,
    config: &'a WorkloadConfig,
}

impl Question<'_> {
    /// A rule more in a Policy that selects this workload and no other.
    fn existing(&self) -> Option<Suggestion> {
        let found = self.config.snapshot.objects.iter().find_map(|bound| {
            let object = &bound.object;
            let counts = object.origin.layer == Layer::Namespace
                && object.mode == Mode::Enforce
                && bound.ports.contains(self.refused.port);
            let Body::Rules(rules) = &object.body else { return None };
            let key = key_of(&object.origin);
            let alone = self.compiled.objects.get(&key).is_some_and(|outcome| outcome.targeted.len() == 1);
            (counts && alone).then_some((key, rules))
        });
        let (object, rules) = found?;
        let line = format!("- {}", self.rule(rules));
        Some(Suggestion { object, field: "spec.rules".to_owned(), line, document: None })
    }

    fn new_policy(&self) -> Suggestion {
        let namespace = self.refused.target.namespace.as_str();
        let wanted = format!("allow-{}-to-{}", self.caller_name(), self.refused.target.name);
        let taken = |name: &str| {
            let key = ObjectKey {
                kind: ObjectKind::Policy,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            self.compiled.objects.contains_key(&key)
        };
        let name = unused(&label(&wanted), taken);
        let line = format!("- {}", self.rule(&[]));
        let document = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Policy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  targets: [{}]\n  rules:\n  {line}\n",
            self.target(),
        );
        Suggestion {
            object: ObjectKey { kind: ObjectKind::Policy, namespace: namespace.to_owned(), name },
            field: "spec.rules".to_owned(),
            line,
            document: Some(document),
        }
    }

    /// The caller as an exception of a Deny.
    fn exception(&self, origin: &Origin, rule: &str) -> Option<Suggestion> {
        let key = key_of(origin);
        let rules = rules_of(self.world, &key)?;
        let (index, spec) = rules.iter().enumerate().find(|(_, found)| found.name == rule)?;
        let own = origin.namespace.parse().ok();
        let subject = self.subject(own.as_ref());
        let (field, line) = if spec.except_subjects.is_empty() {
            (format!("spec.rules[{index}]"), format!("exceptSubjects: [{{{subject}}}]"))
        } else {
            (format!("spec.rules[{index}].exceptSubjects"), format!("- {subject}"))
        };
        Some(Suggestion { object: key, field, line, document: None })
    }

    fn rule(&self, others: &[Rule]) -> String {
        let wanted = label(&format!("allow-{}", self.caller_name()));
        let name = unused(&wanted, |name| others.iter().any(|rule| rule.name.as_ref() == name));
        let subject = self.subject(Some(&self.refused.target.namespace));
        format!(
            "{{name: {}, effect: {:?}, subjects: [{{{subject}}}], permissions: [{{{}}}]}}",
            scalar(&name),
            Effect::Allow,
            self.permission()
        )
    }

    fn permission(&self) -> String {
        match self.refused.call {
            CallShape::Http { method, path } => {
                format!("http: {{methods: [{}], paths: [{}]}}", scalar(method), quoted(&template(path)))
            }
            CallShape::Grpc { service, method } => {
                format!("grpc: {{service: {}, methods: [{}]}}", scalar(service), scalar(method))
            }
            CallShape::Tcp => format!("tcp: {{ports: [{}]}}", self.refused.port),
        }
    }

    /// The caller as a subject in an object of a namespace; `None` is a ClusterPolicy.
    fn subject(&self, own: Option<&Namespace>) -> String {
        let id = match self.refused.caller {
            Caller::Anonymous => return "unauthenticated: {}".to_owned(),
            Caller::Identity(id) => id,
        };
        match self.account(id) {
            Some((namespace, account)) if Some(&namespace) == own => {
                format!("serviceAccount: {{name: {}}}", scalar(account.as_str()))
            }
            Some((namespace, account)) => format!(
                "serviceAccount: {{name: {}, namespace: {}}}",
                scalar(account.as_str()),
                scalar(namespace.as_str())
            ),
            None => format!("spiffeID: {}", quoted(id.as_str())),
        }
    }

    /// Names hold for identities of the own trust domain only.
    fn account(&self, id: &SpiffeId) -> Option<(Namespace, ServiceAccount)> {
        let own: &TrustDomain = &self.compiled.mesh.trust_domain;
        let workload = id.workload().filter(|_| id.trust_domain() == own)?;
        Some((workload.namespace, workload.service_account))
    }

    fn caller_name(&self) -> String {
        match self.refused.caller {
            Caller::Anonymous => "anyone-unproven".to_owned(),
            Caller::Identity(id) => match self.account(id) {
                Some((_, account)) => account.to_string(),
                None => id.trust_domain().to_string(),
            },
        }
    }

    /// This workload, by the label that names it.
    fn target(&self) -> String {
        let labels = &self.workload.labels;
        let named = NAME_LABELS.iter().find_map(|name| labels.get_key_value(*name));
        let selected: BTreeMap<&String, &String> = match named {
            Some((key, value)) => BTreeMap::from([(key, value)]),
            None => labels.iter().collect(),
        };
        let port = self.refused.port;
        if selected.is_empty() {
            let account = scalar(self.workload.service_account.as_str());
            return format!("{{kind: ServiceAccount, name: {account}, ports: [{port}]}}");
        }
        let pairs: Vec<String> =
            selected.iter().map(|(key, value)| format!("{}: {}", scalar(key), scalar(value))).collect();
        format!("{{kind: Pod, selector: {{matchLabels: {{{}}}}}, ports: [{port}]}}", pairs.join(", "))
    }
}

fn key_of(origin: &Origin) -> ObjectKey {
    let kind = match origin.layer {
        Layer::Cluster => ObjectKind::ClusterPolicy,
        Layer::Namespace => ObjectKind::Policy,
    };
    ObjectKey { kind, namespace: origin.namespace.as_ref().to_owned(), name: origin.name.as_ref().to_owned() }
}

fn rules_of<'a>(world: &'a World, key: &ObjectKey) -> Option<&'a [RuleSpec]> {
    fn spec<'a, S>(objects: &'a [Object<S>], key: &ObjectKey) -> Option<&'a S> {
        objects.iter().find(|object| object.key == *key).and_then(|object| match &object.spec {
            Decoded::Valid(spec) => Some(spec),
            Decoded::Invalid(_) => None,
        })
    }
    match key.kind {
        ObjectKind::Policy => spec(&world.policies, key).map(|spec| spec.rules.as_slice()),
        ObjectKind::ClusterPolicy => spec(&world.cluster_policies, key).map(|spec| spec.rules.as_slice()),
        ObjectKind::Role
        | ObjectKind::Authentication
        | ObjectKind::TrustDomain
        | ObjectKind::RelationSchema
        | ObjectKind::Relationship => None,
    }
}

/// A template that matches the path: the path itself, save segments that a template reads otherwise.
fn template(path: &str) -> String {
    let literal = |segment: &str| !segment.contains(['*', '{', '}']);
    let segments: Vec<&str> =
        path.split('/').map(|segment| if literal(segment) { segment } else { "*" }).collect();
    let text = segments.join("/");
    // What no template can say (a path too long) is left to its author.
    if PathTemplate::parse(&text).is_ok() { text } else { "/**".to_owned() }
}

/// A DNS label near to a text.
fn label(text: &str) -> String {
    let allowed = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let text: String =
        text.chars().map(|character| if allowed(character) { character } else { '-' }).collect();
    // Room for a number that tells it from others.
    let text: String = text.chars().take(MAXIMUM_NAME - 8).collect();
    text.trim_matches('-').to_owned()
}

fn unused(wanted: &str, taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2_u32..).map(|number| format!("{wanted}-{number}"));
    std::iter::once(wanted.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

/// A text as a YAML scalar: plain where every reader reads it as that text.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_' | '/'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
