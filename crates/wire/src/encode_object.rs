//! Domain types to messages: policy objects.

use bailiwick_policy::{
    Body, Effect, GrpcPermission, HostPattern, HttpPermission, IpBlock, Layer, Methods, Mode, PathTemplate,
    Permission, PolicyObject, Rule, SubjectClass, SubjectEntry,
};

use crate::proto;

pub(crate) fn object(object: &PolicyObject) -> proto::PolicyObject {
    proto::PolicyObject {
        layer: match object.origin.layer {
            Layer::Cluster => proto::Layer::Cluster,
            Layer::Namespace => proto::Layer::Namespace,
        }
        .into(),
        namespace: object.origin.namespace.to_string(),
        name: object.origin.name.to_string(),
        generation: object.generation,
        mode: match object.mode {
            Mode::Enforce => proto::Mode::Enforce,
            Mode::Audit => proto::Mode::Audit,
        }
        .into(),
        body: Some(match &object.body {
            Body::Rules(rules) => {
                proto::policy_object::Body::Rules(proto::Rules { rules: rules.iter().map(rule).collect() })
            }
            Body::Uncompilable { reason } => {
                proto::policy_object::Body::Uncompilable(proto::Uncompilable { reason: reason.to_string() })
            }
        }),
    }
}

fn rule(rule: &Rule) -> proto::Rule {
    proto::Rule {
        name: rule.name.to_string(),
        effect: match rule.effect {
            Effect::Allow => proto::Effect::Allow,
            Effect::Deny => proto::Effect::Deny,
        }
        .into(),
        subjects: rule.subjects.iter().map(subject).collect(),
        except_subjects: rule.except_subjects.iter().map(subject).collect(),
        permissions: rule.permissions.iter().map(permission).collect(),
        not_before: rule.not_before,
        not_after: rule.not_after,
        message: rule.message.as_deref().map(str::to_owned),
    }
}

fn subject(entry: &SubjectEntry) -> proto::SubjectEntry {
    proto::SubjectEntry {
        class: match entry.class {
            None => proto::SubjectClass::Unspecified,
            Some(SubjectClass::Anyone) => proto::SubjectClass::Anyone,
            Some(SubjectClass::Authenticated) => proto::SubjectClass::Authenticated,
            Some(SubjectClass::Unauthenticated) => proto::SubjectClass::Unauthenticated,
        }
        .into(),
        service_account: entry.service_account.as_ref().map(|(namespace, name)| proto::ServiceAccountKey {
            namespace: namespace.to_string(),
            name: name.to_string(),
        }),
        namespaces: entry
            .namespaces
            .as_ref()
            .map(|names| proto::Namespaces { names: names.iter().map(ToString::to_string).collect() }),
        spiffe_id: entry.spiffe_id.as_ref().map(|pattern| pattern.as_str().to_owned()),
        ip_block: entry.ip_block.as_ref().map(ip_block),
    }
}

fn ip_block(block: &IpBlock) -> proto::IpBlock {
    proto::IpBlock {
        cidr: block.cidr().to_string(),
        except: block.except().iter().map(ToString::to_string).collect(),
    }
}

fn permission(permission: &Permission) -> proto::Permission {
    use proto::permission::Kind;
    let kind = match permission {
        Permission::Any => Kind::Any(proto::AnyCall {}),
        Permission::Http(permission) => Kind::Http(http(permission)),
        Permission::Grpc(permission) => Kind::Grpc(grpc(permission)),
        Permission::Tcp(ports) => {
            Kind::Tcp(proto::TcpPermission { ports: ports.iter().map(|port| u32::from(*port)).collect() })
        }
    };
    proto::Permission { kind: Some(kind) }
}

fn http(permission: &HttpPermission) -> proto::HttpPermission {
    proto::HttpPermission {
        methods: Some(methods(&permission.methods)),
        paths: permission.paths.iter().map(|path: &PathTemplate| path.as_str().to_owned()).collect(),
        hosts: permission.hosts.as_ref().map(|hosts| proto::Hosts {
            patterns: hosts.iter().map(|host: &HostPattern| host.as_str().to_owned()).collect(),
        }),
    }
}

fn grpc(permission: &GrpcPermission) -> proto::GrpcPermission {
    proto::GrpcPermission {
        service: permission.service.to_string(),
        methods: Some(methods(&permission.methods)),
    }
}

fn methods(methods: &Methods) -> proto::Methods {
    use proto::methods::Kind;
    let kind = match methods {
        Methods::Any => Kind::Any(proto::AnyMethod {}),
        Methods::Of(names) => {
            Kind::Of(proto::MethodNames { names: names.iter().map(ToString::to_string).collect() })
        }
    };
    proto::Methods { kind: Some(kind) }
}
